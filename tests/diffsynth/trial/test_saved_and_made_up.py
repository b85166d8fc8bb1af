"""What scripts hand to the savers is kept, and what they read is made up where it is missing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from diffsynth.trial.compare import differences, draw_side_by_side
from diffsynth.trial.made_up import CannotMakeUp, with_clip, with_picture, write_weights_once
from diffsynth.trial.saved import Saved
from diffsynth.utils import data


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Saved, SimpleNamespace]:
    """Saved, with a module of savers of its own; PIL's is put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image.Image, "save", Image.Image.save)
    savers = SimpleNamespace(save_video=data.save_video, save_frames=data.save_frames)
    kept = Saved(tmp_path)
    kept.install(savers)
    return kept, savers


def frames(count: int = 5) -> list[Image.Image]:
    return [Image.new("RGB", (16, 8), (index, 2, 3)) for index in range(count)]


def test_a_video_is_kept_once_and_saved(saved: tuple[Saved, SimpleNamespace], tmp_path: Path) -> None:
    kept, savers = saved
    savers.save_video(frames(), "a.mp4", fps=15, quality=5)
    (result,) = kept.results
    assert (result["name"], result["shape"], result["dtype"]) == ("a.mp4", [5, 8, 16, 3], "uint8")
    assert np.load(result["array"])[4, 0, 0].tolist() == [4, 2, 3]
    assert (tmp_path / "a.mp4").stat().st_size > 0


def test_frames_that_can_be_read_once_are_kept_and_saved(saved: tuple[Saved, SimpleNamespace], tmp_path: Path) -> None:
    kept, savers = saved
    savers.save_frames((frame for frame in frames(3)), "folder")
    assert [result["shape"] for result in kept.results] == [[3, 8, 16, 3]]
    assert len(list((tmp_path / "folder").iterdir())) == 3


def test_a_picture_is_a_video_of_one_frame(saved: tuple[Saved, SimpleNamespace], tmp_path: Path) -> None:
    kept, _ = saved
    frames()[1].save(tmp_path / "a.png")
    frames()[2].save(fp=tmp_path / "b.png")
    assert [result["shape"] for result in kept.results] == [[1, 8, 16, 3]] * 2
    assert kept.results[0]["digest"] != kept.results[1]["digest"]


def test_digests_are_of_the_values(saved: tuple[Saved, SimpleNamespace]) -> None:
    kept, savers = saved
    savers.save_video(frames(), "a.mp4", fps=15)
    savers.save_video([np.asarray(frame) for frame in frames()], "b.mp4", fps=15)
    assert kept.results[0]["digest"] == kept.results[1]["digest"]


def test_a_missing_clip_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data.VideoData, "__init__", with_clip(data.VideoData.__init__, tmp_path / "nowhere"))
    video = data.VideoData("data/examples/wan/video1.mp4", height=480, width=832)
    video.set_length(81)
    assert len(video) == 81
    assert video[0].size == (832, 480)
    assert video[0].tobytes() != video[40].tobytes()
    again = data.VideoData("data/examples/wan/video1.mp4", height=480, width=832)
    assert again[7].tobytes() == video[7].tobytes()


def test_a_clip_that_the_user_has_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "work").mkdir()
    data.save_video(frames(9), tmp_path / "mine" / "clip.mp4", fps=15)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(data.VideoData, "__init__", with_clip(data.VideoData.__init__, tmp_path / "mine"))
    assert len(data.VideoData("clip.mp4")) == 9


def test_a_missing_picture_is_made_up_and_is_no_result(
    saved: tuple[Saved, SimpleNamespace], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept, _ = saved
    monkeypatch.setattr(Image, "open", with_picture(Image.open, tmp_path / "nowhere"))
    assert Image.open("data/image1.jpg").convert("RGB").size == (256, 256)
    assert kept.results == []


def test_weights_are_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"
    write_weights_once(model, tmp_path)
    written = sorted((tmp_path / model).iterdir())
    assert written
    times = [file.stat().st_mtime_ns for file in written]
    write_weights_once(model, tmp_path)
    assert [file.stat().st_mtime_ns for file in written] == times
    with pytest.raises(CannotMakeUp, match="the weights of Someone/Else, which cannot be made up; those of Wan-AI/"):
        write_weights_once("Someone/Else", tmp_path)


def test_differences_and_the_picture(tmp_path: Path) -> None:
    first, second = np.zeros((5, 8, 16, 3), np.uint8), np.zeros((5, 8, 16, 3), np.uint8)
    second[0, 0, 0, 0] = 192
    np.save(tmp_path / "a.npy", first)
    np.save(tmp_path / "b.npy", second)
    a, b = str(tmp_path / "a.npy"), str(tmp_path / "b.npy")
    assert differences([a], [b]) == {"largest": 192.0, "mean": 0.1, "share": 1 / 1920}
    assert differences([a], [a, b]) is None
    draw_side_by_side([{"label": "one", "array": a}, {"label": "none", "array": None}], tmp_path / "new" / "sheet.png")
    sheet = Image.open(tmp_path / "new" / "sheet.png")
    assert sheet.getpixel((200, 50)) == (0, 0, 0)
    assert sheet.getpixel((sheet.width - 10, 150)) == (255, 255, 255)
