"""The rotary tables and the turning of pairs, against complex arithmetic in float64."""

from __future__ import annotations

import pytest
import torch

from diffsynth.core.fused.plain import rotated
from diffsynth.models import rotary
from diffsynth.models.rotary import AxialRotary, AxisTables, TextAndPicturesRotary

CPU = torch.device("cpu")


def rotary_tables(positions, dims, theta=10000.0):
    return AxisTables(dims, theta).grid([axis.tolist() for axis in positions], CPU)


def turned_in_complex_numbers(tokens, positions, dims, theta):
    """Each pair as a complex number, times exp(i * position * theta^(-2k/dim))."""
    grid = torch.cartesian_prod(*[axis.double() for axis in positions]).reshape(-1, len(dims))
    angles = torch.cat(
        [
            grid[:, axis : axis + 1] * theta ** -(torch.arange(0, dim, 2).double() / dim)
            for axis, dim in enumerate(dims)
        ],
        dim=1,
    )
    pairs = torch.view_as_complex(tokens.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles).unsqueeze(1)).flatten(-2)


@pytest.mark.parametrize(
    ("sizes", "dims", "theta"), [((3, 5, 7), (44, 42, 42), 1e4), ((2, 9), (4, 8), 1e4), ((6, 1, 3), (8, 4, 4), 50.0)]
)
def test_turns_as_complex_numbers_do(sizes, dims, theta):
    torch.manual_seed(0)
    positions = [torch.arange(size) - size // 2 for size in sizes]
    tokens = torch.randn(2, torch.Size(sizes).numel(), 3, sum(dims))
    turned = rotated(tokens, *rotary_tables(positions, dims, theta))
    assert turned.dtype == torch.float32
    torch.testing.assert_close(
        turned.double(), turned_in_complex_numbers(tokens, positions, dims, theta), rtol=0, atol=1e-6
    )


def test_far_positions_keep_the_precision_of_float64():
    positions = [torch.tensor([100_003])]
    cos, sin = rotary_tables(positions, [128])
    angles = 100_003 * 10000.0 ** -(torch.arange(0, 128, 2).double() / 128)
    torch.testing.assert_close(cos[0, 0, ::2].double(), angles.cos(), rtol=0, atol=1e-7)
    torch.testing.assert_close(sin[0, 0, ::2].double(), angles.sin(), rtol=0, atol=1e-7)


def test_bfloat16_is_turned_in_float32():
    torch.manual_seed(0)
    tables = rotary_tables([torch.arange(50)], [16])
    tokens = torch.randn(1, 50, 2, 16).bfloat16()
    assert torch.equal(rotated(tokens, *tables), rotated(tokens.float(), *tables).bfloat16())


def test_tokens_stay_as_they_were():
    tokens = torch.randn(1, 4, 2, 8)
    before = tokens.clone()
    rotated(tokens, *rotary_tables([torch.arange(4)], [8]))
    assert torch.equal(tokens, before)


def test_gradient():
    tables = [table.double() for table in rotary_tables([torch.arange(3)], [4])]
    tokens = torch.randn(1, 3, 2, 4, requires_grad=True)
    weight = torch.randn(1, 3, 2, 4)
    (rotated(tokens, *[table.float() for table in tables]) * weight).sum().backward()
    back = rotated(weight, tables[0].float(), -tables[1].float())  # the inverse of a turn is its transpose
    torch.testing.assert_close(tokens.grad, back)


def test_tables_are_built_once_for_a_shape_and_device():
    rotary = AxialRotary((4, 2))
    cpu, meta = torch.device("cpu"), torch.device("meta")
    first = rotary.tables((3, 2), cpu)
    assert rotary.tables((3, 2), cpu)[0] is first[0]
    assert rotary.tables((2, 3), cpu)[0] is not first[0]
    assert rotary.tables((3, 2), meta)[0].device == meta
    assert [table.shape for table in first] == [(6, 1, 6)] * 2


def test_far_positions_are_those_of_their_own_call():
    """Whatever another thread puts in the place of a table meanwhile."""
    axes = AxisTables((4,))
    near = axes.build(CPU)

    class Overtaken(dict):
        def __setitem__(self, device, tables):
            super().__setitem__(device, near)

    axes._known = Overtaken({CPU: near})
    _, sin = axes.grid([range(5000, 5002)], CPU)
    torch.testing.assert_close(sin[:, 0, 0], torch.tensor([5000.0, 5001.0], dtype=torch.float64).sin().float())


def test_tables_of_many_shapes_are_not_all_kept():
    rotary = AxialRotary((2,))
    first = rotary.tables((1,), torch.device("cpu"))
    for rows in range(2, 12):
        rotary.tables((rows,), torch.device("cpu"))
    assert rotary.tables((1,), torch.device("cpu"))[0] is not first[0]


def test_a_table_from_inference_mode_serves_training():
    rotary = AxialRotary((4,))
    with torch.inference_mode():
        rotary.tables((3,), torch.device("cpu"))
    tokens = torch.randn(1, 3, 1, 4, requires_grad=True)
    rotated(tokens, *rotary.tables((3,), torch.device("cpu"))).sum().backward()
    assert tokens.grad is not None


def test_text_starts_where_the_largest_picture_ends_and_pictures_are_centred():
    """The published rule: rows and columns from -ceil(n/2) on, the picture's number, and the text beyond them all."""
    rotary = TextAndPicturesRotary((4, 6, 6))
    cos, sin = rotary.tables(((3,), ((2, 3), (5, 2)), False), torch.device("cpu"))
    assert cos.shape == (3 + 6 + 10, 1, 16)
    assert torch.equal(sin[..., ::2], sin[..., 1::2])
    text = [(2 + place,) * 3 for place in range(3)]
    first = [(0, row, column) for row in (-1, 0) for column in (-2, -1, 0)]
    second = [(1, row, column) for row in (-3, -2, -1, 0, 1) for column in (-1, 0)]
    fastest = [0, 2, 5]  # the first pair of each axis turns by the position itself
    angles = torch.tensor(text + first + second, dtype=torch.float32)
    torch.testing.assert_close(sin[:, 0, ::2][:, fastest], angles.sin())


def test_a_picture_with_layers_has_the_number_before_the_first_and_texts_start_behind_the_layers():
    rotary = TextAndPicturesRotary((4, 6, 6), last_before_first=True)
    cos, sin = rotary.tables(((2, 1), ((2, 2),) * 5, False), torch.device("cpu"))
    text = [(4,) * 3, (5,) * 3, (4,) * 3]  # behind layer 3, further out than any row
    pictures = [(number, row, column) for number in (0, 1, 2, 3, -1) for row in (-1, 0) for column in (-1, 0)]
    angles = torch.tensor(text + pictures, dtype=torch.float32)
    torch.testing.assert_close(sin[:, 0, ::2][:, [0, 2, 5]], angles.sin())
    torch.testing.assert_close(cos[:, 0, ::2][:, [0, 2, 5]], angles.cos())


def test_spread_pictures_reach_as_far_as_the_first():
    rotary = TextAndPicturesRotary((4, 6, 6))
    _, sin = rotary.tables(((2,), ((5, 3), (3, 5), (5, 3), (1, 2)), True), torch.device("cpu"))
    text = [(2,) * 3, (3,) * 3]
    pictures = [(0, row, column) for row in range(-3, 2) for column in (-2, -1, 0)]
    pictures += [(1, row, column) for row in (-3, -1, 1) for column in (-2, -2, -1, -1, 0)]
    pictures += [(2, row, column) for row in range(-3, 2) for column in (-2, -1, 0)]
    pictures += [(3, -3, column) for column in (-2, 0)]
    angles = torch.tensor(text + pictures, dtype=torch.float32)
    torch.testing.assert_close(sin[:, 0, ::2][:, [0, 2, 5]], angles.sin())


def test_tables_of_text_and_pictures_are_built_once_for_a_length_shapes_and_device():
    rotary = TextAndPicturesRotary((4, 6, 6))
    device = torch.device("cpu")
    kept = rotary.tables(((3,), ((2, 2),), False), device)
    assert rotary.tables(((3,), ((2, 2),), False), device)[0] is kept[0]
    for other in (((4,), ((2, 2),), False), ((3,), ((2, 4),), False), ((3,), ((2, 2), (2, 2)), False)):
        assert rotary.tables(other, device)[0].shape != kept[0].shape


@pytest.mark.parametrize(
    "positions", [[range(3), range(5)], [range(-140, -3), range(2, 4)], [range(1), range(1020, 1030)]]
)
def test_ranges_are_laid_out_as_any_positions_are(positions):
    whole = rotary_tables([torch.tensor(list(axis)) for axis in positions], (8, 4))
    laid_out = AxisTables((8, 4)).grid(positions, CPU)
    assert all(torch.equal(*each) for each in zip(whole, laid_out, strict=True))


def test_what_was_built_ahead_serves_any_call_without_an_angle_being_computed(monkeypatch):
    axial, mixed = AxialRotary((8, 4, 4)), TextAndPicturesRotary((8, 4, 4))
    for each in (axial, mixed):
        each.axes.build(CPU)
    monkeypatch.setattr(rotary, "_of_axis", lambda *_: pytest.fail("an angle was computed in a step"))
    assert axial.tables((21, 30, 52), CPU)[0].shape == (21 * 30 * 52, 1, 16)
    assert mixed.tables(((512,), ((83, 83), (64, 64)), False), CPU)[0].shape == (512 + 83**2 + 64**2, 1, 16)


def test_a_step_beyond_what_was_built_has_more_built():
    axial = AxialRotary((8,))
    axial.axes.build(CPU)
    cos, _ = axial.tables((5000,), CPU)
    assert torch.equal(cos, rotary_tables([torch.arange(5000)], (8,))[0])
