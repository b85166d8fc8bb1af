"""Small data sets, small models, and ways to run the training scripts on them."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from script_trial.adapters.diffsynth_port.image_dataset import make_image_dataset
from script_trial.adapters.diffsynth_port.video_dataset import make_dataset
from script_trial.adapters.diffsynth_port.weights import make_for_patterns, make_weights
from tests.diffsynth.diffusion.training import driver

WAN21, WAN22 = "Wan-AI/Wan2.1-T2V-1.3B", "Wan-AI/Wan2.2-T2V-A14B"
T5, VAE = "models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth"
ENCODERS = f"{WAN21}:{T5},{WAN21}:{VAE}"
DIT = f"{WAN21}:diffusion_pytorch_model*.safetensors"
HIGH, LOW = (f"{WAN22}:{noise}_noise_model/diffusion_pytorch_model*.safetensors" for noise in ("high", "low"))

QWEN, QWEN_EDIT = "Qwen/Qwen-Image", "Qwen/Qwen-Image-Edit"
QWEN_ENCODERS = f"{QWEN}:text_encoder/model*.safetensors,{QWEN}:vae/diffusion_pytorch_model.safetensors"
CANNY, INPAINT = (f"DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-{kind}" for kind in ("Canny", "Inpaint"))
LAYERED = "Qwen/Qwen-Image-Layered"
LAYERED_MODELS = (
    f"{LAYERED}:transformer/*.safetensors,{QWEN}:text_encoder/model*.safetensors,{LAYERED}:vae/*.safetensors"
)
QWEN_DIT, QWEN_EDIT_DIT = (f"{name}:transformer/diffusion_pytorch_model*.safetensors" for name in (QWEN, QWEN_EDIT))

FULL, LORA = ["--trainable_models", "dit"], ["--lora_base_model", "dit", "--lora_rank", "4"]
LAUNCHERS = {"cpu": {"ACCELERATE_USE_CPU": "true"}, "npu": {"ACCELERATE_USE_CPU": "false"}}


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """Five clips of five frames, 32x48, and metadata.csv."""
    folder = tmp_path_factory.mktemp("data")
    make_dataset(folder, clips=5, frames=5, height=32, width=48)
    return folder


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """Five pictures, 32x48, with metadata.csv, metadata_edit.csv and metadata_edit_multi.json."""
    folder = tmp_path_factory.mktemp("pictures")
    make_image_dataset(folder, pictures=5, height=32, width=48)
    return folder


@pytest.fixture(scope="session")
def training_models(tmp_path_factory):
    """A folder as DIFFSYNTH_MODEL_BASE_PATH names it."""
    root = tmp_path_factory.mktemp("models")
    make_weights(WAN21, root)
    make_for_patterns(WAN22, [name.partition(":")[2] for name in (HIGH, LOW)], root)
    make_weights(QWEN, root)
    make_for_patterns(QWEN_EDIT, ["transformer/", "processor/"], root)
    make_for_patterns(LAYERED, ["transformer/", "vae/"], root)
    for model_id in (CANNY, INPAINT):
        make_weights(model_id, root)
    return root


@pytest.fixture
def flags_of(data_folder):
    """flags_of(output, *more): a float32 run of Wan over the data set; a flag given again wins."""

    def flags(output, *more, models=f"{DIT},{ENCODERS}"):
        return [*_wan_flags(data_folder, output, models), *more]

    return flags


@pytest.fixture
def qwen_flags_of(picture_folder):
    """qwen_flags_of(output, *more): the same of Qwen-Image."""

    def flags(output, *more, models=f"{QWEN_DIT},{QWEN_ENCODERS}"):
        return [*_qwen_flags(picture_folder, output, models), *more]

    return flags


@pytest.fixture
def train_here(training_models, monkeypatch):
    """train_here(flags, family="wanvideo"): runs a script in this process, on the CPU, and raises what it raises."""
    for name, value in _environment(training_models).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", sys.argv)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield driver.train
    torch.set_num_threads(threads)
    driver.reset_accelerate()


@pytest.fixture
def launch(environment_of, training_models):
    """launch(machine, *runs, processes=1, config=None, **environment): the finished process that made the runs."""

    def start(machine, *runs, processes=1, config=None, timeout=600, **environment):
        env = {**environment_of(machine), **_environment(training_models), **LAUNCHERS[machine], **environment}
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
    """The clips, encoded once on the CPU for task sft."""
    folder = tmp_path_factory.mktemp("encoded")
    _encode(_wan_flags(data_folder, folder, ENCODERS), driver.WAN, training_models)
    return folder


@pytest.fixture(scope="session")
def encoded_pictures(picture_folder, training_models, tmp_path_factory):
    """The pictures and what each was edited from, encoded once on the CPU for task sft."""
    folder = tmp_path_factory.mktemp("encoded")
    flags = [*_qwen_flags(picture_folder, folder, QWEN_ENCODERS), *edit_flags(picture_folder)]
    _encode(flags, driver.QWEN, training_models)
    return folder


@pytest.fixture
def encoded_flags_of(encoded_folder):
    """encoded_flags_of(output, *more): a float32 run of Wan over the encoded data set."""

    def flags(output, *more):
        return [*_wan_flags(encoded_folder, output, DIT), "--task", "sft:train", *more]

    return flags


@pytest.fixture
def encoded_qwen_flags_of(encoded_pictures):
    """encoded_qwen_flags_of(output, *more): the same of Qwen-Image-Edit."""

    def flags(output, *more):
        return [*_qwen_flags(encoded_pictures, output, QWEN_EDIT_DIT), "--task", "sft:train", *more]

    return flags


def edit_flags(pictures, metadata="metadata_edit.csv"):
    """For rows that name a picture to edit, or with metadata_edit_multi.json several."""
    return ["--dataset_metadata_path", pictures / metadata, "--extra_inputs", "edit_image"]


def _wan_flags(data, output, models):
    tokenizer = f"{WAN21}:google/umt5-xxl/"
    return [*_flags(data, output, models), "--tokenizer_path", tokenizer, "--num_frames", "5"]


def _qwen_flags(data, output, models):
    return [*_flags(data, output, models), "--max_pixels", str(32 * 48)]


def _flags(data, output, models):
    return [
        *("--dataset_base_path", data, "--dataset_metadata_path", data / "metadata.csv"),
        *("--model_id_with_origin_paths", models),
        *("--torch_dtype", "float32", "--output_path", output, "--enable_csv_log"),
    ]


def _environment(models):
    return {
        "DIFFSYNTH_MODEL_BASE_PATH": str(models),
        "DIFFSYNTH_SKIP_DOWNLOAD": "true",
        "ACCELERATE_USE_CPU": "true",
    }


def _encode(flags, family, models):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _environment(models).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", sys.argv)
        driver.train([*flags, "--task", "sft:data_process"], family)


@pytest.fixture
def flags_by_family(encoded_flags_of, encoded_qwen_flags_of):
    """flags_by_family[family](output, *more): a float32 run over an encoded data set."""

    def qwen(output, *more):
        # What the last block makes of the prompt is read by nothing.
        return encoded_qwen_flags_of(output, "--find_unused_parameters", *more)

    return {driver.WAN: encoded_flags_of, driver.QWEN: qwen}


def run(flags, family=driver.WAN, **kill):
    """One entry for `launch`."""
    return {"family": family, "flags": [str(flag) for flag in flags], "kill": kill}


def losses(output):
    """The loss of each update of a run, from its csv log."""
    with (Path(output) / "loss.csv").open(newline="") as lines:
        return [float(row["loss"]) for row in csv.DictReader(lines)]
