"""The small data set that training runs on where there is no other."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from diffsynth.core.data.media_dataset import read_metadata
from diffsynth.utils.data import VideoData
from script_trial.__main__ import main
from script_trial.adapters.diffsynth_port import image_dataset
from script_trial.adapters.diffsynth_port.video_dataset import METADATA

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


@pytest.mark.parametrize("name", image_dataset.METADATA)
def test_every_picture_that_metadata_name_is_there(tmp_path, name):
    image_dataset.make_image_dataset(tmp_path, pictures=2, height=32, width=48)
    rows = read_metadata(tmp_path / name)
    assert len(rows) == 2
    for row in rows:
        assert set(row) == set(image_dataset.METADATA[name])
        named = [row[column] for column in image_dataset.file_columns_of(name)]
        files = [file for one in named for file in (one if isinstance(one, list) else [one])]
        assert {Image.open(tmp_path / file).size for file in files} == {(48, 32)}
    assert rows[0]["prompt"] != rows[1]["prompt"]


def test_layers_are_cut_out_where_the_mask_is_white(tmp_path):
    image_dataset.make_image_dataset(tmp_path, pictures=1, height=32, width=48)
    (row,) = read_metadata(tmp_path / "metadata_layered.json")
    whole, background, layer = (Image.open(tmp_path / name) for name in row["image"])
    assert [background.mode, layer.mode] == ["RGBA", "RGBA"]
    assert layer.getchannel("A").tobytes() == Image.open(tmp_path / "mask_0.png").convert("L").tobytes()
    put_together = Image.alpha_composite(background, layer).convert("RGB")
    assert put_together.tobytes() == whole.convert("RGB").tobytes()
    assert (row["layer_num"], row["layer_input_image"]) == (2, row["image"][0])


def test_a_data_set_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "metadata.csv").write_text("mine")
    result = CliRunner().invoke(main, ["dataset", str(tmp_path), *SMALL])
    assert result.exit_code == 2
    assert "is there already; name another folder or delete it" in result.output
    assert (tmp_path / "metadata.csv").read_text() == "mine"


@pytest.mark.parametrize("kind", [[], ["--images"]])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, kind):
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" / "data"
    result = CliRunner().invoke(main, ["dataset", str(folder), *SMALL, *kind])
    assert result.exit_code == 2
    assert result.output.endswith(f"Error: {folder} cannot be made: Not a directory; name another folder\n")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--help"], 0, "dataset  Make a small data set"),
        (["weights", "--help"], 0, "--dtype"),
        (
            ["dataset", "data"],
            2,
            "dataset needs the pipelines, and PIL is not installed here: pip install",
        ),
        (["weights", "x"], 2, "weights needs the pipelines, and diffsynth is not installed here: pip install"),
    ],
)
def test_beside_the_tools_alone(arguments, status, says, tmp_path):
    """Neither torch nor the pipelines come with them."""
    without = (
        "import sys; sys.modules.update(dict.fromkeys(('PIL', 'diffsynth', 'numpy', 'torch'))); "
        "from script_trial.__main__ import main; main(prog_name='python -m script_trial')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run(
        [sys.executable, "-c", without, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
