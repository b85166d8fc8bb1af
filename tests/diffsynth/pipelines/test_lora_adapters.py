"""LoRA adapters by name: as diffusers' pipelines have them, on the same weights; fused and taken out to the bit."""

import re
import threading

import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import save_file

from diffsynth.diffusion.turns import PipelineBusyError
from tests.diffsynth.pipelines.conftest import QUICK, QUICK_PICTURE
from tests.diffsynth.pipelines.diffusers_oracle import transformer
from tests.diffsynth.pipelines.test_wan_video_lora import DISK

VIDEO = {**QUICK, "num_frames": 1, "num_inference_steps": 2, "output_type": "latent"}
LAYERS = {"attn1.to_q": (256, 256), "attn2.to_v": (256, 256), "ffn.net.0.proj": (512, 256)}


def lora(seed):
    generator = torch.Generator().manual_seed(seed)
    content = {}
    for block in range(2):
        for layer, (wide, narrow) in LAYERS.items():
            name = f"transformer.blocks.{block}.{layer}"
            content[f"{name}.lora_A.weight"] = torch.randn(4, narrow, generator=generator) * 0.1
            content[f"{name}.lora_B.weight"] = torch.randn(wide, 4, generator=generator) * 0.1
    return content


@pytest.fixture(scope="module")
def opened(open_pipeline):
    return open_pipeline("Wan-AI/Wan2.2-T2V-A14B")


@pytest.fixture
def pipe(opened):
    """A pipeline without LoRA, which a test may give some."""
    yield opened
    opened.clear_lora()


def weights_of(pipe):
    return {name: tensor.clone() for name, tensor in pipe.dit.state_dict().items()}


def same(pipe, weights):
    return all(torch.equal(tensor, weights[name]) for name, tensor in pipe.dit.state_dict().items())


def test_every_state_is_that_of_diffusers(pipe):
    theirs = WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=None, boundary_ratio=0.875,
        transformer=transformer(pipe.dit), transformer_2=transformer(pipe.dit2),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 16, 1, 4, 6, generator=generator)
    context = torch.randn(1, 4, pipe.dit.text_embedding[0].in_features, generator=generator)
    timestep = torch.tensor([500.0])
    plain = pipe.dit(latents, timestep, context)
    differences = []

    def check(do):
        for pipeline in (pipe, theirs):
            do(pipeline)
        with torch.no_grad():
            for ours, other in ((pipe.dit, theirs.transformer), (pipe.dit2, theirs.transformer_2)):
                expected = other(latents, timestep, context, return_dict=False)[0]
                torch.testing.assert_close(ours(latents, timestep, context), expected, rtol=0, atol=2e-5)
            differences.append((pipe.dit(latents, timestep, context) - plain).abs().max().item())

    check(lambda pipeline: pipeline.load_lora_weights(lora(1), adapter_name="one"))
    check(lambda pipeline: pipeline.load_lora_weights(lora(2), adapter_name="two"))
    check(lambda pipeline: pipeline.load_lora_weights(lora(1), adapter_name="one", load_into_transformer_2=True))
    names = {"transformer": ["one", "two"], "transformer_2": ["one"]}
    assert theirs.get_list_adapters() == names
    assert list(pipe.get_list_adapters().values()) == list(names.values())
    check(lambda pipeline: pipeline.set_adapters(["one", "two"], adapter_weights=[0.5, -2.0]))
    check(lambda pipeline: pipeline.set_adapters("one", {"transformer": 0.3, "transformer_2": 0.7}))
    check(lambda pipeline: pipeline.disable_lora())
    assert differences[-1] == 0
    check(lambda pipeline: pipeline.enable_lora())
    check(lambda pipeline: pipeline.set_adapters(["one", "two"], [1.0, 0.5]))
    components = ["transformer", "transformer_2"]
    check(lambda pipeline: pipeline.fuse_lora(components=components, lora_scale=0.7))
    assert pipe.fused_loras == theirs.fused_loras == {"one", "two"}
    pipe.unfuse_lora(components=components)
    assert (pipe.dit(latents, timestep, context) - plain).abs().max().item() == differences[-2]
    # diffusers 0.42.1 leaves the adapters at lora_scale, until they are set anew.
    check(lambda pipeline: (pipeline.unfuse_lora(components=components), pipeline.set_adapters(["one", "two"], 0.6)))
    assert pipe.num_fused_loras == theirs.num_fused_loras == 0
    check(lambda pipeline: pipeline.set_adapters("two"))  # others do not count in diffusers while one is fused
    check(lambda pipeline: pipeline.fuse_lora(components=components, adapter_names=["two"]))
    check(lambda pipeline: pipeline.unfuse_lora(components=components))
    check(lambda pipeline: pipeline.set_adapters(["one", "two"]))  # peft has another one count for one that goes
    check(lambda pipeline: pipeline.delete_adapters("two"))
    check(lambda pipeline: pipeline.unload_lora_weights())
    assert pipe.get_list_adapters() == theirs.get_list_adapters() == {}
    assert differences[-1] == 0
    assert len({round(difference, 4) for difference in differences}) >= 6


