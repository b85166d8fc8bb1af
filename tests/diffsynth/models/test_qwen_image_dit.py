"""The Qwen-Image DiT: diffusers' numbers on the same weights, and the names and shapes of the published file."""

from __future__ import annotations

import pytest
import torch
from diffusers import QwenImageTransformer2DModel

from diffsynth.core.loader.detection import model_hash
from diffsynth.models.layers import patches
from diffsynth.models.qwen_image_dit import QwenImageDiT, rotary_dims
from diffsynth.models.wan_video_dit import WanModel

WIDE = {"num_layers": 2, "num_heads": 2, "head_dim": 128, "text_dim": 48}
NARROW = {"num_layers": 3, "num_heads": 3, "head_dim": 32, "text_dim": 40}


def network(seed=0, **sizes):
    """A QwenImageDiT whose norms and biases are not those of a fresh layer, so that each of them counts."""
    torch.manual_seed(seed)
    model = QwenImageDiT(**sizes).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def oracle(model, num_layers, num_heads, head_dim, text_dim, layered=False):
    """diffusers' network with the same weights."""
    theirs = QwenImageTransformer2DModel(
        num_layers=num_layers,
        num_attention_heads=num_heads,
        attention_head_dim=head_dim,
        joint_attention_dim=text_dim,
        axes_dims_rope=rotary_dims(head_dim),
        use_layer3d_rope=layered,
        use_additional_t_cond=layered,
    )
    theirs.load_state_dict(model.state_dict())
    return theirs.eval()


def inputs(sizes, text_dim, batch=1, length=11, seed=1):
    """Latents of each size, a timestep and a prompt's features."""
    generator = torch.Generator().manual_seed(seed)
    latents = [torch.randn(batch, 16, *size, generator=generator) for size in sizes]
    return latents, torch.tensor([833.333, 41.7])[:batch], torch.randn(batch, length, text_dim, generator=generator)


