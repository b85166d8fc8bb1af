"""Scripts against DiffSynth-Studio's public API, as somebody would write them, proved on DiffSynth-Studio itself.

`pytest -m slow` with the Python of an environment that has it (see docs/verify.md) runs what is here; the folder
`tests/data/studio` has the scripts, one for each family.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
SCRIPTS = ROOT / "tests" / "data" / "studio"
TOOLS = ("accelerator_autoload.py", "accelerator_tables", "npu_compat", "npu_emulator", "porter", "script_trial")
NEEDS = {"ltx_2": ("av", "torchaudio"), "wan_lora": ("peft", "pandas")}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def _studio() -> None:
    try:
        version = metadata.version("diffsynth")
    except metadata.PackageNotFoundError:
        version = None
    if version is None or tuple(map(int, re.findall(r"\d+", version)[:3])) < (2, 1, 12):
        pytest.skip(f"needs DiffSynth-Studio (diffsynth 2.1.12 or later), and there is {version}")


def verified(folder: Path, *paths: Path | str, arguments: tuple[str, ...] = ()) -> dict[str, Any]:
    """The rows of `diffsynth-port verify`, by the name of the script, in a folder without this one's `diffsynth`."""
    tools = folder / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(ROOT / name)
    report = folder / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "porter", "verify", "--memory", "8GiB", "--report", report, *arguments, *paths],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(tools)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    rows = json.loads(report.read_text())["scripts"]
    return {Path(row["path"]).name: row for row in rows}


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_passes(name, tmp_path):
    for package in NEEDS.get(name, ()):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    (row,) = verified(tmp_path, SCRIPTS / f"{name}.py").values()
    assert row["passed"], row["problems"]
    for way, device in (("cpu", "cpu"), ("redirected", "npu"), ("ported", "npu")):
        networks = row["outcomes"][way]["networks"]
        assert len(networks) >= 3
        assert all(one["computed"][device]["operations"] > 10 for one in networks.values())


@pytest.mark.parametrize("processes", [1, 2])
def test_a_lora_trains(processes, tmp_path):
    for package in NEEDS["wan_lora"]:
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    training = tmp_path / "training"
    training.mkdir()
    for name in ("train.py", "wan_lora.sh"):
        (training / name).write_bytes((SCRIPTS / "training" / name).read_bytes())
    (row,) = verified(tmp_path, training / "wan_lora.sh", arguments=("--processes", str(processes))).values()
    assert row["passed"], row["problems"]
    assert len(row["outcomes"]["ported"]["curves"][0]) >= 3


# What is done to the script for FLUX.1 before its first picture, and what its row has to say then.
BROKEN = {
    "port": (
        "steps = 2 if pipe.dit.x_embedder.weight.device.type == 'cpu' else 1",
        "saved other frames than the reference",
    ),
    "on_the_cpu": (
        "decoder = pipe.vae_decoder.to('cpu')\nforward = decoder.forward\n"
        "decoder.forward = lambda latents, **more: forward(latents.cpu(), **more).to('cuda')",
        "computed on the CPU",
    ),
    "raises": (
        "if pipe.dit.x_embedder.weight.device.type == 'npu':\n    raise RuntimeError('only here')",
        "only here",
    ),
    "nan": (
        "import numpy\nnumpy.save('loss.npy', numpy.array([1.0, float('nan')]))",
        "saved NaN or infinity in loss.npy",
    ),
}


def test_what_is_broken_on_purpose_does_not_pass(tmp_path):
    text = (SCRIPTS / "flux_1.py").read_text()
    before, call = text.split('prompt = "', 1)
    folder = tmp_path / "broken"
    folder.mkdir()
    for name, (injected, _) in BROKEN.items():
        steps = "num_inference_steps=steps" if "steps" in injected else "num_inference_steps=2"
        (folder / f"{name}.py").write_text(
            f'{before}{injected}\nprompt = "{call}'.replace("seed=0)", f"seed=0, {steps})", 1)
        )
    rows = verified(tmp_path, folder)
    for name, (_, said) in BROKEN.items():
        row = rows[f"{name}.py"]
        assert not row["passed"], row
        assert said in " ".join(row["problems"]), row["problems"]


def test_a_vae_on_the_host_is_not_taken_for_tiles_put_together_there(tmp_path):
    text = (SCRIPTS / "wan_t2v.py").read_text()
    moved = (
        "model = pipe.vae.model.to('cpu')\ndecode = model.decode\n"
        "model.decode = lambda latents, scale: decode(latents.cpu(), scale).to('cuda')\n\nvideo = pipe("
    )
    script = tmp_path / "vae_on_the_host.py"
    script.write_text(text.replace("video = pipe(", moved))
    row = verified(tmp_path, script)["vae_on_the_host.py"]
    assert not row["passed"]
    assert any("vae computed nothing on npu" in problem for problem in row["problems"]), row["problems"]
