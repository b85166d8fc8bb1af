"""LoRA files of kohya's scripts, ComfyUI, diffusers and peft do what diffusers and peft make of them."""

import json

import pytest
import torch
from diffusers.loaders.lora_pipeline import QwenImageLoraLoaderMixin, WanLoraLoaderMixin
from peft import LoraConfig, get_peft_model
from torch import nn

from diffsynth.core.loader.checkpoint import load_state_dict
from diffsynth.diffusion.lora import HotLora, fuse
from diffsynth.diffusion.lora_file import file_in, file_metadata, linear_layers, linear_names, named_as_in, read_lora
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.wan_video_dit import WanModel

RANK = 4


@pytest.fixture(scope="module")
def wan():
    return WanModel(dim=32, ffn_dim=48, num_heads=2, num_layers=2, text_dim=24, freq_dim=16)


@pytest.fixture(scope="module")
def qwen():
    return QwenImageDiT(num_layers=2, num_heads=1, head_dim=32, text_dim=24)


def halves(model, named, *, down="lora_A", up="lora_B", alpha=None, within="", layers=None):
    """A LoRA of the model's linear layers; `named` makes a file's name of one of theirs."""
    generator = torch.Generator().manual_seed(0)
    content = {}
    for name in linear_names(model) if layers is None else layers:
        layer = model.get_submodule(name)
        content[f"{named(name)}.{down}{within}.weight"] = torch.randn(RANK, layer.in_features, generator=generator)
        content[f"{named(name)}.{up}{within}.weight"] = torch.randn(layer.out_features, RANK, generator=generator)
        if alpha is not None:
            content[f"{named(name)}.alpha"] = torch.tensor(float(alpha))
    return content


def ours(model, content, metadata=None):
    pairs = read_lora(content, alpha=1, source="x", metadata=metadata)
    pairs = named_as_in(model, linear_names(model), pairs)
    linear_layers(model, pairs, source="x")
    return pairs


def assert_as_converted(model, content, mixin):
    """The change of every layer is that which diffusers' own converter makes of the file."""
    copies = {key: tensor.clone() for key, tensor in content.items()}  # diffusers multiplies alpha into some of them
    converted = {key.removeprefix("transformer."): tensor for key, tensor in mixin.lora_state_dict(copies).items()}
    pairs, found = ours(model, content), set()
    for name, pair in pairs.items():
        layer = diffusers_name(model, name)
        found |= {f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"}
        product = converted[f"{layer}.lora_B.weight"] @ converted[f"{layer}.lora_A.weight"]
        torch.testing.assert_close(pair.weight(), product, rtol=0, atol=1e-5, msg=name)
        if pair.bias is not None:
            found.add(f"{layer}.lora_B.bias")
            assert torch.equal(pair.bias, converted[f"{layer}.lora_B.bias"])
    assert found == set(converted)
    return pairs


def diffusers_name(model, name):
    for ending, theirs in getattr(model, "diffusers_names", {}).items():
        if name == ending or name.endswith(f".{ending}"):
            return name.removesuffix(ending) + theirs
    return name


def of_blocks(model):
    return [name for name in linear_names(model) if name.startswith(("blocks", "transformer_blocks"))]


def test_kohyas_of_wan(wan):
    content = halves(
        wan, lambda name: "lora_unet_" + name.replace(".", "_"), down="lora_down", up="lora_up", alpha=2,
        layers=of_blocks(wan),
    )  # fmt: skip
    assert len(assert_as_converted(wan, content, WanLoraLoaderMixin)) == 20


@pytest.mark.parametrize("form", [{}, {"down": "lora_down", "up": "lora_up"}], ids=["A and B", "down and up"])
def test_comfyuis_of_wan(wan, form):
    content = halves(wan, lambda name: f"diffusion_model.{name}", **form)
    assert len(assert_as_converted(wan, content, WanLoraLoaderMixin)) == len(linear_names(wan))


def test_distilled_ones_of_wan_change_biases_and_the_head_as_a_whole(wan, recwarn):
    content = halves(
        wan, lambda name: f"diffusion_model.{name}", down="lora_down", up="lora_up", alpha=2, layers=of_blocks(wan)
    )
    generator = torch.Generator().manual_seed(1)
    for name in of_blocks(wan):
        content[f"diffusion_model.{name}.diff_b"] = torch.randn(
            wan.get_submodule(name).out_features, generator=generator
        )
    content["diffusion_model.head.head.diff"] = torch.randn(wan.head.head.weight.shape, generator=generator)
    content["diffusion_model.head.head.diff_b"] = torch.randn(wan.head.head.out_features, generator=generator)
    content["diffusion_model.blocks.0.norm3.diff"] = torch.zeros(32)
    content["diffusion_model.blocks.0.norm3.diff_b"] = torch.zeros(32)
    pairs = assert_as_converted(wan, content, WanLoraLoaderMixin)
    assert all(pair.bias is not None for pair in pairs.values())
    assert not [warning for warning in recwarn if "left out" in str(warning.message)]


def test_diffusers_own_of_wan(wan):
    content = halves(wan, lambda name: f"transformer.{diffusers_name(wan, name)}")
    assert len(assert_as_converted(wan, content, WanLoraLoaderMixin)) == len(linear_names(wan))


@pytest.mark.parametrize(
    ("prefix", "form"),
    [
        ("", {"down": "lora_down", "up": "lora_up", "alpha": 2}),
        ("diffusion_model.", {"alpha": 2}),
        ("diffusion_model.", {"down": "lora_down", "up": "lora_up"}),
        ("", {"within": ".default", "alpha": 2}),
        ("transformer.", {}),
    ],
    ids=["lightning", "ComfyUI", "ComfyUI, down and up", "peft's names", "diffusers"],
)
def test_those_of_qwen_image(qwen, prefix, form):
    content = halves(qwen, lambda name: prefix + name, **form)
    assert len(assert_as_converted(qwen, content, QwenImageLoraLoaderMixin)) == len(linear_names(qwen))


def test_kohyas_of_qwen_image(qwen):
    # diffusers' converter knows neither the feed-forward's ``net_0_proj`` nor ``mod_1`` of any other form than these.
    layers = [name for name in linear_names(qwen) if ".net." not in name]
    content = halves(
        qwen, lambda name: "lora_unet_" + name.replace(".", "_"), down="lora_down", up="lora_up", alpha=2, layers=layers
    )
    assert len(assert_as_converted(qwen, content, QwenImageLoraLoaderMixin)) == len(layers)
    assert len(ours(qwen, halves(qwen, lambda name: "lora_unet_" + name.replace(".", "_"), alpha=2))) == len(
        linear_names(qwen)
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_alpha": 8},
        {"lora_alpha": 8, "use_rslora": True},
        {"lora_alpha": 8, "alpha_pattern": {"1.cross_attn.v": 2}, "rank_pattern": {"0.self_attn.q": 3}},
        {"lora_alpha": 8, "lora_bias": True},
    ],
    ids=lambda settings: ", ".join(settings),
)
def test_what_peft_saves_does_what_peft_does(wan, tmp_path, settings):
    torch.manual_seed(0)
    model = WanModel(dim=32, ffn_dim=48, num_heads=2, num_layers=2, text_dim=24, freq_dim=16)
    model.load_state_dict(wan.state_dict())
    names = ["blocks.0.self_attn.q", "blocks.1.cross_attn.v"]
    config = LoraConfig(r=RANK, target_modules=names, init_lora_weights=False, **settings)
    theirs = get_peft_model(model, config)
    if settings.get("lora_bias"):
        for name in names:
            nn.init.normal_(theirs.get_submodule(f"base_model.model.{name}").lora_B["default"].bias)
    theirs.save_pretrained(tmp_path)
    file = str(file_in(tmp_path))
    pairs = ours(wan, load_state_dict(file), file_metadata(file))
    tokens = torch.randn(3, 32)
    for name in names:
        expected = theirs.get_submodule(f"base_model.model.{name}")(tokens)
        layer = {name: wan.get_submodule(name)}
        hot, plain = HotLora(), layer[name](tokens)
        hot.add(layer, {name: pairs[name]})
        torch.testing.assert_close(layer[name](tokens), expected, rtol=0, atol=1e-5)
        hot.remove()
        copied = nn.Linear(32, 32)
        copied.load_state_dict(layer[name].state_dict())
        fuse(copied, pairs[name])
        torch.testing.assert_close(copied(tokens), expected, rtol=0, atol=1e-5)
        assert (expected - plain).abs().max() > 0.01


