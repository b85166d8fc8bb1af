"""DP212: a GPU that a framework is asked for."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP212"


@pytest.mark.parametrize(
    "text",
    [
        'Trainer(accelerator="gpu")',
        'import lightning as L\nL.Trainer(accelerator="gpu", devices=2)',
        'import lightning as L\nL.Fabric(accelerator="gpu")',
        "Trainer(gpus=1)",
        "pl.Trainer(gpus=args.gpus)",
    ],
)
def test_lightning(text: str) -> None:
    check_reported(text, CODE, "error", len(text.splitlines()))


@pytest.mark.parametrize(
    "text",
    [
        "import ray\nf.options(num_gpus=1)",
        "import ray\n@ray.remote(num_gpus=1)\ndef f(): ...",
        "from ray.train import ScalingConfig\nScalingConfig(num_workers=2, use_gpu=True)",
        "import ray\nray.init(num_gpus=n)",
    ],
)
def test_ray(text: str) -> None:
    check_reported(text, CODE, "warning", 2)


@pytest.mark.parametrize(
    "text",
    [
        'Trainer(accelerator="cpu")',
        'Trainer(accelerator="auto")',
        'Engine(accelerator="gpu")',
        "Trainer(gpus=0)",
        "Trainer(gpus=None)",
        "import ray\nray.init(num_gpus=0)",
        "import ray\nScalingConfig(use_gpu=False)",
        "Pool(num_gpus=1)",
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)


def test_mps_is_what_lightning_takes_as_a_gpu() -> None:
    check_silent('Trainer(accelerator="gpu")', CODE, "mps")
