"""What a LoRA run saves: the published names, loaded by the pipeline, changing the picture."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffsynth.diffusion.training.errors import TrainingError
from diffsynth.diffusion.training.networks import add_lora, start_from
from diffsynth.models.wan_video_dit import WanModel
from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline
from tests.diffsynth.diffusion.training.conftest import DIT, LORA, T5, VAE, WAN21

TARGETS = ("q", "k", "v", "o", "ffn.0", "ffn.2")


@pytest.fixture
def dit():
    torch.manual_seed(0)
    return WanModel(dim=64, ffn_dim=96, num_heads=2, num_layers=2, text_dim=16)


@pytest.fixture
def pipe(training_models):
    def config(pattern):
        return ModelConfig(
            model_id=WAN21, origin_file_pattern=pattern, local_model_path=training_models, skip_download=True
        )

    patterns = (DIT.partition(":")[2], T5, VAE)
    return WanVideoPipeline.from_pretrained(
        torch_dtype=torch.float32,
        device="cpu",
        model_configs=[config(pattern) for pattern in patterns],
        tokenizer_config=config("google/umt5-xxl/"),
    )


def video(pipe):
    return pipe("a dog", height=32, width=48, num_frames=5, num_inference_steps=2, seed=0, output_type="floatpoint")


def test_the_saved_file_loads_and_changes_the_picture(encoded_flags_of, train_here, tmp_path, pipe):
    train_here(encoded_flags_of(tmp_path, *LORA, "--learning_rate", "1e-2"))
    saved = load_file(tmp_path / "epoch-0.safetensors")
    parts = [f"{attention}.{part}" for attention in ("self_attn", "cross_attn") for part in "qkvo"]
    layers = [f"blocks.{block}.{part}" for block in (0, 1) for part in (*parts, "ffn.0", "ffn.2")]
    assert set(saved) == {f"{layer}.lora_{half}.default.weight" for layer in layers for half in "AB"}
    before = video(pipe)
    pipe.load_lora(pipe.dit, tmp_path / "epoch-0.safetensors")
    changed = video(pipe)
    assert (changed - before).abs().max() > 1e-3
    pipe.clear_lora()
    assert torch.equal(video(pipe), before)


def test_the_pipeline_computes_what_was_trained(dit, tmp_path):
    """The network with its LoRA in training, and a plain one into which the saved file was fused."""
    from diffsynth.diffusion.lora import fuse
    from diffsynth.diffusion.lora_file import linear_layers, read_lora

    plain = WanModel(dim=64, ffn_dim=96, num_heads=2, num_layers=2, text_dim=16)
    plain.load_state_dict(dit.state_dict())
    add_lora(dit, targets=TARGETS, rank=4, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in dit.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    given = (torch.randn(1, 16, 1, 4, 4), torch.tensor([500.0]), torch.randn(1, 3, 16))
    saved = {name: value for name, value in dit.state_dict().items() if "lora_" in name}
    pairs = read_lora(saved, alpha=1, source="it")
    with torch.no_grad():
        untouched = plain(*given)
        for name, layer in linear_layers(plain, pairs, source="it").items():
            fuse(layer, pairs[name])
        torch.testing.assert_close(plain(*given), dit(*given), rtol=1e-4, atol=1e-5)
        assert (plain(*given) - untouched).abs().max() > 1e-3


def test_a_new_lora_changes_nothing_and_is_all_that_is_trained(dit):
    given = (torch.randn(1, 16, 1, 4, 4), torch.tensor([500.0]), torch.randn(1, 3, 16))
    with torch.no_grad():
        before = dit(*given)
        add_lora(dit, targets=TARGETS, rank=4, dtype=torch.float32)
        assert torch.equal(dit(*given), before)
    trained = [name for name, parameter in dit.named_parameters() if parameter.requires_grad]
    assert len(trained) == 2 * 2 * 10
    assert all("lora_" in name for name in trained)


def test_it_is_float32_over_bfloat16(dit):
    add_lora(dit.bfloat16(), targets=("q",), rank=4, dtype=torch.float32)
    output = dit(torch.randn(1, 16, 1, 4, 4), torch.tensor([500.0]), torch.randn(1, 3, 16).bfloat16())
    output.sum().backward()
    trained = [parameter for parameter in dit.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    assert all(parameter.grad.dtype == torch.float32 for parameter in trained)


@pytest.mark.parametrize("prefix", ["", "diffusion_model."])
def test_starting_from_a_file_of_the_published_format(dit, tmp_path, prefix):
    published = {}
    for layer in ("blocks.0.self_attn.q", "blocks.1.self_attn.q", "blocks.0.cross_attn.q", "blocks.1.cross_attn.q"):
        published[f"{prefix}{layer}.lora_A.default.weight"] = torch.randn(4, 64)
        published[f"{prefix}{layer}.lora_B.default.weight"] = torch.randn(64, 4)
    save_file(published, tmp_path / "lora.safetensors")
    add_lora(dit, targets=("q",), rank=4, dtype=torch.float32)
    start_from(dit, tmp_path / "lora.safetensors")
    state = dit.state_dict()
    for name, tensor in published.items():
        assert torch.equal(state[name.removeprefix(prefix)], tensor)


def test_a_target_that_matches_no_layer(dit):
    with pytest.raises(
        TrainingError,
        match=r"--lora_target_modules: 'to_q' matches no linear layer of WanModel; its layers end in ffn\.0, ffn",
    ):
        add_lora(dit, targets=("q", "to_q"), rank=4, dtype=torch.float32)
    assert all(parameter.requires_grad for parameter in dit.parameters())


def test_a_lora_of_another_rank(dit, tmp_path):
    add_lora(dit, targets=("q",), rank=4, dtype=torch.float32)
    save_file(
        {name: tensor for name, tensor in dit.state_dict().items() if "lora_" in name}, tmp_path / "a.safetensors"
    )
    other = WanModel(dim=64, ffn_dim=96, num_heads=2, num_layers=2, text_dim=16)
    add_lora(other, targets=("q",), rank=8, dtype=torch.float32)
    with pytest.raises(
        TrainingError, match=r"has shape \(4, 64\) in the file and \(8, 64\) in this run; give the --lora_r"
    ):
        start_from(other, tmp_path / "a.safetensors")


@pytest.mark.parametrize(("content", "message"), [(None, "there is no such file"), ({"x": 1}, "holds no LoRA")])
def test_no_lora(dit, tmp_path, content, message):
    path = tmp_path / "a.safetensors"
    if content:
        save_file({"x": torch.zeros(1)}, path)
    add_lora(dit, targets=("q",), rank=4, dtype=torch.float32)
    with pytest.raises(TrainingError, match=message):
        start_from(dit, path)
