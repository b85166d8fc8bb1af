"""The Wan DiT's numbers, against diffusers on the same weights, and what its caches and its errors promise."""

from __future__ import annotations

import pytest
import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

from diffsynth.models.layers import Float32Linear
from diffsynth.models.wan_video_dit import TextCache, WanModel

WIDE = {"dim": 256, "ffn_dim": 320, "num_heads": 2, "num_layers": 2, "text_dim": 48}
NARROW = {"dim": 96, "ffn_dim": 100, "num_heads": 4, "num_layers": 3, "text_dim": 40, "freq_dim": 64}


def network(seed=0, **sizes):
    """A WanModel whose norms and biases are not those of a fresh layer, so that each of them counts."""
    torch.manual_seed(seed)
    model = WanModel(**sizes).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
        elif "modulation" in name:
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def oracle(
    model, dim, ffn_dim, num_heads, num_layers, text_dim, freq_dim=256, in_dim=16, picture_dim=0, picture_positions=0
):
    """diffusers' network with the same weights."""
    theirs = WanTransformer3DModel(
        num_attention_heads=num_heads,
        attention_head_dim=dim // num_heads,
        in_channels=in_dim,
        out_channels=16,
        text_dim=text_dim,
        freq_dim=freq_dim,
        ffn_dim=ffn_dim,
        num_layers=num_layers,
        image_dim=picture_dim or None,
        added_kv_proj_dim=dim if picture_dim else None,
        pos_embed_seq_len=picture_positions or None,
    )
    state_dict = convert_wan_transformer_to_diffusers(model.state_dict())
    if picture_positions:
        state_dict["condition_embedder.image_embedder.pos_embed"] = state_dict.pop("img_emb.emb_pos")
    theirs.load_state_dict(state_dict)
    return theirs.eval()


def inputs(shape, text_dim, length=11, seed=1):
    generator = torch.Generator().manual_seed(seed)
    timestep = torch.tensor([833.333, 41.7])[: shape[0]]
    context = torch.randn(shape[0], length, text_dim, generator=generator)
    return torch.randn(shape, generator=generator), timestep, context


@torch.no_grad()
def theirs_of(model, latents, timestep, context, picture=None):
    return model(latents, timestep, context, picture, return_dict=False)[0]


@pytest.mark.parametrize("with_cache", [False, True], ids=["plain", "text cache"])
@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        (WIDE, (1, 16, 3, 8, 12)),
        (WIDE, (2, 16, 5, 6, 6)),  # two videos at two timesteps, 45 tokens each
        (WIDE, (1, 16, 1, 2, 2)),  # a single token
        (NARROW, (2, 16, 3, 6, 10)),
        ({**WIDE, "in_dim": 36}, (1, 36, 2, 6, 4)),
    ],
    ids=str,
)
def test_equal_to_diffusers(sizes, shape, with_cache):
    model = network(**sizes)
    given = inputs(shape, sizes["text_dim"])
    cache = TextCache() if with_cache else None
    if cache:  # filled at another step
        model(given[0] * 2, given[1] - 7, given[2], text_cache=cache)
    ours = model(*given, text_cache=cache)
    assert ours.dtype == torch.float32
    expected = theirs_of(oracle(model, **sizes), *given)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(ours, expected, rtol=0, atol=5e-5)


@pytest.mark.parametrize("with_cache", [False, True], ids=["plain", "text cache"])
@pytest.mark.parametrize("positions", [0, 26], ids=["first frame", "first and last frame"])
def test_a_picture_as_in_diffusers(positions, with_cache):
    sizes = {**WIDE, "in_dim": 36, "picture_dim": 80, "picture_positions": positions}
    model = network(**sizes)
    if positions:
        model.img_emb.emb_pos.normal_()
    # diffusers takes the last 512 for the prompt's, however many there are.
    latents, timestep, context = inputs((2, 36, 3, 6, 8), WIDE["text_dim"], length=512)
    picture = torch.randn(2, 26 if positions else 13, 80)
    cache = TextCache() if with_cache else None
    if cache:
        model(latents * 2, timestep - 7, context, picture=picture, text_cache=cache)
    found = model(latents, timestep, context, picture=picture, text_cache=cache)
    theirs = oracle(model, **sizes)
    paired = picture.reshape(4, 13, 80) if positions else picture
    expected = theirs_of(theirs, latents, timestep, context, paired)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)
    if not positions:
        assert (model(latents, timestep, context, picture=picture.flip(2)) - found).abs().max() > 1e-3