def test_a_file_a_folder_or_its_content(pipe, tmp_path):
    save_file(lora(1), tmp_path / "one.safetensors")
    states = []
    for given in (
        {"pretrained_model_name_or_path_or_dict": lora(1)},
        {"pretrained_model_name_or_path_or_dict": str(tmp_path / "one.safetensors")},
        {"pretrained_model_name_or_path_or_dict": tmp_path},
        {"pretrained_model_name_or_path_or_dict": tmp_path.parent, "subfolder": tmp_path.name},
        {"pretrained_model_name_or_path_or_dict": str(tmp_path), "weight_name": "one.safetensors"},
    ):
        pipe.load_lora_weights(**given)
        assert pipe.get_active_adapters() == ["default_0"]
        states.append(pipe("a dog", **VIDEO))
        pipe.unload_lora_weights()
    assert all(torch.equal(state, states[0]) for state in states)
    assert not torch.equal(pipe("a dog", **VIDEO), states[0])


def test_adapters_change_weights_where_these_come_and_go(open_pipeline, pipe):
    offloaded = open_pipeline("Wan-AI/Wan2.2-T2V-A14B", vram_config=DISK)
    results = []
    for each in (pipe, offloaded):
        plain = each("a dog", **VIDEO)
        each.load_lora_weights(lora(1), "one")
        each.load_lora(each.dit2, state_dict=lora(2), adapter_name="two")
        each.set_adapters(["one", "two"], [0.5, 2.0])
        results.append(each("a dog", **VIDEO))
        each.disable_lora()
        assert torch.equal(each("a dog", **VIDEO), plain)
        each.enable_lora()
        assert torch.equal(each("a dog", **VIDEO), results[-1])
    assert torch.equal(*results)
    with pytest.raises(ValueError, match="fuse_lora cannot be had for a network under a vram_config"):
        offloaded.fuse_lora()


def test_adapters_come_out_of_fused_weights_to_the_bit(pipe):
    """Whatever was fused without a name before, or comes meanwhile, stays."""
    original = weights_of(pipe)
    pipe.load_lora(pipe.dit, state_dict=lora(1))
    with_first = weights_of(pipe)
    pipe.load_lora_weights(lora(2), "two")
    pipe.fuse_lora(lora_scale=0.5)
    assert not same(pipe, with_first)
    pipe.unfuse_lora()
    assert same(pipe, with_first)
    pipe.fuse_lora(["dit"], safe_fusing=True)
    pipe.load_lora(pipe.dit, state_dict=lora(3))
    pipe.unfuse_lora()
    between = weights_of(pipe)
    pipe.clear_lora()
    assert same(pipe, original)
    pipe.load_lora(pipe.dit, state_dict=lora(1))
    pipe.load_lora(pipe.dit, state_dict=lora(3))
    assert same(pipe, between)
    assert pipe.get_list_adapters() == {}


def test_what_is_fused_outlives_its_adapter_until_all_is_cleared(pipe):
    original = weights_of(pipe)
    pipe.load_lora_weights(lora(2), "two")
    pipe.fuse_lora()
    fused = weights_of(pipe)
    pipe.unload_lora_weights()
    assert same(pipe, fused)
    assert pipe.fused_loras == set()
    pipe.clear_lora()
    assert same(pipe, original)


