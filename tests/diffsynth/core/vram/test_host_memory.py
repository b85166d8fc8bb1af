"""Host memory: two buffers for what is streamed, one copy of what is held, and the same from step to step."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.diffsynth.core.vram.networks import Network, filled

pytestmark = pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc/self/status")

SIZES = {"dim": 1024, "layers": 12}  # blocks of 16 MiB, 200 MiB in all
PROGRAM = """
    import gc, json
    from pathlib import Path
    import torch
    from diffsynth.core.loader.checkpoint import Checkpoint
    from diffsynth.core.vram import ManagedWeights
    from tests.diffsynth.core.vram.networks import Network, on_meta, policy

    def kibibytes(line):
        status = Path("/proc/self/status").read_text()
        return int(status.partition(line + ":")[2].split()[0])

    here, disk = ("cpu", torch.float32), "disk"
    placements = PLACEMENTS
    sizes = SIZES
    ids = torch.arange(6).reshape(2, 3)
    source = Checkpoint("FILE")
    on_meta(Network, dim=32)
    torch.nn.Linear(8, 8)(torch.ones(2, 8))  # the first use of everything costs memory once
    gc.collect()
    before = kibibytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew

    model = on_meta(Network, **sizes)
    weights = ManagedWeights(model, source, {key: key for key in source.headers}, policy(here, **placements), None)
    weights.onload()
    rss = []
    for _ in range(STEPS):
        with torch.no_grad():
            model(ids)
        rss.append(kibibytes("VmRSS"))
    peak = kibibytes("VmHWM") - before
    weights.offload()
    gc.collect()
    print(json.dumps({"rss": rss, "peak": peak * 1024, "left": (kibibytes("VmRSS") - before) * 1024}))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    state_dict = filled(Network, **SIZES).state_dict()
    save_file({key: tensor.clone() for key, tensor in state_dict.items() if key != "leave.weight"}, path)
    return path


def measured(run_on: Callable[..., str], file: Path, placements: str, steps: int = 4) -> dict:
    program = PROGRAM.replace("PLACEMENTS", placements).replace("SIZES", repr(SIZES)).replace("FILE", str(file))
    program = program.replace("STEPS", str(steps))
    return json.loads(run_on("cpu", program))


@pytest.mark.parametrize(
    ("placements", "most"),
    [
        ("dict(offload=disk, onload=disk, preparing=disk)", 3.0),
        ("dict(offload=disk)", None),
        ("dict(offload=here)", None),
    ],
    ids=["streamed", "held while in use", "held"],
)
def test_it_is_flat_and_small(run_on: Callable[..., str], file: Path, placements: str, most: float | None) -> None:
    block = 16 * 2**20
    result = measured(run_on, file, placements, steps=50 if most else 4)
    steps = result["rss"][2:]
    assert max(steps) <= 1.02 * min(steps)
    limit = most * block if most else 1.05 * file.stat().st_size
    assert result["peak"] <= limit, f"{result['peak'] / 2**20:.0f} MiB"
    if "offload=here" not in placements:
        assert result["left"] <= 0.5 * block


def test_the_measure_sees_a_second_copy(run_on: Callable[..., str], file: Path) -> None:
    assert torch.float32.itemsize * 12 * 4 * 1024 * 1024 < file.stat().st_size
    result = measured(
        run_on, file, "dict(offload=disk, onload=('cpu', torch.float64), preparing=('cpu', torch.float64))"
    )
    assert result["peak"] > 1.9 * file.stat().st_size
