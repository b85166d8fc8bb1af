import pytest

from diffsynth.core.data import DatasetError
from diffsynth.core.data.frames import FrameSize

WAN = {"multiple": 16, "frames_step": 4}


def test_a_given_size_is_taken():
    assert FrameSize(480, 832, **WAN).of(1080, 1920) == (480, 832)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ((480, 832), (480, 832)),
        ((487, 850), (480, 848)),
        ((1080, 1920), (768, 1360)),  # 768 by 1365.3 has the pixels
        ((5, 4000), (16, 4000)),
    ],
)
def test_otherwise_the_shape_is_kept_under_a_number_of_pixels(stored, expected):
    height, width = FrameSize(**WAN).of(*stored)
    assert (height, width) == expected
    assert height * width <= 1024 * 1024


@pytest.mark.parametrize(("length", "kept"), [(1, 1), (4, 1), (5, 5), (80, 77), (81, 81), (500, 81)])
def test_frames_are_4k_plus_1(length, kept):
    assert FrameSize(**WAN).frames_of(length) == kept


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height": 480}, "--height 480 and --width None: give both, or neither"),
        ({"height": 480, "width": 830}, "--width 830: expected a multiple of 16"),
        ({"height": 0, "width": 832}, "--height 0: expected a multiple of 16"),
        ({"max_pixels": 100}, "--max_pixels 100: expected at least 256"),
        ({"num_frames": 80}, r"--num_frames 80: expected a number of the form 4k \+ 1"),
        ({"num_frames": 0}, "--num_frames 0: expected"),
    ],
)
def test_values_out_of_range(values, message):
    with pytest.raises(DatasetError, match=message):
        FrameSize(**WAN, **values)