def test_weights_written_while_an_adapter_was_fused_stay(open_pipeline):
    pipe = open_pipeline()
    pipe.load_lora_weights(lora(2), "two")
    pipe.fuse_lora()
    with torch.no_grad():
        pipe.dit.blocks[0].self_attn.q.weight.mul_(2)
    written = pipe.dit.blocks[0].self_attn.q.weight.clone()
    with pytest.warns(UserWarning, match=r"unfuse_lora leaves 1 layers as others .* \(blocks\.0\.self_attn\.q\)"):
        pipe.unfuse_lora()
    assert torch.equal(pipe.dit.blocks[0].self_attn.q.weight, written)


def test_a_fused_bias_comes_out_again(pipe):
    name = "blocks.0.self_attn.q"
    content = {key.replace("transformer.blocks.0.attn1.to_q", name): tensor for key, tensor in lora(1).items()}
    content[f"{name}.diff_b"] = torch.ones(256)
    before, bias = weights_of(pipe), pipe.dit.blocks[0].self_attn.q.bias
    pipe.load_lora_weights(content, "one")
    hot = pipe("a dog", **VIDEO)
    pipe.fuse_lora()
    torch.testing.assert_close(bias, before[f"{name}.bias"] + 1)
    torch.testing.assert_close(pipe("a dog", **VIDEO), hot, rtol=0, atol=1e-4)
    pipe.unfuse_lora()
    assert same(pipe, before)


