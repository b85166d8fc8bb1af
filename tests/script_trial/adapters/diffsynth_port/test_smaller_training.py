"""What the arguments of a launched script become in a trial."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import pytest

from script_trial.adapters.diffsynth_port.made_up_files import dataset
from script_trial.adapters.diffsynth_port.made_up_models import Models
from script_trial.adapters.diffsynth_port.smaller_training import smaller_arguments

DATA = Path("/data set")
LAUNCHED = """--dataset_base_path data/mine --dataset_metadata_path=data/mine/metadata.csv --height 480 --width 832
--dataset_repeat 100 --learning_rate 1e-5 --num_epochs 5 --output_path ./models/out --trainable_models dit
--use_gradient_checkpointing --num_frames=49""".split()


@pytest.fixture
def smaller(tmp_path, monkeypatch):
    """smaller(*arguments): the new ones, and the columns of the data set that was asked for, if one was."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def run(*arguments):
        asked.clear()
        return smaller_arguments(arguments, tmp_path, lambda columns, rows: asked.append(columns) or DATA), asked

    return run


def test_the_work_is_cut_down_and_nothing_else_changes(smaller):
    arguments, asked = smaller(*LAUNCHED)
    expected = f"""--dataset_base_path|{DATA}|--dataset_metadata_path={DATA}/metadata.csv|--height|32|--width|48|
--dataset_repeat|1|--learning_rate|1e-5|--num_epochs|2|--output_path|./models/out|--trainable_models|dit|
--use_gradient_checkpointing|--num_frames=5"""
    assert arguments == expected.replace("\n", "").split("|")
    assert asked == [("video",)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--num_epochs 1", "--num_epochs 1"),
        ("--save_steps 500", "--save_steps 2"),
        ("--gradient_accumulation_steps 8 --batch_size=4", "--gradient_accumulation_steps 2 --batch_size=2"),
        ("--num_epochs many", "--num_epochs many"),
        ("--learning_rate -1", "--learning_rate -1"),
        ("--heights 480", "--heights 480"),
        ("480 --height", "480 --height"),
        ("--lora_checkpoint /a/b.safetensors", "--lora_checkpoint /a/b.safetensors"),
    ],
)
def test_little_is_left_as_little(smaller, given, expected):
    assert smaller(*given.split()) == (expected.split(), [])


def test_what_would_be_written_elsewhere_is_written_below(smaller, tmp_path):
    elsewhere = os.fspath(tmp_path / "outside" / "data" / "out")
    assert smaller("--output_path", "/data/out")[0] == ["--output_path", elsewhere]
    assert smaller("--output_path=/data/out")[0] == [f"--output_path={elsewhere}"]
    assert smaller("--output_path", "../out")[0][1].startswith(os.fspath(tmp_path / "outside"))
    assert smaller("--output_path", os.fspath(tmp_path / "out"))[0][1] == os.fspath(tmp_path / "out")


def test_the_second_half_of_a_split_training_reads_what_the_first_has_written(smaller, tmp_path):
    for written in ("encoded", "/data/encoded"):
        first = smaller("--task", "sft:data_process", "--dataset_base_path", "x", "--output_path", written)
        second = smaller("--task", "sft:train", "--dataset_base_path", written, "--dataset_repeat", "50")
        assert second[0][3] == first[0][5]
        assert (second[0][5], second[1]) == ("1", [])


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ("--data_file_keys image,edit_image", ("image", "edit_image")),
        ("--data_file_keys=a,", ("a",)),
        ("--model_id_with_origin_paths Qwen/Qwen-Image:transformer/*.safetensors", ("image",)),
        ("--model_id_with_origin_paths Wan-AI/Wan2.1-T2V-1.3B:Wan2.1_VAE.pth", ("video",)),
    ],
)
def test_the_columns_of_the_data_set(smaller, given, columns):
    assert smaller("--dataset_base_path", "x", *given.split())[1] == [columns]


