"""LoRA on a pipeline: fused, hot, under offload, and taken off again without a trace."""

import shutil

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import save_file

from diffsynth.core.loader.checkpoint import load_state_dict
from diffsynth.core.loader.weight_source import CheckpointError
from diffsynth.diffusion.lora_file import linear_names, named_as_in
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from tests.diffsynth.pipelines.conftest import QUICK
from tests.diffsynth.pipelines.diffusers_oracle import transformer

DISK = {
    "offload_device": "disk",
    "offload_dtype": "disk",
    "onload_device": "cpu",
    "onload_dtype": torch.float32,
    "preparing_device": "cpu",
    "preparing_dtype": torch.float32,
    "computation_device": "cpu",
    "computation_dtype": torch.float32,
}


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    for block in range(2):
        for layer in ("self_attn.q", "cross_attn.v", "ffn.0"):
            wide = 512 if layer == "ffn.0" else 256
            name = f"diffusion_model.blocks.{block}.{layer}"
            tensors[f"{name}.lora_A.default.weight"] = torch.randn(4, 256, generator=generator) * 0.1
            tensors[f"{name}.lora_B.default.weight"] = torch.randn(wide, 4, generator=generator) * 0.1
    path = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    save_file(tensors, path)
    return path


def video(pipe):
    return pipe("a dog", output_type="floatpoint", **QUICK)


def test_fused_hot_and_offloaded_agree_and_leave_no_trace(open_pipeline, lora):
    pipe, offloaded = open_pipeline(), open_pipeline(vram_config=DISK)
    plain = video(pipe)
    weights = {key: value.clone() for key, value in pipe.dit.state_dict().items()}

    pipe.load_lora(pipe.dit, lora)
    fused = video(pipe)
    assert (fused - plain).abs().max() > 1e-3
    pipe.clear_lora()
    assert all(torch.equal(value, weights[key]) for key, value in pipe.dit.state_dict().items())
    assert torch.equal(video(pipe), plain)

    pipe.load_lora(pipe.dit, str(lora), hotload=True)
    torch.testing.assert_close(video(pipe), fused, rtol=0, atol=1e-4)
    pipe.clear_lora(pipe.dit)
    assert torch.equal(video(pipe), plain)

    offloaded.load_lora(offloaded.dit, lora)
    torch.testing.assert_close(video(offloaded), fused, rtol=0, atol=1e-4)
    offloaded.clear_lora()
    assert torch.equal(video(offloaded), plain)


def test_strength_counts(open_pipeline, lora):
    pipe = open_pipeline()
    plain = video(pipe)
    pipe.load_lora(pipe.dit, lora, alpha=0.0)
    assert torch.equal(video(pipe), plain)


def test_hot_loading_by_choice(open_pipeline, lora):
    pipe = open_pipeline()
    before = pipe.dit.blocks[0].self_attn.q.weight.clone()
    pipe.enable_lora_hot_loading(pipe.dit)
    pipe.load_lora(pipe.dit, lora)
    assert torch.equal(pipe.dit.blocks[0].self_attn.q.weight, before)


def test_fusing_into_weights_that_come_and_go_is_refused(open_pipeline, lora):
    pipe = open_pipeline(vram_config=DISK)
    with pytest.raises(ValueError, match="hotload=False cannot be had for a network under a vram_config"):
        pipe.load_lora(pipe.dit, lora, hotload=False)


def test_a_lora_of_another_network_changes_nothing(open_pipeline, lora):
    pipe = open_pipeline()
    with pytest.raises(
        ValueError, match=r"lora\.safetensors changes blocks\.0\.\S+, which is no linear layer of WanTextE"
    ):
        pipe.load_lora(pipe.text_encoder, lora)


def test_a_file_or_its_content(open_pipeline, lora):
    pipe = open_pipeline()
    with pytest.raises(ValueError, match="load_lora takes either a file"):
        pipe.load_lora(pipe.dit)


def test_a_module_of_another_pipeline_is_refused(open_pipeline, wan21, lora):
    with pytest.raises(ValueError, match="WanModel is no network of this pipeline"):
        open_pipeline().load_lora(wan21.dit, lora)


