"""The Wan training script: its tasks, its options, and what it says to bad input."""

import csv
import importlib.util
import json
import runpy
import sys

import pytest
import torch
from safetensors.torch import load_file

from diffsynth.core.data import BadSampleError, DatasetError
from diffsynth.diffusion.training.errors import DoesNotFitError, TrainingError
from diffsynth.models.wan_video_dit import WanModel
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.diffusion.training.conftest import DIT, ENCODERS, FULL, HIGH, LORA, LOW, losses, run
from tests.diffsynth.diffusion.training.driver import QWEN, WAN, path_of

ONE_EPOCH = [*LORA, "--num_epochs", "1"]


@pytest.fixture
def one_clip(data_folder, tmp_path):
    """A metadata file of one row, with what direct_distill needs."""
    path = tmp_path / "one.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "prompt", "seed", "num_inference_steps", "cfg_scale"])
        writer.writerow(["clip_0.mp4", "a red circle", 3, 2, 2.0])
    return ["--dataset_metadata_path", path]


def test_encoded_once_it_trains_step_for_step_the_same(flags_of, encoded_flags_of, train_here, tmp_path):
    train_here(flags_of(tmp_path / "sft", *LORA, "--num_epochs", "2"))
    train_here(encoded_flags_of(tmp_path / "split", *LORA, "--num_epochs", "2"))
    assert losses(tmp_path / "split") == losses(tmp_path / "sft")
    assert len(losses(tmp_path / "sft")) == 10
    one, other = (load_file(tmp_path / name / "epoch-1.safetensors") for name in ("sft", "split"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def first_frames(training_models):
    """Flags of a model that starts from a picture."""
    model = "Wan-AI/Wan2.1-I2V-14B-480P"
    make_weights(model, training_models)
    clip = f"{model}:models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    files = ",".join([f"{model}:diffusion_pytorch_model*.safetensors", *ENCODERS.split(","), clip])
    return ["--model_id_with_origin_paths", files, "--extra_inputs", "input_image"]


def test_first_frames_encoded_once_train_step_for_step_the_same(flags_of, train_here, tmp_path, first_frames):
    flags = flags_of(tmp_path / "sft", *first_frames, *ONE_EPOCH)
    train_here(flags)
    cache = ["--output_path", tmp_path / "cache", "--task", "sft:data_process"]
    train_here([*flags, *cache])
    train_here(
        [*flags, "--dataset_base_path", tmp_path / "cache", "--task", "sft:train", "--output_path", tmp_path / "b"]
    )
    assert losses(tmp_path / "b") == losses(tmp_path / "sft")
    assert len(losses(tmp_path / "sft")) == 5


@pytest.mark.parametrize("stages", [("",), (":data_process", ":train")], ids=["at once", "split"])
def test_direct_distillation(flags_of, train_here, tmp_path, one_clip, stages):
    extra = ["--extra_inputs", "seed,num_inference_steps,cfg_scale"]
    flags = flags_of(tmp_path / "out", *one_clip, *extra, "--dataset_repeat", "4")
    if stages[0]:
        train_here([*flags, "--task", "direct_distill:data_process", "--output_path", tmp_path / "encoded"])
        assert {path.suffix for path in (tmp_path / "encoded").iterdir()} == {".json", ".safetensors"}
        flags += ["--dataset_base_path", tmp_path / "encoded"]
    train_here([*flags, *LORA, "--task", f"direct_distill{stages[-1]}", "--learning_rate", "1e-3"])
    found = losses(tmp_path / "out")
    assert len(found) == 4
    assert found[-1] < found[0]  # the same row each time, with the same noise


@pytest.mark.parametrize(("model", "boundaries"), [(HIGH, ("0", "0.417")), (LOW, ("0.417", "1"))], ids=["high", "low"])
def test_each_expert_of_a14b(encoded_flags_of, train_here, tmp_path, model, boundaries):
    sides = ["--min_timestep_boundary", boundaries[0], "--max_timestep_boundary", boundaries[1]]
    train_here(encoded_flags_of(tmp_path, "--model_id_with_origin_paths", model, *FULL, *sides))
    assert "blocks.0.self_attn.q.weight" in load_file(tmp_path / "epoch-0.safetensors")
    assert len(losses(tmp_path)) == 5


def test_where_the_tokens_are_kept_changes_no_loss(encoded_flags_of, train_here, tmp_path):
    kept = ["--no-use_gradient_checkpointing", "--use_gradient_checkpointing", "--use_gradient_checkpointing_offload"]
    for flag in kept:
        train_here(encoded_flags_of(tmp_path / flag, *ONE_EPOCH, flag))
    assert losses(tmp_path / kept[0]) == losses(tmp_path / kept[1]) == losses(tmp_path / kept[2])


def test_a_batch_of_several(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *ONE_EPOCH, "--batch_size", "5"))
    assert len(losses(tmp_path)) == 1


def test_the_learning_rate_starts_where_it_is_asked_for(encoded_flags_of, train_here, tmp_path):
    def rates(name, *flags):
        train_here(encoded_flags_of(tmp_path / name, *ONE_EPOCH, "--learning_rate", "1e-3", *flags))
        with (tmp_path / name / "loss.csv").open() as lines:
            return [float(row["learning_rate"]) for row in csv.DictReader(lines)]

    assert rates("constant") == [1e-3] * 5
    assert rates("linear", "--lr_scheduler", "linear") == pytest.approx([1e-3, 8e-4, 6e-4, 4e-4, 2e-4])
    assert rates("warm", "--lr_warmup_steps", "2") == pytest.approx([0, 5e-4, 1e-3, 1e-3, 1e-3])


def test_everything_is_logged(encoded_flags_of, train_here, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_here(encoded_flags_of(tmp_path, *ONE_EPOCH, "--enable_tensorboard_log"))
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(losses(tmp_path))
    assert "update 5 of 5: epoch 0, loss " in capsys.readouterr().out
    assert json.loads((tmp_path / "training_args.json").read_text())["lora_rank"] == 4


def test_a_validation_video_leaves_the_run_as_it_is(encoded_flags_of, train_here, tmp_path):
    validation = ["--validation_prompt", "a dog", "--validation_steps", "2", "--validation_inference_steps", "2"]
    size = ["--height", "32", "--width", "48"]
    models = ["--model_id_with_origin_paths", f"{DIT},{ENCODERS}"]
    train_here(encoded_flags_of(tmp_path / "watched", *ONE_EPOCH, *models, *validation, *size))
    train_here(encoded_flags_of(tmp_path / "alone", *ONE_EPOCH))
    videos = sorted(path.name for path in (tmp_path / "watched/validation").iterdir())
    assert videos == ["step-2.mp4", "step-4.mp4"]
    assert losses(tmp_path / "watched") == losses(tmp_path / "alone")


def test_frozen_networks_in_float8_or_on_disk(flags_of, train_here, tmp_path, one_clip):
    t5, vae = ENCODERS.split(",")
    train_here(flags_of(tmp_path / "out", *one_clip, *ONE_EPOCH, "--fp8_models", t5, "--offload_models", vae))
    assert len(losses(tmp_path / "out")) == 1


def test_a_preset_lora_is_part_of_the_network(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path / "first", *ONE_EPOCH, "--learning_rate", "1e-2"))
    preset = ["--preset_lora_path", tmp_path / "first/epoch-0.safetensors", "--preset_lora_model", "dit"]
    train_here(encoded_flags_of(tmp_path / "fused", *ONE_EPOCH, *preset))
    train_here(encoded_flags_of(tmp_path / "hot", *ONE_EPOCH, *preset, "--enable_lora_hot_loading"))
    train_here(encoded_flags_of(tmp_path / "started", *ONE_EPOCH, "--lora_checkpoint", preset[1]))
    first, fused, hot, started = (losses(tmp_path / name)[0] for name in ("first", "fused", "hot", "started"))
    assert fused == pytest.approx(started, rel=1e-4) == pytest.approx(hot, rel=1e-4)
    assert fused != pytest.approx(first, rel=1e-4)


def with_row(data_folder, tmp_path, line):
    path = tmp_path / "bad.csv"
    path.write_text(f"video,prompt\nclip_0.mp4,ok\n{line}\n")
    (data_folder / "broken.mp4").write_bytes(b"no video" * 100)
    return ["--dataset_metadata_path", path]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gone.mp4,x", r"bad\.csv: row 2, video: .*gone\.mp4: there is no such file"),
        ("broken.mp4,x", r"bad\.csv: row 2, video: .*broken\.mp4: not a video that ffmpeg can read"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_bad_sample_stops_the_run(flags_of, train_here, data_folder, tmp_path, line, message, workers):
    flags = with_row(data_folder, tmp_path, line)
    with pytest.raises(BadSampleError, match=message):
        train_here(flags_of(tmp_path / "out", *flags, *ONE_EPOCH, "--dataset_num_workers", workers))


def test_or_is_left_out(flags_of, train_here, data_folder, tmp_path):
    flags = [*with_row(data_folder, tmp_path, "gone.mp4,x"), "--on_bad_sample", "skip"]
    train_here(flags_of(tmp_path / "out", *flags, *ONE_EPOCH))
    assert len(losses(tmp_path / "out")) == 2
    train_here(flags_of(tmp_path / "encoded", *flags, "--task", "sft:data_process", models=ENCODERS))
    assert [path.name[:9] for path in (tmp_path / "encoded").glob("*.safetensors")] == ["00000000-"]


BAD = {
    "unknown task": (["--task", "sftt", *LORA], "--task sftt: there is no such task, expected one of sft, sft:data_pr"),
    "unknown stage": (["--task", "sft:encode", *LORA], "--task sft:encode: there is no such task"),
    "nothing trained": ([], "--task sft trains nothing yet: give --trainable_models dit, or --lora_base_model dit"),
    "two trained": ([*LORA, "--trainable_models", "vae"], "one network is trained at a time"),
    "target": ([*LORA, "--lora_target_modules", "query"], "--lora_target_modules: 'query' matches no linear layer"),
    "not loaded": (["--trainable_models", "dit2"], "the network to train, dit2, was not loaded; there are"),
    "no model": (["--model_id_with_origin_paths", "", *LORA], "no model is named: give --model_paths or --model_id"),
    "model id": (["--model_id_with_origin_paths", "Wan2.1", *LORA], "'Wan2.1' is not written as Org/Name:pattern"),
    "model paths": (["--model_paths", "a.safetensors", *LORA], "--model_paths: not JSON"),
    "extra inputs": ([*LORA, "--extra_inputs", "edit_image"], "--extra_inputs edit_image: .* takes input_image,"),
    "no such input": ([*LORA, "--extra_inputs", "input_image"], "input_image: this model starts from no picture"),
    "offload": ([*LORA, "--enable_model_cpu_offload"], "--enable_model_cpu_offload is not offered: use an acc"),
    "optimizer": ([*LORA, "--customized_optimizer", "torch.optim.Adan"], "--customized_optimizer torch.optim.Adan: c"),
    "trained in float8": ([*LORA, "--fp8_models", DIT], "dit is trained: take it out of --fp8_models"),
    "another model in float8": ([*LORA, "--fp8_models", "a/b:c"], "a/b:c is none of the models"),
    "no encoder": ([*LORA, "--model_id_with_origin_paths", DIT], "--task sft needs the text_encoder: name its file"),
    "epochs": ([*LORA, "--num_epochs", "0"], "--num_epochs 0: expected at least 1"),
    "rate": ([*LORA, "--learning_rate", "0"], "--learning_rate 0.0: expected a number above 0"),
    "frames": ([*LORA, "--num_frames", "6"], r"--num_frames 6: expected a number of the form 4k \+ 1"),
    "not encoded": ([*LORA, "--task", "sft:train"], "no encoded samples here; make them with --task sft:data_process"),
    "swanlab": ([*LORA, "--enable_swanlab_log"], "--enable_swanlab_log: swanlab is not installed; pip install swanlab"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(flags_of, train_here, tmp_path, name):
    flags, message = BAD[name]
    if name == "swanlab" and importlib.util.find_spec("swanlab"):
        pytest.skip("swanlab is installed here")
    with pytest.raises((TrainingError, DatasetError), match=message):
        train_here(flags_of(tmp_path, *flags))


@pytest.mark.parametrize("family", [WAN, QWEN])
def test_a_message_ends_a_script_with_status_2(flags_of, tmp_path, monkeypatch, capsys, family):
    monkeypatch.setattr(sys, "argv", list(map(str, ["train.py", *flags_of(tmp_path, "--task", "nothing")])))
    if family == QWEN:
        sys.argv = [word for word in sys.argv if word not in ("--num_frames", "5")]
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(path_of(family)), run_name="__main__")
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: --task nothing: there is no such task")


def test_a_checkpoint_of_another_run(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *LORA))
    resume = ["--resume_from_checkpoint", "latest"]
    for flags, message in {
        (
            *LORA,
            "--lora_rank",
            "8",
            *resume,
        ): r"of another model: .*lora_A.* has shape \[4, 256\] there and \[8, 256\] here",
        (*FULL, *resume): "of another model: ",
        (*LORA, "--seed", "1", *resume): "its run had --seed = 0, this one has 1; going on bit for bit needs the same",
        (
            *LORA,
            "--resume_from_checkpoint",
            str(tmp_path / "logs"),
        ): "not a whole checkpoint .*those of .*: .*checkpoint-5",
        tuple(LORA): "checkpoint-5 is of an earlier run: go on from it with --resume_from_checkpoint latest",
    }.items():
        with pytest.raises(TrainingError, match=message):
            train_here(encoded_flags_of(tmp_path, *flags))


def test_a_batch_that_does_not_fit_says_what_to_turn_on(encoded_flags_of, train_here, tmp_path, monkeypatch):
    def full(*args, **options):
        raise torch.OutOfMemoryError("NPU out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(WanModel, "forward", full)
    flags = encoded_flags_of(tmp_path, *FULL, "--no-use_gradient_checkpointing", "--batch_size", "5")
    with pytest.raises(DoesNotFitError) as raised:
        train_here(flags)
    assert_says_what_to_turn_on(str(raised.value), "cpu")


@pytest.mark.slow
def test_a_batch_that_does_not_fit_on_an_npu(launch, encoded_flags_of, tmp_path):
    flags = encoded_flags_of(tmp_path, *FULL, "--no-use_gradient_checkpointing", "--batch_size", "5")
    done = launch("npu", run(flags), NPU_EMULATOR_MEMORY="26MiB")
    assert_says_what_to_turn_on(done.stderr.splitlines()[-1].partition("DoesNotFitError: ")[2], "npu")


def assert_says_what_to_turn_on(message, device):
    start = f"a batch of 5 does not fit into the memory of {device}: turn on --use_gradient_checkpointing, or"
    assert message.startswith(start)
    assert "--batch_size 1 with --gradient_accumulation_steps 5" in message
    assert "fewer --num_frames" in message
    assert "out of memory" in message
    assert "data_process" not in message  # which this run has done already


def test_a_row_is_encoded_again_only_where_its_content_has_changed(flags_of, train_here, data_folder, tmp_path):
    rows = (data_folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    metadata = tmp_path / "metadata.csv"
    flags = flags_of(
        tmp_path / "encoded", "--task", "sft:data_process", "--dataset_metadata_path", metadata, models=ENCODERS
    )

    def encoded(lines):
        metadata.write_text("\n".join(lines), encoding="utf-8")
        train_here(flags)
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "encoded").glob("*.safetensors")}

    first = encoded(rows[:3])
    assert encoded(rows[:3]) == first
    changed = encoded([rows[0], rows[1], rows[2].replace("A ", "One ", 1)])
    assert len(changed) == 2
    assert len(first.items() & changed.items()) == 1
    assert encoded(rows[:2]).items() <= first.items()
