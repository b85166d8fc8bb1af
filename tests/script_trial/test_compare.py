"""How far results are apart, and how they are shown."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from script_trial.compare import compare, differences
from script_trial.pictures import DIFFERENCE, draw_side_by_side, frames_as_uris
from script_trial.results import Results


def test_differences_and_the_picture(tmp_path: Path) -> None:
    first, second = np.zeros((5, 8, 16, 3), np.uint8), np.zeros((5, 8, 16, 3), np.uint8)
    second[0, 0, 0, 0] = 192
    np.save(tmp_path / "a.npy", first)
    np.save(tmp_path / "b.npy", second)
    a, b = str(tmp_path / "a.npy"), str(tmp_path / "b.npy")
    assert differences([a], [b]) == {"largest": 192.0, "mean": 0.1, "share": 1 / 1920, "levels": 0.1, "relative": 0.0}
    assert differences([a], [a, b]) is None
    draw_side_by_side([{"label": "one", "array": a}, {"label": "none", "array": None}], tmp_path / "new" / "sheet.png")
    sheet = Image.open(tmp_path / "new" / "sheet.png")
    assert sheet.getpixel((200, 50)) == (0, 0, 0)
    assert sheet.getpixel((sheet.width - 10, 150)) == (255, 255, 255)


def test_a_few_frames_of_each_run_and_where_they_differ(tmp_path: Path) -> None:
    first = np.zeros((9, 8, 16, 3), np.uint8)
    second = first.copy()
    second[0, 0, 0, 1] = 2
    sound = np.zeros((2, 100), np.float32)
    files = [str(tmp_path / f"{name}.npy") for name in ("sound", "first", "second")]
    for file, array in zip(files, (sound, first, second), strict=True):
        np.save(file, array)
    shown = frames_as_uris({"cpu": [files[0], files[1]], "npu": [files[0], files[1]], "ported": [files[2]]})
    assert {name: len(frames) for name, frames in shown.items()} == {"cpu": 5, "npu": 5, "ported": 5, DIFFERENCE: 5}
    brightest = opened(shown[DIFFERENCE][0])
    assert brightest.getpixel((0, 0)) == (0, 255, 0)
    assert min(brightest.size) >= 96, "small frames are magnified"


def test_equal_runs_have_no_frames_of_difference_and_unlike_ones_none_at_all(tmp_path: Path) -> None:
    for name, shape in (("a", (1, 600, 900, 3)), ("b", (1, 4, 4, 3)), ("weights", (3, 3))):
        np.save(tmp_path / f"{name}.npy", np.ones(shape, np.uint8))
    a, b, weights = ([str(tmp_path / f"{name}.npy")] for name in ("a", "b", "weights"))
    assert frames_as_uris({"cpu": a, "npu": a})[DIFFERENCE] == []
    assert DIFFERENCE not in frames_as_uris({"cpu": a, "npu": b})
    assert frames_as_uris({"cpu": weights, "npu": []}) == {"cpu": [], "npu": []}
    assert max(opened(frames_as_uris({"cpu": a})["cpu"][0]).size) == 360, "large ones are reduced"


def compared(folder: Path, first: object, second: object) -> dict[str, object]:
    """Between two runs that each saved one array, or tensors."""
    runs = [Results(folder / name) for name in ("first", "second")]
    for run, value in zip(runs, (first, second), strict=True):
        run.keep_tensors("a", {"a": value}) if isinstance(value, torch.Tensor) else run.keep("a", value)
    return compare(*(run.kept for run in runs))


@pytest.mark.parametrize(
    ("first", "second", "largest"),
    [
        ([1 + 3j], [1 + 2j], 1.0),
        ([2**60], [2**60 + 1], 1.0),
        ([True, False], [True, True], 1.0),
        ([0.5], [0.25], 0.25),
        (np.zeros(0, np.float32), np.zeros(0, np.float64), 0.0),
    ],
)
def test_values_of_every_kind_are_told_apart(tmp_path: Path, first: object, second: object, largest: float) -> None:
    found = compared(tmp_path, np.array(first), np.array(second))
    assert found["frames"]["largest"] == largest  # type: ignore[index]


@pytest.mark.parametrize(("first", "second"), [([1 + 3j], [1 + 2j]), ([2**60], [2**60 + 1]), ([True], [False])])
def test_tensors_of_every_kind_are_told_apart(tmp_path: Path, first: list[object], second: list[object]) -> None:
    assert compared(tmp_path, torch.tensor(first), torch.tensor(second))["weights"] > 1e-5  # type: ignore[operator]


def test_words_are_compared(tmp_path: Path) -> None:
    assert compared(tmp_path, np.array(["cat"]), np.array(["dog"]))["words"] == "a"
    assert compared(tmp_path / "same", np.array(["cat"]), np.array(["cat"]))["words"] == ""


def test_an_array_is_apart_relative_to_its_values(tmp_path: Path) -> None:
    found = compared(tmp_path, np.full(4, 0.001, np.float32), np.full(4, 0.002, np.float32))
    assert found["frames"]["relative"] == pytest.approx(1.0, rel=1e-4)  # type: ignore[index]


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
