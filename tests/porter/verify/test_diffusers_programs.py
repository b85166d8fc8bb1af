"""Programs of diffusers, as model cards have them, and ports of one broken on purpose, which must not pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import find_scripts
from porter.verify.verification import Verification

from .conftest import ROOT

PROGRAMS = ROOT / "tests" / "data" / "programs" / "diffusers"
NAMES = sorted(path.name for path in PROGRAMS.glob("*.py"))
QUICK = "flux_model_offload.py"

pytest.importorskip("diffusers")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == QUICK else pytest.mark.slow) for name in NAMES]
)
def test_a_program_passes(running: Verification, name: str) -> None:
    (script,) = find_scripts([str(PROGRAMS / name)], None)
    row = running.run(script)
    assert row.problems == []
    assert (row.ran, row.equal) == (3, True)
    networks = row.outcomes["ported"].networks
    assert "vae" in networks
    assert networks.keys() & {"unet", "transformer"}


@pytest.mark.slow
def test_a_face_brings_its_lora(running: Verification, tmp_path: Path) -> None:
    text = (PROGRAMS / "ip_adapter_faceid_plus.py").read_text()
    (tmp_path / "face.py").write_text(text + "print(pipeline.get_active_adapters(), 0.5)\n")
    (script,) = find_scripts([str(tmp_path / "face.py")], None)
    row = running.run(script)
    assert row.problems == []
    assert row.outcomes["ported"].printed[0][-1] == "['faceid_0'] 0.5"


PROGRAM = """\
import torch
from diffusers import FluxPipeline
pipe = FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-schnell", torch_dtype=torch.bfloat16)
pipe.to("npu")
generator = torch.Generator("npu").manual_seed(0)
image = pipe("a boat", num_inference_steps=1, guidance_scale=0.0, generator=generator).images[0]
image.save("boat.png")
"""
ON_THE_CPU = """\
last = pipe.transformer.proj_out
last.forward = {}lambda x: torch.nn.functional.linear(x.cpu(), last.weight.cpu(), last.bias.cpu()).to(x.device){}
image ="""

BROKEN = [
    ("a boat", "a cat", "saved other "),
    ("image =", "pipe.vae.decoder.conv_out.bias.data.fill_(float('nan'))\nimage =", "saved NaN or infinity in decoded"),
    ("image =", ON_THE_CPU.format("", ""), "computed on the CPU"),
    ("image =", ON_THE_CPU.format("torch.compile(", ")"), "computed on the CPU"),
    ("image =", "raise ValueError('no')\nimage =", "line 6: ValueError: no"),
    ('"npu"', '"cpu"', "nothing was computed on npu"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [pytest.param(*case, marks=[] if number < 2 else pytest.mark.slow) for number, case in enumerate(BROKEN)],
)
def test_a_broken_port_fails(verify_text: Callable[..., Row], old: str, new: str, problem: str) -> None:
    row = verify_text(PROGRAM.replace('"npu"', '"cuda"'), PROGRAM.replace(old, new))
    assert any(problem in one for one in row.problems), row.problems
    assert all(one.startswith("ported: ") for one in row.problems)


@pytest.mark.slow
def test_the_whole_program_passes(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PROGRAM.replace('"npu"', '"cuda"'), PROGRAM)
    assert (row.problems, row.equal) == ([], True)
