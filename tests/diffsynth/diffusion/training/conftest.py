"""A small data set, small models, and ways to run the Wan training script on them."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffsynth.trial.dataset_command import make_dataset
from diffsynth.trial.weights import make_weights
from tests.diffsynth.diffusion.training import driver

WAN21, WAN22 = "Wan-AI/Wan2.1-T2V-1.3B", "Wan-AI/Wan2.2-T2V-A14B"
T5, VAE = "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth"
ENCODERS = f"{WAN21}:{T5},{WAN21}:{VAE}"
DIT = f"{WAN21}:diffusion_pytorch_model*.safetensors"
HIGH, LOW = (f"{WAN22}:{noise}_noise_model/diffusion_pytorch_model*.safetensors" for noise in ("high", "low"))
FULL, LORA = ["--trainable_models", "dit"], ["--lora_base_model", "dit", "--lora_rank", "4"]
LAUNCHERS = {"cpu": {"ACCELERATE_USE_CPU": "true"}, "npu": {}}


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Five clips of five frames, 32x48, and metadata.csv."""
    folder = tmp_path_factory.mktemp("data")
    make_dataset(folder, clips=5, frames=5, height=32, width=48)
    return folder


@pytest.fixture(scope="session")
def training_models(tmp_path_factory):
    """A folder as DIFFSYNTH_MODEL_BASE_PATH names it."""
    root = tmp_path_factory.mktemp("models")
    for model_id in (WAN21, WAN22):
        make_weights(model_id, root)
    return root


@pytest.fixture
def flags_of(data_folder):
    """flags_of(output, *more): a float32 run over the data set; a flag given again wins."""

    def flags(output, *more, models=f"{DIT},{ENCODERS}"):
        return [*_flags(data_folder, output, models), *more]

    return flags


@pytest.fixture
def train_here(training_models, monkeypatch):
    """train_here(flags): runs the script in this process, on the CPU, and raises what it raises."""
    monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(training_models))
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", "true")
    monkeypatch.setattr(sys, "argv", sys.argv)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield driver.train
    torch.set_num_threads(threads)


@pytest.fixture
def launch(environment_of, training_models):
    """launch(machine, *runs, processes=1, config=None, **environment): the finished process that made the runs."""

    def start(machine, *runs, processes=1, config=None, timeout=300, **environment):
        env = {
            **environment_of(machine),
            **LAUNCHERS[machine],
            "DIFFSYNTH_MODEL_BASE_PATH": str(training_models),
            "DIFFSYNTH_SKIP_DOWNLOAD": "true",
            **environment,
        }
        command = [sys.executable]
        if config is not None:
            command += ["-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", config]
            command += ["--main_process_port", "0"]
        elif processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        command += [driver.__file__, json.dumps(runs, default=str)]
        return subprocess.run(
            list(map(str, command)), env=env, capture_output=True, text=True, timeout=timeout, check=False
        )

    return start


@pytest.fixture(scope="session")
def encoded_folder(data_folder, training_models, tmp_path_factory):
    """The data set, encoded once on the CPU for task sft."""
    folder = tmp_path_factory.mktemp("encoded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFSYNTH_MODEL_BASE_PATH", str(training_models))
        patch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", "true")
        patch.setattr(sys, "argv", sys.argv)
        driver.train([*_flags(data_folder, folder, ENCODERS), "--task", "sft:data_process"])
    return folder


@pytest.fixture
def encoded_flags_of(encoded_folder):
    """encoded_flags_of(output, *more): a float32 run over the encoded data set."""

    def flags(output, *more):
        return [*_flags(encoded_folder, output, DIT), "--task", "sft:train", *more]

    return flags


def _flags(data, output, models):
    return [
        *("--dataset_base_path", data, "--dataset_metadata_path", data / "metadata.csv"),
        *("--model_id_with_origin_paths", models, "--tokenizer_path", f"{WAN21}:google/umt5-xxl/"),
        *("--torch_dtype", "float32", "--num_frames", "5", "--output_path", output, "--enable_csv_log"),
    ]


def run(flags, **kill):
    """One entry for `launch`."""
    return {"flags": [str(flag) for flag in flags], "kill": kill}


def losses(output):
    """The loss of each update of a run, from its csv log."""
    with (Path(output) / "loss.csv").open(newline="") as lines:
        return [float(row["loss"]) for row in csv.DictReader(lines)]