@pytest.mark.parametrize(
    ("config", "backend"),
    [
        pytest.param(None, "eager", id="plain"),
        pytest.param(None, "aot_eager", id="plain-aot", marks=pytest.mark.slow),
        pytest.param(DISK, "aot_eager", id="offloaded-aot", marks=pytest.mark.slow),
    ],
)
def test_compiled_blocks_see_a_hot_lora_come_and_go(open_pipeline, lora, config, backend):
    pipe = open_pipeline(vram_config=config)
    options = {**QUICK, "num_inference_steps": 1, "num_frames": 5, "output_type": "floatpoint"}
    plain = pipe("a dog", **options)
    pipe.load_lora(pipe.dit, lora, hotload=True)
    changed = pipe("a dog", **options)
    assert (changed - plain).abs().max() > 1e-3
    pipe.clear_lora()

    pipe.compile_pipeline(backend=backend)
    torch.testing.assert_close(pipe("a dog", **options), plain, rtol=0, atol=1e-5)
    pipe.load_lora(pipe.dit, lora, hotload=True)
    torch.testing.assert_close(pipe("a dog", **options), changed, rtol=0, atol=1e-5)
    pipe.clear_lora()
    torch.testing.assert_close(pipe("a dog", **options), plain, rtol=0, atol=1e-5)


def test_a_hot_lora_of_one_compiled_block_alone(open_pipeline):
    pipe = open_pipeline()
    generator = torch.Generator().manual_seed(3)
    halves = {f"blocks.1.self_attn.q.lora_{half}.weight": shape for half, shape in (("A", (2, 256)), ("B", (256, 2)))}
    lora = {key: torch.randn(shape, generator=generator) for key, shape in halves.items()}
    options = {**QUICK, "num_inference_steps": 1, "num_frames": 1, "output_type": "floatpoint"}
    plain = pipe("a dog", **options)
    pipe.load_lora(pipe.dit, state_dict=lora, hotload=True)
    changed = pipe("a dog", **options)
    assert (changed - plain).abs().max() > 1e-3
    pipe.compile_pipeline(backend="eager")
    torch.testing.assert_close(pipe("a dog", **options), changed, rtol=0, atol=1e-5)


def test_a_fused_lora_comes_off_after_its_checkpoint_was_deleted(lora, models_folder, tmp_path):
    (original,) = (models_folder / "Wan-AI/Wan2.1-T2V-1.3B").glob("diffusion_pytorch_model*.safetensors")
    copy = tmp_path / "dit.safetensors"
    shutil.copy(original, copy)
    pipe = WanVideoPipeline.from_pretrained(
        torch_dtype=torch.float32, device="cpu", model_configs=[ModelConfig(path=str(copy))]
    )
    before = {key: value.clone() for key, value in pipe.dit.state_dict().items()}
    copy.unlink()
    pipe.load_lora(pipe.dit, lora)
    assert not torch.equal(pipe.dit.blocks[0].self_attn.q.weight, before["blocks.0.self_attn.q.weight"])
    pipe.clear_lora()
    assert all(torch.equal(value, before[key]) for key, value in pipe.dit.state_dict().items())