def test_a_timestep_for_each_frame_as_in_diffusers():
    model = network(**WIDE)
    latents, _, context = inputs((2, 16, 3, 6, 8), WIDE["text_dim"])
    timestep = torch.tensor([[0.0, 833.3, 833.3], [0.0, 41.7, 700.0]])
    of_tokens = timestep.repeat_interleave(3 * 4, dim=1)
    found = model(latents, timestep, context)
    expected = theirs_of(oracle(model, **WIDE), latents, of_tokens, context)
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)
    same = model(latents, torch.full((2, 3), 500.0), context)
    torch.testing.assert_close(same, model(latents, torch.full((2,), 500.0), context), rtol=0, atol=1e-5)


def test_a_reference_stands_before_the_first_frame():
    model = network(**WIDE, reference_dim=16)
    latents, timestep, context = inputs((2, 16, 3, 6, 8), WIDE["text_dim"])
    reference = torch.randn(2, 16, 6, 8)
    found = model(latents, timestep, context, reference=reference)
    # The same weights for the reference's patches as for the video's: it is then a frame before the video's.
    model.patch_embedding.weight.copy_(model.ref_conv.weight.unsqueeze(2))
    model.patch_embedding.bias.copy_(model.ref_conv.bias)
    whole = model(torch.cat([reference.unsqueeze(2), latents], dim=2), timestep, context)[:, :, 1:]
    alike = model(latents, timestep, context, reference=reference)
    torch.testing.assert_close(alike, whole, rtol=0, atol=1e-5)
    assert (found - alike).abs().max() > 0.01


def test_the_camera_adds_to_the_tokens():
    model = network(**WIDE, camera_dim=24)
    latents, timestep, context = inputs((2, 16, 3, 6, 8), WIDE["text_dim"])
    rays = torch.randn(2, 24, 3, 48, 64)
    adapter, frame = model.control_adapter, 1
    added = adapter(rays)
    assert added.shape == (2, 3 * 3 * 4, WIDE["dim"])
    image = adapter.conv(torch.nn.functional.pixel_unshuffle(rays[:, :, frame], 8))
    block = adapter.residual_blocks[0]
    image = image + block.conv2(torch.relu(block.conv1(image)))
    torch.testing.assert_close(added.unflatten(1, (3, 12))[:, frame], image.flatten(2).transpose(1, 2))
    tokens = []
    model.blocks[0].register_forward_pre_hook(lambda module, given: tokens.append(given[0]))
    model(latents, timestep, context)
    model(latents, timestep, context, camera=rays)
    torch.testing.assert_close(tokens[1], tokens[0] + added)


def test_a_picture_that_does_not_fit():
    given = inputs((1, 16, 1, 4, 4), WIDE["text_dim"])
    with pytest.raises(ValueError, match="a picture was given, and this model takes none"):
        network(**WIDE)(*given, picture=torch.randn(1, 5, 80))
    with pytest.raises(ValueError, match="a reference was given, and this model takes none"):
        network(**WIDE)(*given, reference=torch.randn(1, 16, 4, 4))
    with pytest.raises(ValueError, match="this model attends to a picture, and no picture's features were given"):
        network(**WIDE, picture_dim=80)(*given)
    with pytest.raises(ValueError, match="the pictures have 13 tokens, and this model takes 26"):
        network(**WIDE, picture_dim=80, picture_positions=26)(*given, picture=torch.randn(1, 13, 80))


def test_every_weight_counts():
    model = network(**WIDE)
    given = inputs((1, 16, 2, 4, 6), WIDE["text_dim"])
    before = model(*given)
    for name, parameter in model.named_parameters():
        if name.endswith(("cross_attn.k.bias", "self_attn.k.bias")):
            continue  # softmax is nearly blind to these
        kept = parameter.clone()
        parameter.add_(torch.randn_like(parameter))
        assert not torch.equal(model(*given), before), name
        parameter.copy_(kept)


