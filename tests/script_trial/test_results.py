"""What scripts hand to savers, and what they write, is kept; what is made up for them is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from script_trial.trial import Trial


def picture(red: int = 1) -> Image.Image:
    return Image.new("RGB", (16, 8), (red, 2, 3))


def told(trial: Trial) -> list[tuple[str, str]]:
    return [(one["name"], one["kind"]) for one in trial.results.kept]


def test_a_picture_is_a_video_of_one_frame(trial: Trial) -> None:
    trial.start()
    picture(1).save("a.png")
    picture(2).save(fp=trial.folder / "b.png")
    assert told(trial) == [("a.png", "array"), ("b.png", "array")]
    assert [result["shape"] for result in trial.results.kept] == [[1, 8, 16, 3]] * 2
    assert trial.results.kept[0]["digest"] != trial.results.kept[1]["digest"]
    assert np.load(trial.results.kept[1]["array"])[0, 0, 0].tolist() == [2, 2, 3]
    assert (trial.folder / "a.png").stat().st_size > 0


def test_arrays_of_numpy(trial: Trial) -> None:
    trial.start()
    np.save("a.npy", np.ones(3))
    np.savez("b.npz", np.ones(2), named=np.zeros(2))
    np.savez_compressed("c", x=np.zeros(1))
    trial.results.look_into(trial.folder)
    assert [name for name, _ in told(trial)] == ["a.npy", "b.npz:arr_0", "b.npz:named", "c:x"]


def test_tensors_and_numbers_of_a_checkpoint_by_their_place(trial: Trial) -> None:
    trial.start()
    layer = torch.nn.Linear(2, 2)
    torch.save({"model": layer.state_dict(), "epoch": 3, "at": "noon", "rng_state": torch.get_rng_state()}, "a.pt")
    torch.save({"epoch": 4}, "a.pt")
    (first, second) = trial.results.kept
    assert set(torch.load(first["array"])) == {"model.weight", "model.bias", "epoch"}
    assert first["digest"] != second["digest"]
    assert set(torch.load("a.pt")) == {"epoch"}


def test_files_that_no_saver_was_asked_for(trial: Trial) -> None:
    save_file({"x": torch.ones(2)}, trial.folder / "a.safetensors")
    np.save("b.npy", np.ones(2))
    picture().save("c.png")
    trial.start()
    trial.results.look_into(trial.folder)
    assert told(trial) == [("a.safetensors", "tensors"), ("b.npy", "array"), ("c.png", "array")]


@pytest.mark.parametrize("folder", ["checkpoint-1", ".checkpoint-2.unfinished"])
def test_what_a_training_would_go_on_from_is_its_own_affair(trial: Trial, folder: str) -> None:
    trial.start()
    Path(folder).mkdir()
    torch.save({"x": torch.ones(2)}, f"{folder}/optimizer.bin")
    save_file({"x": torch.ones(2)}, f"{folder}/a.safetensors")
    (Path(folder) / "pytorch_model").mkdir()
    torch.save({"x": torch.ones(2)}, f"{folder}/pytorch_model/mp_rank_00_model_states.pt")
    trial.results.look_into(trial.folder)
    assert told(trial) == []


def test_a_frame_of_a_video_that_is_kept_is_none_of_its_own(trial: Trial) -> None:
    trial.start()
    frames = [picture(red) for red in (1, 2)]
    trial.keep("a.mp4", np.stack([np.asarray(frame) for frame in frames]))
    frames[1].save("frame.png")
    picture(3).save("other.png")
    assert [name for name, _ in told(trial)] == ["a.mp4", "other.png"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_said(trial: Trial, value: float) -> None:
    trial.start()
    np.save("a.npy", np.array([1.0, value]))
    torch.save({"x": torch.tensor([value], dtype=torch.bfloat16)}, "b.pt")
    save_file({"x": torch.tensor([value])}, "c.safetensors")
    np.save("d.npy", np.ones(2))
    trial.results.look_into(trial.folder)
    assert [one["finite"] for one in trial.results.kept] == [False, False, True, False]


def test_infinity_is_a_number_like_any_other_where_it_is_no_tensor(trial: Trial) -> None:
    trial.start()
    torch.save({"best_loss": float("inf"), "step": 3}, "a.pt")
    torch.save({"loss": float("nan")}, "b.pt")
    torch.save({"loss": torch.tensor(float("inf"))}, "c.pt")
    torch.save({"loss": np.float32("inf")}, "d.pt")
    assert [one["finite"] for one in trial.results.kept] == [True, False, False, False]


def test_a_missing_picture_is_made_up_and_is_no_result(trial: Trial) -> None:
    trial.start()
    assert Image.open("data/image1.jpg").convert("RGB").size == (256, 256)
    trial.results.look_into(trial.folder)
    assert told(trial) == []


def test_a_picture_that_the_user_has_is_taken(trial: Trial) -> None:
    trial.started_in.mkdir()
    picture().save(trial.started_in / "a.png")
    trial.start()
    assert Image.open("a.png").size == (16, 8)


def test_what_is_made_up_is_written_once(trial: Trial) -> None:
    written = []
    for _ in range(2):
        place = trial.once("some/file", lambda path: written.append(path.write_text("x")))
    assert (place.read_text(), written) == ("x", [1])
    assert place.is_relative_to(trial.made_up)


def test_bad_arguments_are_the_savers_own_to_refuse(trial: Trial) -> None:
    trial.start()
    with pytest.raises(TypeError, match="save"):
        picture().save()
