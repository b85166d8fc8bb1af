"""The VAE on the emulated NPU: the CPU's bits, and memory that does not grow with the video."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffsynth.models.wan_video_vae import WanVideoVAE
from tests.machine import needs_emulator

ROOT = Path(__file__).resolve().parents[3]
pytestmark = needs_emulator

SAME_BITS = """
import sys, torch
from diffsynth.models.wan_video_vae import WanVideoVAE
state, video, latents, expected = torch.load(sys.argv[1], weights_only=True)
vae = WanVideoVAE(8).eval().requires_grad_(False)
vae.load_state_dict(state)
for dtype in (torch.float32, torch.bfloat16):
    vae.to("npu", dtype)
    for tiled in (False, True):
        options = {"tiled": tiled, "tile_size": (4, 4), "tile_stride": (2, 2)}
        for work, given in (("encode", video), ("decode", latents)):
            found = getattr(vae, work)(given.npu(), **options)
            assert found.device.type == "npu" and found.dtype == torch.float32
            assert torch.equal(found.cpu(), expected[f"{dtype} {tiled} {work}"]), (dtype, tiled, work)
"""

# Prints, for each length, the peak without weights, what goes in and what comes out, in bytes.
PEAKS = """
import json, torch
from diffsynth.models.wan_video_vae import WanVideoVAE
torch.set_grad_enabled(False)
vae = WanVideoVAE(8).eval().to("npu")
peaks = {"encode": [], "decode": []}
for length in (3, 5, 9):
    video = torch.rand(1, 3, 4 * length - 3, 64, 96, device="npu")
    latents = torch.randn(1, 16, length, 8, 12, device="npu")
    for work, given in (("encode", video), ("decode", latents)):
        before = torch.npu.memory_allocated()
        torch.npu.reset_peak_memory_stats()
        result = getattr(vae, work)(given)
        peaks[work].append(torch.npu.max_memory_allocated() - before - result.nbytes)
        del result
print(json.dumps(peaks))
"""


def on_npu(program: str, folder: Path, *arguments: object) -> str:
    (folder / "program.py").write_text(program)
    run = subprocess.run(
        [sys.executable, "-m", "npu_emulator", "run", str(folder / "program.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def one_thread():
    """As in the child: bits depend on how many threads share a kernel."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_same_bits_as_on_the_cpu(tmp_path, one_thread):
    generator = torch.Generator().manual_seed(1)
    video = torch.rand(1, 3, 5, 40, 48, generator=generator) * 2 - 1
    latents = torch.randn(1, 16, 2, 5, 6, generator=generator)
    torch.manual_seed(0)
    vae = WanVideoVAE(8).eval().requires_grad_(False)
    state = {key: value.clone() for key, value in vae.state_dict().items()}
    expected = {}
    for dtype in (torch.float32, torch.bfloat16):
        vae.to(dtype)
        for tiled in (False, True):
            options = {"tiled": tiled, "tile_size": (4, 4), "tile_stride": (2, 2)}
            expected[f"{dtype} {tiled} encode"] = vae.encode(video, **options)
            expected[f"{dtype} {tiled} decode"] = vae.decode(latents, **options)
    torch.save((state, video, latents, expected), tmp_path / "case.pt")
    on_npu(SAME_BITS, tmp_path, tmp_path / "case.pt")


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path):
    for work, peaks in json.loads(on_npu(PEAKS, tmp_path)).items():
        assert min(peaks) > 0
        assert max(peaks) <= 1.01 * min(peaks), work