def test_text_cache_spares_the_prompts_projections():
    model = network(**WIDE)
    latents, timestep, context = inputs((1, 16, 2, 4, 4), WIDE["text_dim"])
    ran = []
    layers = [
        model.text_embedding[0],
        *(layer for block in model.blocks for layer in (block.cross_attn.k, block.cross_attn.v)),
    ]
    for layer in layers:
        layer.register_forward_hook(lambda module, given, output: ran.append(module))
    cache = TextCache()
    first = model(latents, timestep, context, text_cache=cache)
    assert ran == layers
    assert torch.equal(model(latents, timestep, context, text_cache=cache), first)
    assert ran == layers


def test_text_cache_refuses_another_prompt_or_model():
    model, other = network(**WIDE), network(seed=3, **WIDE)
    latents, timestep, context = inputs((1, 16, 1, 4, 4), WIDE["text_dim"])
    cache = TextCache()
    model(latents, timestep, context, text_cache=cache)
    model(latents, timestep, context.clone(), text_cache=cache)  # the same prompt
    for wrong_model, wrong_context in ((other, context), (model, context + 1), (model, context[:, :5])):
        with pytest.raises(ValueError, match="TextCache holds one prompt as one model sees it"):
            wrong_model(latents, timestep, wrong_context, text_cache=cache)


class RecordingStepCache:
    """Skips the blocks once it has seen them run."""

    def __init__(self):
        self.before = self.after = None
        self.modulation = []

    def skip(self, modulation, tokens):
        self.modulation.append(modulation)
        return None if self.after is None else tokens + (self.after - self.before)

    def store(self, before, after):
        self.before, self.after = before, after


def test_step_cache_stands_in_for_the_blocks():
    model = network(**WIDE)
    latents, timestep, context = inputs((1, 16, 2, 4, 4), WIDE["text_dim"])
    ran = []
    for block in model.blocks:
        block.register_forward_hook(lambda module, given, output: ran.append(module))
    cache = RecordingStepCache()
    first = model(latents, timestep, context, step_cache=cache)
    assert ran == list(model.blocks)
    torch.testing.assert_close(cache.before, model.patch_embedding(latents))
    torch.testing.assert_close(model(latents, timestep, context, step_cache=cache), first)
    assert ran == list(model.blocks)
    assert [modulation.shape for modulation in cache.modulation] == [(1, 6, 256)] * 2


def test_float32_linear_computes_in_float32_on_bfloat16_weights():
    torch.manual_seed(0)
    layer = Float32Linear(16, 96).bfloat16()
    features = torch.randn(2, 16)
    expected = torch.nn.functional.linear(features, layer.weight.float(), layer.bias.float())
    assert layer(features).dtype == torch.float32
    torch.testing.assert_close(layer(features), expected)


def test_bfloat16_is_close_to_float32_and_timesteps_are_not_rounded():
    model = network(**WIDE)
    latents, timestep, context = inputs((1, 16, 3, 8, 8), WIDE["text_dim"])
    expected = model(latents, timestep, context)
    model.bfloat16()
    half = model(latents, timestep, context.bfloat16())
    assert half.dtype == torch.float32
    assert (half - expected).abs().max() < 0.05 * expected.abs().max()
    # 833.333 and 832 are one bfloat16 number, and two timesteps.
    assert not torch.equal(model(latents, timestep - 1.333, context.bfloat16()), half)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 36, 2, 4, 4), "latents have 36 channels, this model takes 16"),
        ((1, 16, 2, 5, 4), "latents of size 2x5x4 do not divide into patches of 1x2x2"),
        ((16, 2, 4, 4), r"latents are of shape \(16, 2, 4, 4\): expected \(batch, 16, frames, height, width\)"),
    ],
)
def test_latents_that_do_not_fit(shape, message):
    latents, timestep, context = inputs(shape, WIDE["text_dim"])
    with pytest.raises(ValueError, match=message):
        network(**WIDE)(latents, timestep, context)


def test_heads_that_do_not_fit():
    with pytest.raises(ValueError, match="dim=96 does not divide into num_heads=5 heads"):
        WanModel(96, 64, 5, 1)
