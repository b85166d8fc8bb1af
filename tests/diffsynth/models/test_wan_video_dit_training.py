"""Training through the Wan DiT: gradients, checkpointing, compilation of the blocks."""

from __future__ import annotations

import copy

import pytest
import torch

from diffsynth.models.wan_video_dit import TextCache, WanModel

SIZES = {"dim": 64, "ffn_dim": 96, "num_heads": 2, "num_layers": 2, "text_dim": 24, "freq_dim": 32}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return WanModel(**SIZES)


@pytest.fixture
def given():
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(2, 16, 3, 4, 6, generator=generator)
    return latents, torch.tensor([900.5, 12.25]), torch.randn(2, 7, 24, generator=generator)


def gradients(model, given, **options):
    """The loss and all gradients of one training step."""
    model.zero_grad()
    loss = model(*given, **options).square().mean()
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def test_gradients_are_the_slope_of_the_loss(model, given):
    _, slopes = gradients(model, given)
    torch.manual_seed(2)
    direction = {name: torch.randn_like(slope) for name, slope in slopes.items()}
    expected = sum((slopes[name] * step).sum() for name, step in direction.items()).item()
    model.double()
    given = (given[0], given[1], given[2].double())
    ends = []
    for side in (1e-4, -1e-4):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                parameter.add_(direction[name].double(), alpha=side)
            ends.append(moved(*given).double().square().mean().item())
    assert (ends[0] - ends[1]) / 2e-4 == pytest.approx(expected, rel=2e-3)
    assert all(slope.abs().max() > 0 for name, slope in slopes.items() if not name.endswith("attn.k.bias"))


def test_bfloat16_gradients_are_close_to_float32(model, given):
    _, expected = gradients(model, given)
    half = copy.deepcopy(model).bfloat16()
    _, found = gradients(half, (given[0], given[1], given[2].bfloat16()))
    for name in (
        "blocks.0.self_attn.q.weight",
        "blocks.1.ffn.0.weight",
        "patch_embedding.weight",
        "time_projection.1.weight",
    ):
        assert found[name].dtype == torch.bfloat16
        cosine = torch.nn.functional.cosine_similarity(found[name].float().flatten(), expected[name].flatten(), dim=0)
        assert cosine > 0.99, name


@pytest.mark.parametrize("option", ["use_gradient_checkpointing", "use_gradient_checkpointing_offload"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_checkpointing_changes_no_number(model, given, option, dtype):
    model.to(dtype)
    given = (given[0], given[1], given[2].to(dtype))
    loss, expected = gradients(model, given)
    again, found = gradients(model, given, **{option: True})
    assert torch.equal(loss, again)
    for name, slope in expected.items():
        assert torch.equal(found[name], slope), name


def test_checkpointing_runs_each_block_again_and_keeps_less(model, given):
    ran = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, _: ran.append(module))

    def bytes_kept(**options):
        kept = {}

        def keep(tensor):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(*given, **options).sum()
        loss.backward()
        return sum(kept.values())

    plain = bytes_kept()
    assert len(ran) == 2
    assert bytes_kept(use_gradient_checkpointing=True) < 0.5 * plain
    assert len(ran) == 2 + 4


def test_checkpointing_is_left_out_without_gradients(model, given):
    with torch.no_grad():
        expected = model(*given)
        assert torch.equal(model(*given, use_gradient_checkpointing=True), expected)


def test_gradients_through_a_text_cache(model, given):
    """Several steps of one generation under one loss: a cached prompt takes its share of the gradient."""

    def two_steps(cache):
        model.zero_grad()
        (
            model(*given, text_cache=cache) + model(given[0], given[1] / 2, given[2], text_cache=cache)
        ).square().mean().backward()
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    expected, found = two_steps(None), two_steps(TextCache())
    for name, slope in expected.items():
        torch.testing.assert_close(found[name], slope, rtol=1e-4, atol=1e-6)


def test_blocks_compile_without_a_break(model, given):
    with torch.no_grad():
        cache, other = TextCache(), TextCache()
        expected = [model(*given, text_cache=cache) for _ in range(2)]
        torch._dynamo.reset()
        for block in model.blocks:
            block.compile(backend="aot_eager", fullgraph=True)
        found = [model(*given, text_cache=other) for _ in range(2)]
    for one, another in zip(found, expected, strict=True):  # what was in place may round once more or less
        torch.testing.assert_close(one, another, rtol=0, atol=2e-6)


def test_compiled_blocks_train(model, given):
    _, expected = gradients(model, given)
    torch._dynamo.reset()
    for block in model.blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    _, found = gradients(model, given)
    for name, slope in expected.items():
        torch.testing.assert_close(found[name], slope, rtol=1e-4, atol=1e-6, msg=name)
