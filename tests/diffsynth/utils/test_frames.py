"""Pictures to tensors and back: exact, and clear where the frames do not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffsynth.utils.frames import frames_from_video, video_from_frames


def pictures(count=3, size=(6, 4)):
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)) for _ in range(count)]


def test_there_and_back_is_exact_but_for_the_dropped_fraction():
    frames = pictures()
    video = video_from_frames(frames, height=4, width=6, num_frames=3)
    assert video.shape == (1, 3, 3, 4, 6)
    assert video.dtype == torch.float32
    assert video.min() >= -1
    assert video.max() <= 1
    for before, after in zip(frames, frames_from_video(video), strict=True):
        assert np.abs(np.asarray(before).astype(int) - np.asarray(after)).max() <= 1


def test_values_are_cut_and_truncated():
    video = torch.tensor([-2.0, -1.0, 0.0, 0.999, 1.0, 3.0]).view(1, 1, 1, 1, 6).expand(1, 3, 1, 1, 6)
    assert np.asarray(frames_from_video(video)[0])[0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]


def test_grey_and_transparent_pictures_become_rgb():
    frames = [picture.convert(mode) for picture, mode in zip(pictures(), ("L", "RGBA", "P"), strict=True)]
    assert video_from_frames(frames, height=4, width=6, num_frames=3).shape == (1, 3, 3, 4, 6)


def test_another_number_of_frames_is_named():
    with pytest.raises(ValueError, match="input_video has 3 frames, but num_frames is 5"):
        video_from_frames(pictures(), height=4, width=6, num_frames=5)


def test_another_size_is_named():
    with pytest.raises(ValueError, match="frame 0 of input_video is 6x4, but the video asked for is 8x4"):
        video_from_frames(pictures(), height=4, width=8, num_frames=3)