def test_hot_loading_without_a_name_adds_up_and_has_one(pipe):
    pipe.load_lora(pipe.dit, state_dict=lora(1), hotload=True)
    pipe.load_lora(pipe.dit, state_dict=lora(2), hotload=True)
    assert pipe.get_active_adapters() == ["default_0", "default_1"]
    pipe.delete_adapters("default_0")
    pipe.load_lora(pipe.dit, state_dict=lora(1), hotload=True)
    assert pipe.get_list_adapters() == {"dit": ["default_1", "default_0"]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pipe: pipe.set_adapters("tow"), "there is no adapter 'tow': loaded are one"),
        (lambda pipe: pipe.delete_adapters(["one", "two"]), "there is no adapter 'two': loaded are one"),
        (lambda pipe: pipe.fuse_lora(adapter_names=["two"]), "there is no adapter 'two': loaded are one"),
        (lambda pipe: pipe.fuse_lora(["dit3"]), "components=['dit3']: expected some of dit, dit2, text_encoder, vae"),
        (lambda pipe: pipe.fuse_lora(["dit2"]), "fuse_lora: no adapter is there to be fused; loaded are one"),
        (lambda pipe: pipe.set_adapters(["one"], [1.0, 2.0]), "adapter_weights has 2 values, and there are 1 adapters"),
        (lambda pipe: pipe.set_adapters("one", "strong"), "adapter_weights='strong': expected a number"),
        (lambda pipe: pipe.set_adapters("one", {"unet": 1}), "adapter_weights={'unet': 1}: expected some of dit, dit2"),
        (lambda pipe: pipe.load_lora_weights(lora(1), "one"), "adapter_name='one' is taken: choose"),
        (lambda pipe: pipe.load_lora_weights(lora(1), 3), "adapter_name=3: expected a name, or None"),
        (
            lambda pipe: pipe.load_lora(pipe.dit, state_dict=lora(1), hotload=False, adapter_name="two"),
            "hotload=False fuses without a name: leave adapter_name out, or fuse_lora() after it",
        ),
        (
            lambda pipe: pipe.load_lora_weights({"unet.down.lora_A.weight": torch.ones(2, 2), "unet.down.lora_B.weight":
                                                 torch.ones(2, 2)}),
            "the state_dict changes unet.down, which is no linear layer of WanModel",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_and_changes_nothing(one_adapter, call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(one_adapter)
    assert one_adapter.get_active_adapters() == ["one"]
    assert one_adapter.fused_loras == set()


@pytest.fixture
def one_adapter(pipe):
    pipe.load_lora_weights(lora(1), "one")
    return pipe


def test_what_is_fused_is_not_switched(pipe):
    pipe.load_lora_weights(lora(1), "one")
    pipe.fuse_lora()
    for change in (lambda: pipe.set_adapters("one"), pipe.disable_lora, lambda: pipe.delete_adapters("one")):
        with pytest.raises(ValueError, match=r"one is fused into the weights: call unfuse_lora\(\) first"):
            change()


def test_values_that_are_no_numbers_are_not_fused_where_asked(pipe):
    content = lora(1)
    next(iter(content.values()))[0, 0] = float("nan")
    pipe.load_lora_weights(content, "one")
    before = weights_of(pipe)
    with pytest.raises(
        ValueError, match=r"fuse_lora: adapter 'one' has values in blocks.0.self_attn.q that are no num"
    ):
        pipe.fuse_lora(safe_fusing=True)
    assert same(pipe, before)


def test_a_second_dit_that_is_not_there(wan21):
    with pytest.raises(RuntimeError, match="load_lora_weights needs the dit2, and none was loaded"):
        wan21.load_lora_weights(lora(1), load_into_transformer_2=True)


def test_an_adapter_of_pictures(open_qwen):
    pipe, options = open_qwen(), {**QUICK_PICTURE, "height": 32, "width": 48, "output_type": "latent"}
    plain = pipe("a cat", **options)
    layer = pipe.dit.transformer_blocks[0].attn.to_q
    content = {
        "transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(2, layer.in_features) * 0.1,
        "transformer.transformer_blocks.0.attn.to_q.lora_B.weight": torch.ones(layer.out_features, 2) * 0.1,
    }
    pipe.load_lora_weights(content, "one")
    hot = pipe("a cat", **options)
    assert (hot - plain).abs().max() > 1e-3
    pipe.fuse_lora()
    torch.testing.assert_close(pipe("a cat", **options), hot, rtol=0, atol=1e-4)
    pipe.unfuse_lora()
    pipe.disable_lora()
    assert torch.equal(pipe("a cat", **options), plain)


def test_a_lora_loaded_while_another_thread_generates_waits_for_it(pipe):
    """Else a video would be half of one network and half of another."""
    plain, results, loaded, begun = pipe("a dog", **VIDEO), {}, threading.Event(), threading.Event()

    def wait_a_little(pipe, index, timestep, tensors):
        begun.set()
        assert not loaded.wait(0.1)

    def generate():
        results["beside"] = pipe("a dog", callback_on_step_end=wait_a_little, **VIDEO)

    def load():
        assert begun.wait(60)
        pipe.load_lora(pipe.dit, state_dict=lora(1))
        loaded.set()

    threads = [threading.Thread(target=target) for target in (generate, load)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded.is_set()
    assert torch.equal(results["beside"], plain)
    assert not torch.equal(pipe("a dog", **VIDEO), plain)


def test_adapters_may_change_from_step_to_step(pipe):
    """What the network keeps of the prompts is then made anew."""
    pipe.load_lora_weights(lora(1), "one")
    changed = pipe("a dog", cfg_scale=1.0, switch_DiT_boundary=0.0, **VIDEO)
    pipe.disable_lora()
    first = []

    def switch_on(pipe, index, timestep, tensors):
        first.append(tensors["latents"])
        pipe.enable_lora()

    options = {"cfg_scale": 1.0, "switch_DiT_boundary": 0.0, **VIDEO}
    switched = pipe("a dog", callback_on_step_end=switch_on, **options)
    expected = pipe("a dog", callback_on_step_end=lambda *_: {"latents": first[0]} if _[1] == 0 else None, **options)
    assert torch.equal(switched, expected)
    assert not torch.equal(switched, changed)


def test_a_change_in_a_callback_while_others_generate_is_refused(pipe):
    begun, refused = threading.Event(), threading.Event()

    def wait(pipe, index, timestep, tensors):
        begun.set()
        assert refused.wait(60)

    def change(pipe, index, timestep, tensors):
        pipe.load_lora_weights(lora(1), "one")

    thread = threading.Thread(target=lambda: pipe("a dog", callback_on_step_end=wait, **VIDEO))
    thread.start()
    assert begun.wait(60)
    with pytest.raises(PipelineBusyError, match=r"load_lora_weights\(\) in a callback, while 1 other threads generate"):
        pipe("a cat", callback_on_step_end=change, **VIDEO)
    refused.set()
    thread.join()
    assert pipe.get_list_adapters() == {}
