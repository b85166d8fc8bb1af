"""What scripts of the pipelines read is made up where it is missing, and their videos are kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from diffsynth.core.data.frames import FrameSize, read_frames
from diffsynth.utils import data
from script_trial.adapters.diffsynth_port.install import _kept
from script_trial.adapters.diffsynth_port.made_up_files import dataset, with_clip
from script_trial.trial import Trial


@pytest.fixture
def savers(trial: Trial) -> SimpleNamespace:
    """The savers of videos, listened at."""
    return SimpleNamespace(**{name: _kept(getattr(data, name), trial) for name in ("save_video", "save_frames")})


def frames(count: int = 5) -> list[Image.Image]:
    return [Image.new("RGB", (16, 8), (index, 2, 3)) for index in range(count)]


def test_a_video_is_kept_once_and_saved(trial: Trial, savers: SimpleNamespace) -> None:
    savers.save_video(frames(), "a.mp4", fps=15, quality=5)
    (result,) = trial.results.kept
    assert (result["name"], result["shape"], result["dtype"]) == ("a.mp4", [5, 8, 16, 3], "uint8")
    assert np.load(result["array"])[4, 0, 0].tolist() == [4, 2, 3]
    assert (trial.folder / "a.mp4").stat().st_size > 0


def test_frames_that_can_be_read_once_are_kept_and_saved(trial: Trial, savers: SimpleNamespace) -> None:
    savers.save_frames((frame for frame in frames(3)), "folder")
    assert [result["shape"] for result in trial.results.kept] == [[3, 8, 16, 3]]
    assert len(list((trial.folder / "folder").iterdir())) == 3


def test_digests_are_of_the_values(trial: Trial, savers: SimpleNamespace) -> None:
    savers.save_video(frames(), "a.mp4", fps=15)
    savers.save_video([np.asarray(frame) for frame in frames()], "b.mp4", fps=15)
    assert trial.results.kept[0]["digest"] == trial.results.kept[1]["digest"]


def test_a_missing_clip_is_made_up(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.VideoData, "__init__", with_clip(data.VideoData.__init__, trial))
    video = data.VideoData("data/examples/wan/video1.mp4", height=480, width=832)
    video.set_length(81)
    assert len(video) == 81
    assert video[0].size == (832, 480)
    assert video[0].tobytes() != video[40].tobytes()
    again = data.VideoData("data/examples/wan/video1.mp4", height=480, width=832)
    assert again[7].tobytes() == video[7].tobytes()


def test_a_clip_that_the_user_has_is_taken(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    data.save_video(frames(9), trial.started_in / "clip.mp4", fps=15)
    monkeypatch.setattr(data.VideoData, "__init__", with_clip(data.VideoData.__init__, trial))
    assert len(data.VideoData("clip.mp4")) == 9


def test_a_data_set_has_the_columns_that_are_asked_for(trial: Trial) -> None:
    assert (dataset(trial, ("image", "edit_image"), 2) / "metadata_edit.csv").is_file()
    clips = dataset(trial, ("video", "control_video"), 2)
    assert (clips / "metadata.csv").read_text().startswith("video,control_video,prompt,seed")
    frames = read_frames(clips / "control_video_0.gif", FrameSize())
    assert (len({frame.tobytes() for frame in frames}), frames[0].size) == (5, (48, 32))