def test_a_folder_is_searched_for_its_file(tmp_path):
    with pytest.raises(ValueError, match=r"holds no one LoRA file: it has none that end in \.safetensors"):
        file_in(tmp_path)
    for name in ("b.safetensors", "a.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"it has a\.safetensors, b\.safetensors that end in"):
        file_in(tmp_path)
    (tmp_path / "pytorch_lora_weights.safetensors").touch()
    assert file_in(tmp_path).name == "pytorch_lora_weights.safetensors"
    (tmp_path / "adapter_model.safetensors").touch()
    assert file_in(tmp_path).name == "adapter_model.safetensors"


def test_changes_that_are_left_out_are_said(wan):
    content = halves(wan, lambda name: name, layers=["blocks.0.self_attn.q"])
    content["blocks.0.norm3.diff"] = torch.ones(32)
    with pytest.warns(UserWarning, match=r"x: 1 of its tensors are no part of a LoRA .*blocks\.0\.norm3\.diff"):
        ours(wan, content)


def test_a_bias_that_a_layer_does_not_have_is_named():
    model = nn.ModuleDict({"q": nn.Linear(6, 4, bias=False)})
    content = {"q.lora_A.weight": torch.ones(2, 6), "q.lora_B.weight": torch.ones(4, 2), "q.diff_b": torch.ones(4)}
    with pytest.raises(ValueError, match=r"x: the change of q's bias is \(4,\), but the layer's is none"):
        ours(model, content)


def test_a_lora_that_fits_nothing_says_how_much_of_it(wan):
    content = halves(wan, lambda name: f"other.{name}", layers=of_blocks(wan)[:3])
    with pytest.raises(
        ValueError, match=r"x changes other\.blocks\.0\.self_attn\.q, .* \(3 of the 3 that it changes are none\)"
    ):
        ours(wan, content)


def test_settings_are_read_from_the_file_itself_first(tmp_path):
    from safetensors.torch import save_file

    own = {"lora_adapter_metadata": json.dumps({"lora_alpha": 3})}
    save_file({"a": torch.ones(1)}, tmp_path / "adapter_model.safetensors", metadata=own)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 5}))
    assert file_metadata(str(tmp_path / "adapter_model.safetensors")) == own
