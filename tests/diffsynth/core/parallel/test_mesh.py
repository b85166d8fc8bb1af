"""Which degrees are taken, and which are refused in words."""

import pytest

from diffsynth.core.parallel.mesh import DegreeError, Degrees, check_degrees, choose_degrees, even_parts


@pytest.mark.parametrize(
    ("size", "asked", "heads", "machine", "expected"),
    [
        (1, (None, None, None), [40], 8, Degrees(1, 1, 1)),
        (8, (None, None, None), [40], 8, Degrees(1, 1, 8)),
        (8, (None, None, None), [12], 8, Degrees(1, 2, 4)),
        (6, (None, None, None), [12], 8, Degrees(1, 3, 2)),  # groups of 6 or 3 would reach over machines of 8
        (6, (None, None, None), [12], 6, Degrees(1, 1, 6)),
        (7, (None, None, None), [40], 7, Degrees(1, 7, 1)),
        (16, (None, None, None), [40, 40], 8, Degrees(1, 2, 8)),
        (8, (None, None, 2), [40], 8, Degrees(2, 1, 4)),
        (8, (2, None, 2), [40], 8, Degrees(2, 2, 2)),
        (8, (None, 2, None), [3], 8, Degrees(1, 2, 4)),
        (4, (4, None, None), [3], 4, Degrees(1, 1, 4)),
        (4, (1, 4, 1), [40], 4, Degrees(1, 4, 1)),
    ],
)
def test_degrees_that_are_left_open(size, asked, heads, machine, expected):
    chosen = choose_degrees(size, *asked, heads=heads, machine_size=machine)
    assert chosen == expected
    assert chosen.product == size


@pytest.mark.parametrize(
    ("size", "asked", "says"),
    [
        (4, (3, None, None), "ulysses_degree=3 makes 3, and there are 4 processes"),
        (4, (2, 1, None), "ulysses_degree=2 * ring_degree=1 makes 2, and there are 4 processes"),
        (1, (2, None, None), "ulysses_degree=2 makes 2, and there is 1 process"),
        (3, (None, None, 2), "cfg_degree=2 makes 2, and there are 3 processes"),
        (4, (0, None, None), "ulysses_degree=0: expected a whole number above 0, or None"),
        (4, (None, 1.5, None), "ring_degree=1.5: expected a whole number above 0"),
        (4, (None, True, None), "ring_degree=True: expected a whole number above 0"),
        (3, (None, None, 3), "cfg_degree=3: expected 1 or 2"),
    ],
)
def test_degrees_that_cannot_be(size, asked, says):
    with pytest.raises(DegreeError) as error:
        check_degrees(size, *asked)
    assert str(error.value).startswith(says)


@pytest.mark.parametrize("asked", [(2, 1, 2), (None, 2, 2), (4, None, None), (None, None, None), (2, 2, None)])
def test_degrees_that_can_be(asked):
    check_degrees(4, *asked)


@pytest.mark.parametrize(
    ("length", "parts", "expected"), [(8, 4, [2, 2, 2, 2]), (33, 4, [9, 8, 8, 8]), (3, 4, [1, 1, 1, 0]), (0, 2, [0, 0])]
)
def test_even_parts(length, parts, expected):
    assert even_parts(length, parts) == expected
