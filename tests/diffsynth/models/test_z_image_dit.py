"""The Z-Image DiT: diffusers' numbers on the same weights, and the names and shapes of the published file."""

from __future__ import annotations

import pytest
import torch
from diffusers import ZImageTransformer2DModel

from diffsynth.core.fused import use_fused
from diffsynth.core.loader.detection import model_hash
from diffsynth.families.z_image import without_prefix
from diffsynth.models.layers import unpatched_from_channels_last
from diffsynth.models.qwen_image_dit import QwenImageDiT
from diffsynth.models.z_image_dit import ZImageDiT, patches, rotary_dims

WIDE = {"num_layers": 2, "num_refiner_layers": 2, "num_heads": 3, "head_dim": 128, "text_dim": 48}
NARROW = {"num_layers": 3, "num_refiner_layers": 1, "num_heads": 3, "head_dim": 32, "text_dim": 40}
PUBLISHED = {"num_layers": 30, "num_refiner_layers": 2, "num_heads": 30, "head_dim": 128, "text_dim": 2560}


def network(seed=0, **sizes):
    """A ZImageDiT whose norms, biases and fillings are not those of a fresh layer, so that each of them counts."""
    torch.manual_seed(seed)
    model = ZImageDiT(**sizes).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 or name.endswith("pad_token"):
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def oracle(model, num_layers, num_refiner_layers, num_heads, head_dim, text_dim):
    """diffusers' network with the same weights."""
    theirs = ZImageTransformer2DModel(
        n_layers=num_layers,
        n_refiner_layers=num_refiner_layers,
        n_heads=num_heads,
        n_kv_heads=num_heads,
        dim=num_heads * head_dim,
        cap_feat_dim=text_dim,
        axes_dims=list(rotary_dims(head_dim)),
    )
    theirs.load_state_dict(model.state_dict())
    return theirs.eval()