@torch.no_grad()
def theirs_of(model, latents, timestep, context):
    """The velocity of the first of the latents, (B, C, H, W)."""
    grids = [(1, one.shape[2] // 2, one.shape[3] // 2) for one in latents]
    velocity = model(
        torch.cat([patches(one) for one in latents], dim=1),
        context,
        timestep=timestep / 1000,
        img_shapes=[grids] * len(context),
        return_dict=False,
    )[0]
    _, rows, columns = grids[0]
    cells = velocity[:, : rows * columns].view(len(context), rows, columns, 16, 2, 2)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(latents[0].shape)


@pytest.mark.parametrize(
    ("sizes", "pictures", "batch"),
    [
        (WIDE, [(8, 12)], 1),
        (WIDE, [(6, 10)], 2),  # odd rows and columns, at two timesteps
        (WIDE, [(2, 2)], 1),  # a single token
        (NARROW, [(16, 6)], 1),
        (WIDE, [(8, 12), (6, 14)], 1),  # one picture to edit
        (NARROW, [(4, 6), (20, 10), (8, 18)], 2),  # and several
    ],
    ids=str,
)
def test_equal_to_diffusers(sizes, pictures, batch):
    model = network(**sizes)
    latents, timestep, context = inputs(pictures, sizes["text_dim"], batch)
    ours = model(latents[0], timestep, context, edit_latents=latents[1:])
    assert ours.dtype == torch.float32
    expected = theirs_of(oracle(model, **sizes), latents, timestep, context)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(ours, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_pictures_to_edit_at_timestep_zero(batch):
    """As Edit-2511 has it; the picture that is made and the prompt are steered by the timestep as ever."""
    model = network(**WIDE)
    latents, timestep, context = inputs([(6, 10), (8, 12), (4, 4)], WIDE["text_dim"], batch)
    theirs = oracle(model, **WIDE)
    theirs.zero_cond_t = True
    for block in theirs.transformer_blocks:
        block.zero_cond_t = True
    found = model(latents[0], timestep, context, edit_latents=latents[1:], zero_cond_t=True)
    torch.testing.assert_close(found, theirs_of(theirs, latents, timestep, context), rtol=0, atol=5e-5)
    assert (found - model(latents[0], timestep, context, edit_latents=latents[1:])).abs().max() > 1e-3
    alone = model(latents[0], timestep, context, zero_cond_t=True)
    assert torch.equal(alone, model(latents[0], timestep, context))


@torch.no_grad()
@pytest.mark.parametrize(("layers", "grid", "batch"), [(1, (6, 10), 1), (3, (8, 4), 2), (6, (2, 2), 1)], ids=str)
def test_layers_are_those_of_diffusers(layers, grid, batch):
    model = network(**WIDE, layered=True)
    made, timestep, context = inputs([grid] * layers, WIDE["text_dim"], batch)
    given = inputs([grid], WIDE["text_dim"], batch, seed=2)[0]
    found = model(torch.stack(made, dim=2), timestep, context, edit_latents=given)
    expected = oracle(model, **WIDE, layered=True)(
        torch.cat([patches(one) for one in (*made, *given)], dim=1),
        context,
        timestep=timestep / 1000,
        img_shapes=[[(1, grid[0] // 2, grid[1] // 2)] * (layers + 1)] * batch,
        additional_t_cond=torch.zeros(batch, dtype=torch.long),
        return_dict=False,
    )[0]
    assert found.shape == (batch, 16, layers, *grid)
    of_layers = torch.cat([patches(one) for one in found.unbind(2)], dim=1)
    torch.testing.assert_close(of_layers, expected[:, : of_layers.shape[1]], rtol=0, atol=5e-5)


def test_every_weight_counts():
    model = network(**WIDE)
    (latents, edited), timestep, context = inputs([(4, 6), (6, 4)], WIDE["text_dim"])
    before = model(latents, timestep, context, edit_latents=[edited])
    for name, parameter in model.named_parameters():
        if name.startswith("transformer_blocks.1."):
            continue  # in the last block, much of what makes the prompt's tokens goes nowhere
        if name.endswith(("add_k_proj.bias", "to_k.bias")):
            continue  # softmax is nearly blind to these
        kept = parameter.clone()
        parameter.add_(torch.randn_like(parameter))
        assert not torch.equal(model(latents, timestep, context, edit_latents=[edited]), before), name
        parameter.copy_(kept)


def test_the_order_of_pictures_counts():
    model = network(**WIDE)
    latents, timestep, context = inputs([(4, 4)] * 3, WIDE["text_dim"])
    one, other = (model(latents[0], timestep, context, edit_latents=edit) for edit in (latents[1:], latents[:0:-1]))
    assert (one - other).abs().max() > 1e-3


def test_bfloat16_stays_close():
    model = network(**WIDE)
    (latents,), timestep, context = inputs([(8, 8)], WIDE["text_dim"])
    expected = model(latents, timestep, context)
    found = model.bfloat16()(latents, timestep, context.bfloat16())
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()


def test_gradient_checkpointing_gives_the_same_gradients():
    model = network(**NARROW).requires_grad_(True)
    (latents,), timestep, context = inputs([(4, 6)], NARROW["text_dim"])
    gradients = []
    for option in ({}, {"use_gradient_checkpointing": True}, {"use_gradient_checkpointing_offload": True}):
        model.zero_grad()
        model(latents, timestep, context, **option).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    assert len(gradients[0]) > 90
    for others in gradients[1:]:
        assert all(torch.equal(one, other) for one, other in zip(gradients[0], others, strict=True))


def test_blocks_compile_whole():
    model = network(**NARROW)
    (latents,), timestep, context = inputs([(4, 6)], NARROW["text_dim"])
    expected = model(latents, timestep, context)
    for block in model.blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(model(latents, timestep, context), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 12, 4, 4), "latents have 12 channels, this model takes 16"),
        ((1, 16, 5, 4), "latents of size 5x4 do not divide into patches of 2x2"),
        ((16, 4, 4), r"latents are of shape \(16, 4, 4\): expected \(batch, 16, height, width\)"),
    ],
)
def test_latents_that_do_not_fit(shape, message):
    model = network(**NARROW)
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(shape), torch.zeros(1), torch.zeros(1, 3, NARROW["text_dim"]))


def test_heads_that_do_not_divide():
    with pytest.raises(ValueError, match="head_dim=48: expected a multiple of 32"):
        QwenImageDiT(num_layers=1, num_heads=1, head_dim=48)


def on_meta(model_class=QwenImageDiT, *sizes, **named):
    with torch.device("meta"):
        return model_class(*sizes, **named)


def shapes(model):
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("layered", "published_hash", "tensors", "numbers"),
    [
        (False, "0319a1cb19835fb510907dd3367c95ff", 1933, 20_430_401_088),
        (True, "8dc8cda05de16c73afa755e2c1ce2839", 1934, 20_430_401_088 + 2 * 3072),
    ],
    ids=["Qwen-Image", "Qwen-Image-Layered"],
)
def test_published_hash_and_size(layered, published_hash, tensors, numbers):
    model = on_meta(layered=layered)
    assert len(model.state_dict()) == tensors
    assert model_hash(model.state_dict()) == published_hash
    assert sum(parameter.numel() for parameter in model.parameters()) == numbers


@pytest.mark.parametrize("sizes", [{}, WIDE, {**NARROW, "layered": True}], ids=["published", "wide", "layered"])
def test_sizes_are_read_from_the_shapes(sizes):
    published = {"num_layers": 60, "num_heads": 24, "head_dim": 128, "text_dim": 3584, "layered": False}
    found = shapes(on_meta(**sizes))
    assert QwenImageDiT.recognises(found.keys())
    assert QwenImageDiT.kwargs_from_shapes(found) == {**published, "in_features": 64, "out_features": 64, **sizes}


def test_other_networks_are_not_recognised():
    keys = set(shapes(on_meta(**NARROW)))
    assert not QwenImageDiT.recognises(shapes(on_meta(WanModel, 128, 64, 1, 1)).keys())
    assert not QwenImageDiT.recognises(keys | {"controlnet_blocks.0.weight"})
    assert not QwenImageDiT.recognises(keys - {"img_in.weight"})
    assert not QwenImageDiT.recognises(set())


def test_on_meta_nothing_is_left_to_fill_but_the_weights():
    model = on_meta(**NARROW)
    assert not list(model.buffers())
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
