"""The same losses on every device, by every engine, and by any number of processes."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.diffsynth.diffusion.training.conftest import (
    FULL,
    LORA,
    QWEN_EDIT_DIT,
    QWEN_ENCODERS,
    edit_flags,
    losses,
    run,
)
from tests.diffsynth.diffusion.training.driver import QWEN, WAN

EPOCHS = ["--num_epochs", "4"]  # of 5 samples: 20 updates
TWICE = [*EPOCHS, "--dataset_repeat", "2"]  # 20 updates of two batches
ALL = [(family, trained) for family in (WAN, QWEN) for trained in ("full", "lora")]
OF_A_BLOCK = {WAN: "WanBlock", QWEN: "QwenImageBlock"}

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
  fsdp_transformer_layer_cls_to_wrap: {block}
  fsdp_state_dict_type: SHARDED_STATE_DICT
  fsdp_use_orig_params: true
  fsdp_cpu_ram_efficient_loading: false
"""


def assert_same(found, expected, count=20):
    assert len(found) == len(expected) == count
    assert len(set(expected)) > count / 2
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.fixture
def runs_of(flags_by_family, tmp_path):
    """runs_of(name, *more, kinds=ALL): runs to launch, and the folders they write to."""

    def make(name, *more, kinds=ALL):
        runs, folders = [], []
        for family, trained in kinds:
            folders.append(tmp_path / f"{name}-{family}-{trained}")
            flags = flags_by_family[family](folders[-1], *(FULL if trained == "full" else LORA), *more)
            runs.append(run(flags, family))
        return runs, folders

    return make


@pytest.fixture
def trained_here(runs_of, train_here):
    """trained_here(*more, kinds=ALL): the folders of the same runs, made in this process."""

    def make(*more, kinds=ALL):
        runs, folders = runs_of("here", *more, kinds=kinds)
        for one in runs:
            train_here(one["flags"], one["family"])
        return folders

    return make


def launched(launch, machine, runs, **options):
    done = launch(machine, *runs, **options)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"trained on {machine}" in done.stdout
    return done.stdout


def assert_same_weights(folders, others, *, within):
    for folder, other in zip(folders, others, strict=True):
        last = max(folder.glob("epoch-*.safetensors")).name
        one, two = load_file(folder / last), load_file(other / last)
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, rtol=0, atol=within)


def test_a_shorter_run_of_one_process_on_the_cpu_and_on_an_npu(
    runs_of, trained_here, launch, flags_by_family, tmp_path
):
    """A LoRA of each family; before that, loading a whole network is measured: by way of the host it is there once."""
    epochs, kinds = ["--num_epochs", "2"], [(WAN, "lora"), (QWEN, "lora")]
    runs, there = runs_of("npu", *epochs, "--initialize_model_on_cpu", kinds=kinds)
    loading = {**run(flags_by_family[WAN](tmp_path / "load", *FULL, "--initialize_model_on_cpu")), "measure": True}
    printed = launched(launch, "npu", [loading, *runs])
    here = trained_here(*epochs, kinds=kinds)
    for one, other in zip(here, there, strict=True):
        assert_same(losses(one), losses(other), count=10)
    assert_same_weights(here, there, within=1e-5)
    (report,) = (json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    assert report["weights"] <= report["peak"] <= report["weights"] * 1.02


@pytest.mark.slow
def test_one_process_on_the_cpu_and_on_an_npu(runs_of, trained_here, launch):
    runs, there = runs_of("npu", *EPOCHS)
    launched(launch, "npu", runs)
    here = trained_here(*EPOCHS)
    for one, other in zip(here, there, strict=True):
        assert_same(losses(one), losses(other))
    assert_same_weights(here, there, within=1e-5)


@pytest.mark.slow
def test_encoding_on_an_npu_too(flags_of, qwen_flags_of, picture_folder, train_here, launch, tmp_path):
    """First the published form of an edit, in bfloat16 and by way of the host: it asks the NPU for plain layouts, and
    that lasts."""
    flags = {WAN: flags_of, QWEN: qwen_flags_of}
    edit = [*edit_flags(picture_folder), "--model_id_with_origin_paths", f"{QWEN_EDIT_DIT},{QWEN_ENCODERS}"]
    edit += ["--torch_dtype", "bfloat16", "--initialize_model_on_cpu"]
    runs = [run(flags[family](tmp_path / f"npu {family}", *LORA), family) for family in flags]
    launched(launch, "npu", [run(qwen_flags_of(tmp_path / "npu edit", *LORA, *edit), QWEN), *runs])
    for family in flags:
        train_here(flags[family](tmp_path / f"cpu {family}", *LORA), family)
        assert_same(losses(tmp_path / f"npu {family}"), losses(tmp_path / f"cpu {family}"), count=5)
    train_here(qwen_flags_of(tmp_path / "cpu edit", *LORA, *edit), QWEN)
    assert losses(tmp_path / "npu edit") == pytest.approx(losses(tmp_path / "cpu edit"), rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["npu", "cpu"])
def test_two_processes_by_ddp(runs_of, launch, trained_here, machine):
    runs, folders = runs_of(machine, *TWICE)
    launched(launch, machine, runs, processes=2)
    here = trained_here(*TWICE, "--gradient_accumulation_steps", "2")
    for folder, one in zip(folders, here, strict=True):
        assert_same(losses(folder), losses(one))


@pytest.mark.slow
@pytest.mark.parametrize("family", [WAN, QWEN])
@pytest.mark.parametrize("version", [1, 2])
def test_two_processes_by_fsdp_on_npus(runs_of, launch, trained_here, tmp_path, version, family):
    config = tmp_path / "fsdp.yaml"
    config.write_text(FSDP.format(version=version, block=OF_A_BLOCK[family]))
    kinds = [(family, "full"), (family, "lora")]
    runs, folders = runs_of("npu", *TWICE, "--initialize_model_on_cpu", kinds=kinds)
    launched(launch, "npu", runs, processes=2, config=config)
    here = trained_here(*TWICE, "--gradient_accumulation_steps", "2", kinds=kinds)
    for folder, one in zip(folders, here, strict=True):
        assert_same(losses(folder), losses(one))
    assert_same_weights(here, folders, within=1e-4)