def inputs(size, text_dim, batch=1, length=11, seed=1):
    """Latents, timesteps and a prompt's features."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(batch, 16, *size, generator=generator)
    return latents, torch.tensor([833.333, 41.7])[:batch], torch.randn(batch, length, text_dim, generator=generator)


@torch.no_grad()
def theirs_of(model, latents, timestep, context):
    """The velocity (B, C, H, W): theirs points the other way, and counts its time from noise to clean."""
    found = model(list(latents.unsqueeze(2)), (1000 - timestep) / 1000, list(context), return_dict=False)[0]
    return -torch.stack(found).squeeze(2)


@pytest.mark.parametrize(
    ("sizes", "size", "batch", "length"),
    [
        (WIDE, (8, 12), 1, 11),  # both streams are filled up
        (WIDE, (8, 16), 2, 32),  # neither is; at two timesteps
        (WIDE, (2, 2), 1, 1),  # a single token each
        (NARROW, (16, 6), 2, 40),
        (NARROW, (70, 36), 1, 200),  # the feed-forward networks take it in parts
    ],
    ids=str,
)
def test_equal_to_diffusers(sizes, size, batch, length):
    model = network(**sizes)
    given = inputs(size, sizes["text_dim"], batch, length)
    found = model(*given)
    assert found.dtype == torch.float32
    expected = theirs_of(oracle(model, **sizes), *given)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


def test_every_weight_counts():
    model = network(**NARROW)
    given = inputs((4, 6), NARROW["text_dim"])
    before = model(*given)
    for name, parameter in model.named_parameters():
        kept = parameter.clone()
        parameter.add_(torch.randn_like(parameter))
        assert not torch.equal(model(*given), before), name
        parameter.copy_(kept)


def test_bfloat16_stays_close():
    model = network(**WIDE)
    latents, timestep, context = inputs((8, 8), WIDE["text_dim"])
    expected = model(latents, timestep, context)
    found = model.bfloat16()(latents, timestep, context.bfloat16())
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_gradient_checkpointing_gives_the_same_gradients():
    model = network(**NARROW).requires_grad_(True)
    given = inputs((4, 6), NARROW["text_dim"])
    gradients = []
    for option in ({}, {"use_gradient_checkpointing": True}, {"use_gradient_checkpointing_offload": True}):
        model.zero_grad()
        model(*given, **option).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(gradient is not None for gradient in gradients[0])
    for others in gradients[1:]:
        assert all(torch.equal(one, other) for one, other in zip(gradients[0], others, strict=True))


def test_gradients_are_those_of_diffusers():
    model = network(**NARROW).requires_grad_(True)
    theirs = oracle(model, **NARROW)
    latents, timestep, context = inputs((4, 6), NARROW["text_dim"])
    model(latents, timestep, context).square().mean().backward()
    theirs(list(latents.unsqueeze(2)), (1000 - timestep) / 1000, list(context)).sample[0].square().mean().backward()
    expected = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-3, atol=2e-6 * largest, msg=name)


def test_blocks_compile_whole():
    model = network(**NARROW)
    given = inputs((4, 6), NARROW["text_dim"])
    expected = model(*given)
    for block in model.blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(model(*given), expected, rtol=0, atol=2e-6)


def test_fused_operators_can_be_left_out():
    model = network(**NARROW)
    given = inputs((4, 6), NARROW["text_dim"])
    expected = model(*given)
    layers = [layer for layer in model.modules() if hasattr(layer, "fused")]
    assert len(layers) == 1 + 3 * 5
    use_fused(model, False)
    assert not any(layer.fused for layer in layers)
    assert torch.equal(model(*given), expected)  # the CPU has no others than torch's


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 12, 4, 4), "latents have 12 channels, this model takes 16"),
        ((1, 16, 5, 4), "latents of size 5x4 do not divide into patches of 2x2"),
        ((16, 4, 4), r"latents are of shape \(16, 4, 4\): expected \(batch, 16, height, width\)"),
    ],
)
def test_latents_that_do_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        network(**NARROW)(torch.zeros(shape), torch.zeros(1), torch.zeros(1, 3, NARROW["text_dim"]))


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="head_dim=24: expected a multiple of 16"):
        ZImageDiT(num_layers=1, num_heads=1, head_dim=24)


def test_patches_have_their_channels_last():
    latents = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    tokens = patches(latents)
    assert tokens[1, 4].tolist() == [
        latents[1, c, 2 + y, 2 + x].item() for y in (0, 1) for x in (0, 1) for c in range(3)
    ]
    assert torch.equal(unpatched_from_channels_last(tokens, (2, 3), (2, 2)), latents)


def on_meta(model_class=ZImageDiT, **sizes):
    with torch.device("meta"):
        return model_class(**sizes)


def shapes(model):
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def test_published_hash_and_size():
    model = on_meta()
    assert len(model.state_dict()) == 521
    assert model_hash(model.state_dict()) == "fc3a8a1247fe185ce116ccbe0e426c28"
    of_comfyui = {f"model.diffusion_model.{name}": tensor for name, tensor in model.state_dict().items()}
    assert model_hash(of_comfyui) == "8cf241a0d32f93d5de368502a086852f"
    assert without_prefix(of_comfyui).keys() == model.state_dict().keys()
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_154_908_736


@pytest.mark.parametrize("sizes", [{}, WIDE, NARROW], ids=["published", "wide", "narrow"])
def test_sizes_are_read_from_the_shapes(sizes):
    found = shapes(on_meta(**sizes))
    assert ZImageDiT.recognises(found.keys())
    assert ZImageDiT.kwargs_from_shapes(found) == {**PUBLISHED, "in_channels": 16, **sizes}


def test_other_networks_are_not_recognised():
    keys = set(shapes(on_meta(**NARROW)))
    qwen = on_meta(QwenImageDiT, num_layers=1, num_heads=1, head_dim=32, text_dim=8)
    assert not ZImageDiT.recognises(shapes(qwen).keys())
    assert not ZImageDiT.recognises(keys | {"siglip_pad_token"})  # Z-Image-Omni-Base
    assert not ZImageDiT.recognises(keys - {"x_pad_token"})
    assert not ZImageDiT.recognises(set())


def test_on_meta_nothing_is_left_to_fill_but_the_weights():
    model = on_meta(**NARROW)
    assert not list(model.buffers())
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