def weights_of(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(model, weights):
    return all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def finetuned(model):
    return {key: value + 1 if value.is_floating_point() else value for key, value in weights_of(model).items()}


@pytest.mark.parametrize("assign", [False, True])
def test_what_was_there_before_the_lora_comes_back(open_pipeline, lora, assign):
    pipe = open_pipeline()
    pipe.dit.load_state_dict(finetuned(pipe.dit), assign=assign)
    before = weights_of(pipe.dit)
    pipe.load_lora(pipe.dit, lora)
    pipe.load_lora(pipe.dit, lora, alpha=0.5)
    assert not same(pipe.dit, before)
    pipe.clear_lora()
    assert same(pipe.dit, before)
    pipe.clear_lora()
    assert same(pipe.dit, before)


def test_weights_written_after_the_lora_stay(open_pipeline, lora):
    pipe = open_pipeline()
    pipe.load_lora(pipe.dit, lora)
    pipe.dit.load_state_dict(finetuned(pipe.dit))
    after = weights_of(pipe.dit)
    with pytest.warns(UserWarning, match="clear_lora leaves 6 layers as others have written them"):
        pipe.clear_lora()
    assert same(pipe.dit, after)


def test_a_lora_within_weights_written_between_two_is_told_of(open_pipeline, lora):
    pipe = open_pipeline()
    pipe.load_lora(pipe.dit, lora)
    with torch.no_grad():
        pipe.dit.blocks[0].self_attn.q.weight.mul_(2)
    written = pipe.dit.blocks[0].self_attn.q.weight.clone()
    pipe.load_lora(pipe.dit, lora)
    with pytest.warns(UserWarning, match=r"leaves 1 layers as others .* \(blocks\.0\.self_attn\.q\)"):
        pipe.clear_lora()
    assert torch.equal(pipe.dit.blocks[0].self_attn.q.weight, written)


def test_a_network_converted_in_between_is_as_if_there_had_been_no_lora(open_pipeline, lora):
    pipe = open_pipeline(torch_dtype=torch.bfloat16)
    expected = {key: value.float() for key, value in weights_of(pipe.dit).items()}
    pipe.load_lora(pipe.dit, lora)
    pipe.dit.float()
    pipe.clear_lora()
    assert same(pipe.dit, expected)


def test_a_checkpoint_that_cannot_be_read_is_no_lost_lora(lora, models_folder, tmp_path):
    (original,) = (models_folder / "Wan-AI/Wan2.1-T2V-1.3B").glob("diffusion_pytorch_model*.safetensors")
    copy = tmp_path / "dit.safetensors"
    shutil.copy(original, copy)
    pipe = WanVideoPipeline.from_pretrained(
        torch_dtype=torch.float32, device="cpu", model_configs=[ModelConfig(path=str(copy))]
    )
    before, content = weights_of(pipe.dit), copy.read_bytes()
    pipe.load_lora(pipe.dit, lora)
    copy.write_bytes(content[: len(content) // 100])
    for _ in range(2):
        with pytest.raises(CheckpointError):
            pipe.clear_lora()
    copy.write_bytes(content)
    pipe.clear_lora()
    assert same(pipe.dit, before)


def test_a_config_of_a_lora_names_one_file_or_holds_its_tensors(wan21, lora):
    before = weights_of(wan21.dit)
    with pytest.raises(ValueError, match=r"a LoRA is one file, and the ModelConfig names 2: .*; name one"):
        wan21.load_lora(wan21.dit, ModelConfig(path=[lora, lora]))
    assert same(wan21.dit, before)
    wan21.load_lora(wan21.dit, ModelConfig(state_dict=load_state_dict(lora)))
    by_tensors = weights_of(wan21.dit)
    wan21.clear_lora()
    wan21.load_lora(wan21.dit, ModelConfig(path=lora))
    assert same(wan21.dit, by_tensors)
    wan21.clear_lora()
    assert same(wan21.dit, before)


def test_loras_of_kohya_and_diffusers_do_what_ours_does(open_pipeline, lora):
    pipe = open_pipeline()
    ours = load_state_dict(lora)
    pipe.load_lora(pipe.dit, lora)
    fused = weights_of(pipe.dit)
    kohya, published = {}, {}
    endings = {"self_attn.q": "attn1.to_q", "cross_attn.v": "attn2.to_v", "ffn.0": "ffn.net.0.proj"}
    for key, tensor in ours.items():
        layer, _, half = key.removeprefix("diffusion_model.").partition(".lora_")
        name = "lora_unet_" + layer.replace(".", "_")
        kohya[f"{name}.lora_{'down' if half[0] == 'A' else 'up'}.weight"] = tensor
        kohya[f"{name}.alpha"] = torch.tensor(4.0)
        number, ending = layer.removeprefix("blocks.").split(".", 1)
        published[f"transformer.blocks.{number}.{endings[ending]}.lora_{half[0]}.weight"] = tensor
    for spelled in (kohya, published):
        pipe.clear_lora()
        pipe.load_lora(pipe.dit, state_dict=spelled)
        assert same(pipe.dit, fused)


def test_every_linear_layer_has_the_name_that_diffusers_gives_it(wan21):
    theirs = {name for name, layer in transformer(wan21.dit).named_modules() if isinstance(layer, torch.nn.Linear)}
    pairs = dict.fromkeys(theirs)
    names = linear_names(wan21.dit)
    assert set(named_as_in(wan21.dit, names, pairs)) == set(names)


def test_a_lora_that_diffusers_saves_has_its_alpha(open_pipeline, tmp_path):
    pipe = open_pipeline()
    theirs = transformer(pipe.dit)
    before, tokens = weights_of(pipe.dit), torch.randn(2, 256)
    plain = theirs.blocks[0].attn1.to_q(tokens)
    theirs.add_adapter(LoraConfig(r=2, lora_alpha=8, target_modules=["attn1.to_q"], init_lora_weights=False))
    theirs.save_lora_adapter(tmp_path)
    pipe.load_lora(pipe.dit, tmp_path / "pytorch_lora_weights.safetensors")
    changed = pipe.dit.blocks[0].self_attn.q
    expected = theirs.blocks[0].attn1.to_q(tokens)
    assert (expected - plain).abs().max() > 1e-3
    torch.testing.assert_close(changed(tokens), expected, rtol=0, atol=1e-4)
    assert not same(pipe.dit, before)
