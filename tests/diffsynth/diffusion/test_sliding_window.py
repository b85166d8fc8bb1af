"""Windows over latent frames: full cover, exact where every window agrees, smooth where they do not."""

import pytest
import torch

from diffsynth.diffusion.sliding_window import checked_window, predict_in_windows, window_starts


def test_one_window_is_the_plain_prediction():
    latents = torch.randn(1, 2, 5, 3, 3)
    assert torch.equal(predict_in_windows(lambda part, start: part * 2, latents, size=5, stride=3), latents * 2)


@pytest.mark.parametrize("frames", range(5, 22))
@pytest.mark.parametrize(("size", "stride"), [(4, 1), (4, 2), (4, 3), (4, 4), (5, 2)])
def test_windows_that_agree_give_what_one_would(frames, size, stride):
    latents = torch.randn(1, 2, frames, 2, 2)
    seen = []

    def predict(part, start):
        assert torch.equal(part, latents[:, :, start : start + size])
        seen.append((start, part.shape[2]))
        return part.sin()

    result = predict_in_windows(predict, latents, size=size, stride=stride)
    torch.testing.assert_close(result, latents.sin(), rtol=0, atol=1e-6)
    assert all(length == min(size, frames) for _, length in seen)
    assert len(seen) == len(set(seen))


def test_windows_that_differ_are_blended_linearly():
    latents = torch.zeros(1, 1, 6, 1, 1)
    result = predict_in_windows(lambda part, start: part + (start > 0), latents, size=4, stride=2)
    torch.testing.assert_close(result.flatten(), torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]))


def test_the_last_window_ends_with_the_last_frame():
    assert window_starts(10, 4, 3) == [0, 3, 6]
    assert window_starts(11, 4, 3) == [0, 3, 6, 7]


@pytest.mark.parametrize(
    ("size", "stride", "message"),
    [
        (8, None, "sliding_window_stride is missing"),
        (None, 4, "sliding_window_size is missing"),
        (8, 9, "sliding_window_stride=9: expected 1 to 8 latent frames"),
        (8, 0, "sliding_window_stride=0: expected a whole number, at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(size, stride, message):
    with pytest.raises(ValueError, match=message):
        checked_window(size, stride)
