"""DP409: GPUs that a script asks a container or a cluster for."""

from __future__ import annotations

import pytest

from tests.porter.documents.porting import check_reported, ported

CODE = "DP409"


@pytest.mark.parametrize(
    "text",
    [
        "docker run --gpus all image python a.py",
        'docker run --rm --gpus "device=0" image',
        "sudo docker run --runtime=nvidia image",
        "docker run --runtime nvidia image",
        "docker run nvidia/cuda:12.1-base nvidia-smi",
        "singularity exec --nv image.sif python a.py",
        "srun --gres=gpu:4 python a.py",
        "sbatch --gpus-per-node=8 job.sh",
        "#SBATCH --gres=gpu:a100:8",
    ],
)
def test_reported(text: str) -> None:
    check_reported("a.sh", text + "\n", CODE, "error")


@pytest.mark.parametrize(
    "text",
    [
        "docker run image python a.py",
        "python a.py --gpus 2",
        "srun --nodes=2 python a.py",
        "#SBATCH --nodes=2",
        "# docker run --gpus all image",
        "docker ps",
    ],
)
def test_left_alone(text: str) -> None:
    assert CODE not in [one.code for one in ported("a.sh", text + "\n").findings]
