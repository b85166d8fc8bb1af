"""A saved video read back has the frames, size and rate asked for; what cannot be saved is said, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from diffsynth.utils.data import VideoData, save_frames, save_video

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs imageio[ffmpeg]")


def clip(length: int, height: int, width: int) -> list[Image.Image]:
    """Smooth pictures, each of its own brightness, so that a frame out of place shows."""
    y, x = np.mgrid[0:height, 0:width]
    frames = []
    for number in range(length):
        waves = [np.sin(x / (9 + c) + y / (14 - c) + number / 3) for c in range(3)]
        frames.append(np.stack(waves, -1) * 40 + 60 + 130 * number / max(length - 1, 1))
    return [Image.fromarray(frame.clip(0, 255).astype(np.uint8)) for frame in frames]


def stored(path) -> dict[str, object]:
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    reader.close()
    return {**meta, "frames": imageio_ffmpeg.count_frames_and_secs(str(path))[0]}


def difference(path, frames) -> float:
    """Mean over the frames of the largest mean error, in steps of 255."""
    read = VideoData(path).raw_data()
    errors = [
        np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).mean() for a, b in zip(read, frames, strict=True)
    ]
    return max(errors)


@pytest.mark.parametrize(
    ("height", "width"),
    [(64, 96), (50, 38), (34, 18), (33, 47), (48, 31)],
    ids=["of 16", "even", "small", "odd", "odd width"],
)
def test_size_and_frames(tmp_path, height, width):
    path = tmp_path / "video.mp4"
    frames = clip(9, height, width)
    save_video(frames, path, fps=15)
    assert stored(path)["size"] == (width, height)
    assert stored(path)["frames"] == 9
    assert difference(path, frames) < 3


@pytest.mark.parametrize("fps", [1, 15, 16.0, 24, 29.97, 24000 / 1001, 60])
def test_rate(tmp_path, fps):
    path = tmp_path / "video.mp4"
    save_video(clip(13, 32, 32), path, fps=fps)
    assert stored(path)["fps"] == pytest.approx(fps, abs=0.006)  # ffmpeg prints two digits
    assert stored(path)["frames"] == 13
    assert stored(path)["duration"] == pytest.approx(float(13 / Fraction(fps)), abs=0.011)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv", ".avi", ".webm", ".MP4"])
def test_kinds_of_files(tmp_path, ending):
    path = tmp_path / f"video{ending}"
    frames = clip(5, 48, 64)
    save_video(frames, path, fps=8)
    found = stored(path)
    assert (found["size"], found["frames"], found["fps"]) == ((64, 48), 5, 8)
    assert difference(path, frames) < 6


def test_arrays_a_generator_and_other_modes(tmp_path):
    frames = clip(4, 32, 48)
    save_video((np.asarray(frame) for frame in frames), tmp_path / "arrays.mp4", fps=4)
    assert difference(tmp_path / "arrays.mp4", frames) < 3
    save_video([frame.convert("RGBA") for frame in frames], tmp_path / "transparent.mp4", fps=4)
    assert difference(tmp_path / "transparent.mp4", frames) < 3
    save_video([np.asarray(frame)[:, ::-1] for frame in frames], tmp_path / "views.mp4", fps=4)
    assert (
        difference(tmp_path / "views.mp4", [frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for frame in frames]) < 3
    )


def test_quality_costs_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    for quality in (2, 9):
        save_video(noise, tmp_path / f"{quality}.mp4", fps=4, quality=quality)
    assert os.path.getsize(tmp_path / "9.mp4") > 2 * os.path.getsize(tmp_path / "2.mp4")


def test_ffmpeg_params_reach_ffmpeg(tmp_path):
    path = tmp_path / "video.mp4"
    save_video(clip(3, 32, 32), path, fps=4, ffmpeg_params=["-movflags", "+faststart"])
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_folders_are_made_and_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "video: 1.mp4"
    save_video(clip(3, 32, 32), path, fps=4)
    save_video(clip(5, 32, 32), str(path), 4)
    assert stored(path)["frames"] == 5
    assert os.listdir(path.parent) == [path.name]


def test_odd_sizes_are_warned_about(tmp_path, caplog):
    save_video(clip(2, 32, 32), tmp_path / "even.mp4", fps=4)
    assert not caplog.records
    save_video(clip(2, 33, 32), tmp_path / "odd.mp4", fps=4)
    assert "odd.mp4: 32x33 is odd, so it is written as yuv444p" in caplog.text
    assert "yuv420p" in stored(tmp_path / "even.mp4")["pix_fmt"]


BAD = {
    "no frames": ([], {}, ValueError, "there are no frames to save"),
    "sizes": (
        clip(2, 32, 32) + clip(1, 32, 48),
        {},
        ValueError,
        "frame 2 is 48x32, those before are 32x32; make them of one size",
    ),
    "no rate": (clip(2, 32, 32), {"fps": 0}, ValueError, "fps=0, expected a number of frames per second above 0"),
    "negative rate": (clip(2, 32, 32), {"fps": -15}, ValueError, "fps=-15, expected"),
    "text as rate": (clip(2, 32, 32), {"fps": "15"}, ValueError, "fps='15', expected"),
    "endless rate": (clip(2, 32, 32), {"fps": float("inf")}, ValueError, "fps=inf, expected"),
    "quality": (clip(2, 32, 32), {"quality": 11}, ValueError, "quality=11, expected 1 to 10"),
    "one image": (clip(1, 32, 32)[0], {}, TypeError, "expected a list of images as frames, got Image"),
    "a number": (3, {}, TypeError, "expected a list of images as frames, got int"),
    "floats": (np.zeros((2, 32, 32, 3)), {}, TypeError, r"frame 0 is float64 of shape \(32, 32, 3\), expected a PIL"),
    "no colours": (np.zeros((2, 32, 32), np.uint8), {}, TypeError, r"frame 0 is uint8 of shape \(32, 32\), expected"),
    "names": (["0.png"], {}, TypeError, "frame 0 is a str, expected a PIL image or a uint8 array"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_saved(tmp_path, case):
    frames, arguments, error, message = BAD[case]
    with pytest.raises(error, match=message) as raised:
        save_video(frames, tmp_path / "video.mp4", **{"fps": 15, **arguments})
    assert str(tmp_path / "video.mp4") in str(raised.value)
    assert os.listdir(tmp_path) == []


def test_unknown_endings(tmp_path):
    with pytest.raises(ValueError, match=r"video\.mpeg5: the ending '\.mpeg5' is not known, expected one of \.mp4,"):
        save_video(clip(2, 32, 32), tmp_path / "video.mpeg5", fps=4)
    with pytest.raises(ValueError, match="the ending '' is not known"):
        save_video(clip(2, 32, 32), tmp_path / "video", fps=4)


def test_places_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(NotADirectoryError, match=r"file is a file, expected a folder"):
        save_video(clip(2, 32, 32), tmp_path / "file" / "video.mp4", fps=4)
    with pytest.raises(IsADirectoryError, match=r"folder\.mp4 is a folder, expected the name of a video file"):
        save_video(clip(2, 32, 32), tmp_path / "folder.mp4", fps=4)
    with pytest.raises(NotADirectoryError, match="is a file, expected a folder"):
        save_frames(clip(2, 32, 32), tmp_path / "file")


def test_a_failure_of_ffmpeg_leaves_the_old_video(tmp_path):
    path = tmp_path / "video.mp4"
    save_video(clip(3, 32, 32), path, fps=4)
    before = path.read_bytes()
    with pytest.raises(
        OSError, match=r"video\.mp4: ffmpeg could not write it.*check ffmpeg_params=\['-nonsense', '1'\]"
    ):
        save_video(clip(40, 256, 256), path, fps=4, ffmpeg_params=["-nonsense", "1"])
    with pytest.raises(OSError, match=r"ffmpeg wrote 2 frames of 4; check ffmpeg_params=\['-frames:v', '2'\]"):
        save_video(clip(4, 32, 32), path, fps=4, ffmpeg_params=["-frames:v", "2"])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["video.mp4"]


def test_a_failure_among_the_frames_leaves_nothing(tmp_path):
    def frames():
        yield from clip(3, 32, 32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_video(frames(), tmp_path / "video.mp4", fps=4)
    assert os.listdir(tmp_path) == []


def test_frames_as_images(tmp_path):
    frames = clip(12, 20, 30)
    save_frames(frames, tmp_path / "frames")
    assert sorted(os.listdir(tmp_path / "frames")) == sorted(f"{number}.png" for number in range(12))
    assert all(np.array_equal(a, b) for a, b in zip(VideoData(image_folder=tmp_path / "frames"), frames, strict=True))
    with pytest.raises(ValueError, match="none: there are no frames to save"):
        save_frames([], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_without_imageio_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "imageio\[ffmpeg\]"'):
        save_video(clip(2, 32, 32), tmp_path / "video.mp4", fps=4)
    assert os.listdir(tmp_path) == []


def test_quiet_in_a_pipe_and_cheap_to_import(tmp_path):
    program = (
        "import sys\n"
        "from diffsynth.utils.data import VideoData, save_video\n"
        "assert not {'imageio', 'imageio_ffmpeg', 'transformers'} & set(sys.modules)\n"
        "from PIL import Image\n"
        f"save_video([Image.new('RGB', (32, 32))] * 3, {str(tmp_path / 'video.mp4')!r}, fps=4)\n"
        f"VideoData({str(tmp_path / 'video.mp4')!r}).raw_data()\n"
    )
    root = __file__.split(f"{os.sep}tests{os.sep}diffsynth")[0]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
