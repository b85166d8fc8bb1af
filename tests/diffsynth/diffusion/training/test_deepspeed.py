"""DeepSpeed by the shipped configs, over two processes. Needs deepspeed, which is installed from source."""

import importlib.util

import pytest
import torch

from tests.diffsynth.diffusion.training.conftest import FULL, LORA, losses, run
from tests.diffsynth.diffusion.training.driver import WAN, path_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not installed"),
]
RUN = ["--num_epochs", "4", "--dataset_repeat", "2", "--initialize_model_on_cpu"]


@pytest.fixture
def two_processes(tmp_path):
    """A shipped config for two processes. Optimizer state stays on the device: DeepSpeed's own optimizer for the host
    is compiled when it is first used, which takes minutes."""

    def config(name):
        text = (path_of(WAN).parent / "full" / name).read_text()
        text = text.replace("num_processes: 8", "num_processes: 2").replace("_device: cpu", "_device: none")
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return config


@pytest.mark.parametrize("name", ["accelerate_config_14B.yaml", "accelerate_config_14B_zero3.yaml"])
@pytest.mark.parametrize("trained", [FULL, LORA], ids=["full", "lora"])
def test_the_curve_is_that_of_one_process(launch, encoded_flags_of, train_here, two_processes, tmp_path, name, trained):
    train_here(encoded_flags_of(tmp_path / "one", *trained, *RUN, "--gradient_accumulation_steps", "2"))
    done = launch(
        "npu",
        run(encoded_flags_of(tmp_path / "two", *trained, *RUN)),
        processes=2,
        config=two_processes(name),
        ASCEND_HOME_PATH="/none",  # it only looks whether there is one
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found, expected = losses(tmp_path / "two"), losses(tmp_path / "one")
    assert len(found) == len(expected) == 20
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=1e-5)
