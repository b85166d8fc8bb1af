"""The small data set that training runs on where there is no other."""

import csv

from click.testing import CliRunner

from diffsynth.trial.__main__ import main
from diffsynth.utils.data import VideoData

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


def test_a_data_set_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "metadata.csv").write_text("mine")
    result = CliRunner().invoke(main, ["dataset", str(tmp_path), *SMALL])
    assert result.exit_code == 2
    assert "is there already; name another folder or delete it" in result.output
    assert (tmp_path / "metadata.csv").read_text() == "mine"
