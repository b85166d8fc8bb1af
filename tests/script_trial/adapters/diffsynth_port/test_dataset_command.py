"""The small data set that training runs on where there is no other."""

import csv
import json

from click.testing import CliRunner
from PIL import Image

from diffsynth.utils.data import VideoData
from script_trial.__main__ import main
from script_trial.adapters.diffsynth_port.made_up_datasets import METADATA

SMALL = ["--clips", "3", "--frames", "5", "--height", "32", "--width", "48"]


def test_it_has_the_clips_that_its_metadata_names(tmp_path):
    result = CliRunner().invoke(main, ["dataset", str(tmp_path / "data"), *SMALL])
    assert result.exit_code == 0, result.output
    with (tmp_path / "data/metadata.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["prompt"].split()[1:3] for row in rows] == [
        ["red", "circle"],
        ["green", "square"],
        ["blue", "triangle"],
    ]
    for row in rows:
        clip = VideoData(tmp_path / "data" / row["video"])
        assert (len(clip), clip[0].size) == (5, (48, 32))
        assert clip[0].tobytes() != clip[4].tobytes()
    for name, columns in METADATA.items():
        with (tmp_path / "data" / name).open(newline="", encoding="utf-8") as lines:
            (row, *others) = csv.DictReader(lines)
        assert len(others) == 2
        assert row.keys() == columns.keys()
        files = [row[column] for column in columns if column.endswith(("video", "image"))]
        assert all((tmp_path / "data" / file).is_file() for file in files)


def test_it_has_the_pictures_that_its_metadata_name(tmp_path):
    size = ["--images", "--clips", "3", "--height", "32", "--width", "48"]
    result = CliRunner().invoke(main, ["dataset", str(tmp_path / "data"), *size])
    assert result.exit_code == 0, result.output

    def columns(name):
        with (tmp_path / "data" / name).open(newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))

    plain, edits = columns("metadata.csv"), columns("metadata_edit.csv")
    several = json.loads((tmp_path / "data/metadata_edit_multi.json").read_text(encoding="utf-8"))
    assert [len(rows) for rows in (plain, edits, several)] == [3, 3, 3]
    assert edits[1]["prompt"] == "Move the green square to the right."
    for row in [*plain, *edits, *several]:
        before = row.get("edit_image", [])
        before = [before] if isinstance(before, str) else before
        pictures = [Image.open(tmp_path / "data" / name) for name in (row["image"], *before)]
        assert {picture.size for picture in pictures} == {(48, 32)}
        assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert [len(row["edit_image"]) for row in several] == [2, 2, 2]


def test_a_data_set_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "metadata.csv").write_text("mine")
    result = CliRunner().invoke(main, ["dataset", str(tmp_path), *SMALL])
    assert result.exit_code == 2
    assert "is there already; name another folder or delete it" in result.output
    assert (tmp_path / "metadata.csv").read_text() == "mine"