def test_the_metadata_of_pictures(tmp_path, trial):
    def metadata(*given):
        words = ["--dataset_base_path", "x", *given]
        return Path(smaller_arguments(words, tmp_path, functools.partial(dataset, trial))[3]).name

    edits = ["--data_file_keys", "image,edit_image"]
    assert metadata("--dataset_metadata_path", "a/metadata_edit_multi.json", *edits) == "metadata_edit_multi.json"
    assert metadata("--dataset_metadata_path", "mine.jsonl", *edits) == "metadata_edit.csv"
    assert metadata("--dataset_metadata_path", "mine.jsonl", "--data_file_keys", "image") == "metadata.csv"
    assert dataset(trial, ("image",), 1) == dataset(trial, ("image", "edit_image"), 1)
    for columns, name in {
        "image,blockwise_controlnet_image": "metadata_controlnet_depth.csv",
        "image,blockwise_controlnet_image,blockwise_controlnet_inpaint_mask": "metadata_controlnet_inpaint.csv",
        "image,context_image": "metadata_context.csv",
        "image,eligen_entity_masks": "metadata_eligen.json",
        "image,layer_input_image": "metadata_layered.json",
        "image,layer_input_image,context_image": "metadata_layered_control.json",
    }.items():
        assert metadata("--dataset_metadata_path", "mine.jsonl", "--data_file_keys", columns) == name


def test_published_files_that_a_training_starts_from(trial, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = "models/DiffSynth-Studio/Qwen-Image-EliGen/model.safetensors"
    published_file = Models(trial).published_file
    made = Path(published_file(path))
    assert made.is_file()
    assert made.parts[-3:] == Path(path).parts[-3:]
    assert published_file("models/train/mine/epoch-1.safetensors") == "models/train/mine/epoch-1.safetensors"
    own = tmp_path / path
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    assert Path(published_file(path)).samefile(own)
    words = ["--dataset_base_path", "x", "--lora_checkpoint", "published.safetensors"]
    found = smaller_arguments(words, tmp_path, lambda columns, rows: tmp_path, lambda path: f"made_up/{path}")
    assert found[2:] == ["--lora_checkpoint", "made_up/published.safetensors"]


@pytest.mark.parametrize(
    ("given", "processes", "rows"),
    [
        ("", "1", 1),
        ("", "2", 2),
        ("", "8", 2),
        ("--batch_size 4", "1", 2),
        ("--gradient_accumulation_steps 2", "1", 2),
        ("--gradient_accumulation_steps 1", "1", 1),
    ],
)
def test_a_row_for_each_process_and_for_each_of_a_batch(tmp_path, monkeypatch, given, processes, rows):
    monkeypatch.setenv("WORLD_SIZE", processes)
    asked = []
    words = ["--dataset_base_path", "x", *given.split()]
    smaller_arguments(words, tmp_path, lambda _, count: asked.append(count) or DATA)
    assert asked == [rows]


def test_the_data_set_that_is_made(tmp_path):
    import csv

    from PIL import Image

    from diffsynth.utils.data import VideoData
    from script_trial.adapters.diffsynth_port.small_dataset import make_small_dataset

    make_small_dataset(tmp_path, ("video", "edit_image"), 2)
    rows = list(csv.DictReader((tmp_path / "metadata.csv").open(newline="")))
    assert [(row["video"], row["edit_image"]) for row in rows] == [
        (f"video_{number}.mp4", f"edit_image_{number}.png") for number in range(2)
    ]
    assert rows[0]["prompt"] != rows[1]["prompt"]
    video = VideoData(tmp_path / "video_0.mp4")
    assert (len(video), video[0].size) == (5, (48, 32))
    assert Image.open(tmp_path / "edit_image_1.png").size == (48, 32)


def test_the_flags_of_another_diffsynth_are_cut_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DiffSynth-Studio's trainings take the same ones, and it has no records of families."""
    monkeypatch.setitem(sys.modules, "diffsynth.families", None)
    words = ["--width", "832", "--dataset_base_path", "data", "--model_id_with_origin_paths", "Wan-AI/Wan2.2-TI2V-5B:*"]
    found = smaller_arguments(words, tmp_path, lambda columns, rows: Path("made", *columns))
    assert found[:4] == ["--width", "48", "--dataset_base_path", "made/video"]
