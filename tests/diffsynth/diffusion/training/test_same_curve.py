"""The same losses on every device, by every engine, and by any number of processes."""

import pytest
import torch
from safetensors.torch import load_file

from tests.diffsynth.diffusion.training.conftest import FULL, LORA, losses, run

EPOCHS = ["--num_epochs", "4"]  # of 5 clips: 20 updates
TWICE = [*EPOCHS, "--dataset_repeat", "2"]  # 20 updates of two batches

FSDP = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
machine_rank: 0
mixed_precision: bf16
num_machines: 1
num_processes: 2
fsdp_config:
  fsdp_version: {version}
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_transformer_layer_cls_to_wrap: WanBlock
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_use_orig_params: true
  fsdp_cpu_ram_efficient_loading: false
"""


def assert_same(found, expected, count=20):
    assert len(found) == len(expected) == count
    assert len(set(expected)) > count / 2
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.fixture
def both(encoded_flags_of, tmp_path):
    """both(name, *more): a full and a LoRA run to launch, and the folders they write to."""

    def make(name, *more):
        folders = [tmp_path / f"{name}-{kind}" for kind in ("full", "lora")]
        return [
            run(encoded_flags_of(folder, *trained, *more))
            for folder, trained in zip(folders, (FULL, LORA), strict=True)
        ], folders

    return make


def launched(launch, machine, runs, **options):
    done = launch(machine, *runs, **options)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture
def of_two_batches(both, train_here):
    """The losses that two processes must come to: one process, updating after every second batch."""
    runs, folders = both("accumulated", *TWICE, "--gradient_accumulation_steps", "2")
    for one in runs:
        train_here(one["flags"])
    return [losses(folder) for folder in folders], folders


def test_one_process_on_the_cpu_and_on_an_npu(both, train_here, launch):
    runs, here = both("cpu", *EPOCHS)
    for one in runs:
        train_here(one["flags"])
    runs, there = both("npu", *EPOCHS)
    launched(launch, "npu", runs)
    for one, other in zip(here, there, strict=True):
        assert_same(losses(one), losses(other))
        weights = [load_file(folder / "epoch-3.safetensors") for folder in (one, other)]
        for name, tensor in weights[0].items():
            torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_encoding_on_an_npu_too(flags_of, train_here, launch, tmp_path):
    train_here(flags_of(tmp_path / "cpu", *LORA))
    launched(launch, "npu", [run(flags_of(tmp_path / "npu", *LORA))])
    assert_same(losses(tmp_path / "npu"), losses(tmp_path / "cpu"), count=5)


def test_two_processes_by_ddp_on_npus(both, launch, of_two_batches):
    runs, folders = both("npu", *TWICE)
    launched(launch, "npu", runs, processes=2)
    for folder, expected in zip(folders, of_two_batches[0], strict=True):
        assert_same(losses(folder), expected)


@pytest.mark.slow
def test_two_processes_by_ddp_on_the_cpu(both, launch, of_two_batches):
    runs, folders = both("cpu", *TWICE)
    launched(launch, "cpu", runs, processes=2)
    for folder, expected in zip(folders, of_two_batches[0], strict=True):
        assert_same(losses(folder), expected)


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_two_processes_by_fsdp_on_npus(both, launch, of_two_batches, tmp_path, version):
    config = tmp_path / "fsdp.yaml"
    config.write_text(FSDP.format(version=version))
    runs, folders = both("npu", *TWICE, "--initialize_model_on_cpu")
    launched(launch, "npu", runs, processes=2, config=config)
    for folder, reference, expected in zip(folders, of_two_batches[1], of_two_batches[0], strict=True):
        assert_same(losses(folder), expected)
        weights = [load_file(place / "epoch-3.safetensors") for place in (reference, folder)]
        assert weights[0].keys() == weights[1].keys()
        for name, tensor in weights[0].items():
            torch.testing.assert_close(weights[1][name], tensor, rtol=0, atol=1e-4)
