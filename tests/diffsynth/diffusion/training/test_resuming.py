"""A run that is killed and goes on ends in the same bits as one that is not."""

import shutil
import signal
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file

from diffsynth.diffusion.training.checkpoints import Checkpoints
from diffsynth.diffusion.training.errors import TrainingError
from script_trial.adapters.diffsynth_port.weights import make_weights
from tests.diffsynth.diffusion.training.conftest import ENCODERS, FULL, HIGH, LORA, T5, VAE, losses, run
from tests.diffsynth.diffusion.training.driver import QWEN, WAN

# 5 clips, an update every two batches and one at the end of each epoch: 9 updates of 15 batches.
RUN = ["--num_epochs", "3", "--gradient_accumulation_steps", "2", "--save_steps", "2", "--lr_scheduler", "cosine"]
DIT_FILES = "diffusion_pytorch_model*.safetensors"
CLIP_FILES = [DIT_FILES, T5, VAE, "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"]
RESUME = ["--resume_from_checkpoint", "latest"]


def assert_same_bits(folder, reference, name="step-9.safetensors"):
    found, expected = load_file(folder / name), load_file(reference / name)
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor), key
    assert losses(folder) == losses(reference)


def test_killed_in_the_middle_of_an_accumulation(encoded_flags_of, train_here, launch, tmp_path):
    """At batch 8, the third of the second epoch."""
    train_here(encoded_flags_of(tmp_path / "whole", *LORA, *RUN))
    killed = encoded_flags_of(tmp_path / "killed", *LORA, *RUN)
    assert_killed(launch("cpu", run(killed, loss=8)))
    assert checkpoints(tmp_path / "killed") == ["checkpoint-4"]
    train_here([*killed, *RESUME])
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("trained", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("family", [WAN, QWEN])
def test_killed_twice(flags_by_family, train_here, launch, tmp_path, trained, family):
    """At batch 8, and at the fourth after the resumption: batch 10, the last of the second epoch."""
    train_here(flags_by_family[family](tmp_path / "whole", *trained, *RUN), family)
    killed = flags_by_family[family](tmp_path / "killed", *trained, *RUN)
    assert_killed(launch("cpu", run(killed, family, loss=8)))
    assert_killed(launch("cpu", run([*killed, *RESUME], family, loss=4)))
    train_here([*killed, *RESUME], family)
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


# Of each kind of Wan that takes more than a prompt: its files, the metadata of its rows, and what is trained on what.
KINDS = {
    "Wan-AI/Wan2.1-I2V-14B-480P": (CLIP_FILES, "metadata.csv", LORA, ["--extra_inputs", "input_image"]),
    "Wan-AI/Wan2.2-TI2V-5B": (
        [DIT_FILES, T5, "Wan2.2_VAE.pth"],
        "metadata.csv",
        LORA,
        ["--extra_inputs", "input_image"],
    ),
    "Wan-AI/Wan2.1-VACE-1.3B": (
        [DIT_FILES, T5, VAE],
        "metadata_vace.csv",
        ["--lora_base_model", "vace", "--lora_rank", "4"],
        [
            *("--data_file_keys", "video,vace_video,vace_reference_image"),
            *("--extra_inputs", "vace_video,vace_reference_image"),
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("model_id", KINDS)
def test_each_kind_killed_while_it_encodes_and_trains(
    model_id, data_folder, flags_of, train_here, launch, training_models, tmp_path
):
    files, metadata, trained, inputs = KINDS[model_id]
    if not (training_models / model_id).exists():
        make_weights(model_id, training_models)
    more = [*trained, *inputs, *RUN, "--num_epochs", "2", "--height", "32", "--width", "64"]
    more += ["--dataset_metadata_path", data_folder / metadata]

    def flags(output):
        return flags_of(output, *more, models=",".join(f"{model_id}:{name}" for name in files))

    train_here(flags(tmp_path / "whole"))
    assert_killed(launch("cpu", run(flags(tmp_path / "killed"), loss=8)))
    train_here([*flags(tmp_path / "killed"), *RESUME])
    assert_same_bits(tmp_path / "killed", tmp_path / "whole", "step-6.safetensors")


@pytest.mark.slow
def test_killed_while_saving(encoded_flags_of, train_here, launch, tmp_path):
    train_here(encoded_flags_of(tmp_path / "whole", *LORA, *RUN))
    killed = encoded_flags_of(tmp_path / "killed", *LORA, *RUN)
    assert_killed(launch("cpu", run(killed, save=2)))
    assert (tmp_path / "killed/.checkpoint-4.unfinished/optimizer.bin").exists()
    assert checkpoints(tmp_path / "killed") == ["checkpoint-2"]
    train_here([*killed, *RESUME])
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")
    assert not (tmp_path / "killed/.checkpoint-4.unfinished").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("family", "rank"), [(WAN, 0), (WAN, 1), (QWEN, 0)])
def test_two_processes_on_npus_of_which_one_is_killed(flags_by_family, launch, tmp_path, family, rank):
    run_of_two = [*LORA, *RUN, "--dataset_repeat", "2"]
    done = launch("npu", run(flags_by_family[family](tmp_path / "whole", *run_of_two), family), processes=2)
    assert done.returncode == 0, done.stderr
    killed = flags_by_family[family](tmp_path / "killed", *run_of_two)
    done = launch("npu", run(killed, family, loss=8, rank=rank), processes=2)
    assert done.returncode != 0
    assert f"rank      : {rank}" in done.stderr
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert checkpoints(tmp_path / "killed") == ["checkpoint-4"]
    done = launch("npu", run([*killed, *RESUME], family), processes=2)
    assert done.returncode == 0, done.stderr
    assert "trained on npu" in done.stdout
    assert_same_bits(tmp_path / "killed", tmp_path / "whole")


def assert_killed(done):
    assert done.returncode == -signal.SIGKILL, done.stderr


def checkpoints(folder):
    return sorted(path.name for path in folder.glob("checkpoint-*"))


RANDOM_STATES = """
import random, sys
import numpy as np, torch
from accelerate import Accelerator
from pathlib import Path
from diffsynth.diffusion.training.checkpoints import Checkpoints, Position

accelerator = Accelerator()
network = accelerator.prepare(torch.nn.Linear(2, 2))
checkpoints = Checkpoints(accelerator, Path(sys.argv[1]), keep=1, run={}, trained={"weight": (2, 2), "bias": (2,)})
torch.manual_seed(accelerator.process_index), np.random.seed(3), random.seed(4)

def draws():
    drawn = [torch.rand(3), torch.rand(3, device=accelerator.device)]
    return [*(tensor.tolist() for tensor in drawn), np.random.rand(), random.random()]

checkpoints.save(Position(0, 1, 1))
expected = draws()
assert draws() != expected
assert checkpoints.load("latest") == Position(0, 1, 1)
assert draws() == expected, accelerator.process_index
"""


@pytest.mark.parametrize("machine", [pytest.param("cpu", marks=pytest.mark.slow), "npu"])
def test_every_generator_goes_on_where_it_was(run_on, tmp_path, machine):
    program = RANDOM_STATES.replace("sys.argv[1]", repr(str(tmp_path)))
    run_on(machine, program, **({"ACCELERATE_USE_CPU": "true"} if machine == "cpu" else {}))


def test_only_the_newest_checkpoints_stay(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *LORA, "--save_steps", "1", "--save_total_limit", "2"))
    assert checkpoints(tmp_path) == ["checkpoint-4", "checkpoint-5"]
    assert len(list(tmp_path.glob("step-*.safetensors"))) == 5


def test_what_is_not_trained_is_not_saved(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *LORA))
    names = load_file(tmp_path / "checkpoint-5/model.safetensors")
    assert names
    assert all("lora_" in name for name in names)


def test_latest_without_any_is_the_beginning(encoded_flags_of, train_here, tmp_path):
    train_here(encoded_flags_of(tmp_path, *LORA, *RESUME))
    assert len(losses(tmp_path)) == 5


def test_a_run_from_an_earlier_checkpoint_keeps_what_it_saves(encoded_flags_of, train_here, tmp_path):
    flags = encoded_flags_of(tmp_path, *LORA, "--save_steps", "1")
    train_here([*flags, "--save_total_limit", "9"])
    assert checkpoints(tmp_path) == [f"checkpoint-{update}" for update in range(1, 6)]
    for update in (3, 4):
        shutil.rmtree(tmp_path / f"checkpoint-{update}")

    earlier = [*flags, "--resume_from_checkpoint", "checkpoint-2"]  # in the folder of the run
    with pytest.raises(KeyboardInterrupt):
        train_here_until(4, lambda: train_here(earlier))
    assert checkpoints(tmp_path) == ["checkpoint-3", "checkpoint-5"]
    train_here([*flags, *RESUME])  # from 3, which was saved last, and not from 5
    assert checkpoints(tmp_path) == ["checkpoint-5"]
    assert len(losses(tmp_path)) == 5


def train_here_until(update, run):
    """Interrupts before the save of that update."""
    save = Checkpoints.save

    def interrupted(self, position):
        if position.update == update:
            raise KeyboardInterrupt
        save(self, position)

    with mock.patch.object(Checkpoints, "save", interrupted):
        run()


def test_a_resumption_with_other_settings_is_named_unless_insisted_on(flags_of, train_here, data_folder, tmp_path):
    heading, *rows = (data_folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "other.csv").write_text("\n".join([heading, *rows[:3]]), encoding="utf-8")
    flags = flags_of(tmp_path / "run", *LORA)
    train_here(flags)
    resumed = [*flags, *RESUME, "--num_epochs", "2"]
    for change, message in {
        ("--max_pixels", "768"): "its run had --max_pixels = 1048576, this one has 768; .*--resume_with_other_settings",
        ("--num_frames", "1"): "its run had --num_frames = 5, this one has 1",
        ("--dataset_metadata_path", str(tmp_path / "other.csv")): "its run had samples in the data set = 5, this one",
        ("--model_id_with_origin_paths", f"{HIGH},{ENCODERS}"): "its run had the model's files = ",
    }.items():
        with pytest.raises(TrainingError, match=message):
            train_here([*resumed, *change])
    train_here([*resumed, "--dataset_metadata_path", str(tmp_path / "other.csv"), "--resume_with_other_settings"])
    assert len(losses(tmp_path / "run")) == 5 + 3


def test_another_optimizer_is_one_sentence_even_if_insisted_on(encoded_flags_of, train_here, tmp_path):
    flags = encoded_flags_of(tmp_path, *LORA)
    train_here(flags)
    other = [*flags, *RESUME, "--resume_with_other_settings", "--customized_optimizer", "torch.optim.Adagrad"]
    with pytest.raises(TrainingError, match=r"_optimizer = None, this one has torch.optim.Adagrad; .* same$"):
        train_here(other)


def test_an_incomplete_accumulation_counts_as_a_smaller_batch(encoded_flags_of, train_here, tmp_path):
    """Of 5 samples in groups of 4 the last is alone, as it would be in a batch: plain SGD shows what each counts."""
    options = [*FULL, "--customized_optimizer", "torch.optim.SGD", "--weight_decay", "0", "--learning_rate", "1e-4"]
    ends = {}
    for steps in (4, 1):
        train_here(encoded_flags_of(tmp_path / str(steps), *options, "--gradient_accumulation_steps", steps,
                                    "--save_steps", 1))  # fmt: skip
        ends[steps] = tmp_path / str(steps)
    grouped = [load_file(ends[4] / f"step-{update}.safetensors") for update in (1, 2)]
    name = max(grouped[0], key=lambda key: (grouped[1][key] - grouped[0][key]).abs().sum().item())
    alone = [load_file(ends[1] / f"step-{update}.safetensors")[name] for update in (4, 5)]
    # The same sample and noise, from weights that hardly differ: a step of the same length, not of a quarter.
    ratio = (grouped[1][name] - grouped[0][name]).norm() / (alone[1] - alone[0]).norm()
    assert ratio == pytest.approx(1, rel=0.1)
