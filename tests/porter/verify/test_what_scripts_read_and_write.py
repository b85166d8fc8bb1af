"""Where scripts find their user's data, and what they leave among temporary files, which all ways share."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import find_scripts
from porter.verify.verification import Verification

READS = """\
import glob, os
from pathlib import Path
import numpy, torch
from PIL import Image

classes = sorted(entry.name for entry in os.scandir("photos") if entry.is_dir())
files = sorted(glob.glob("photos/*/*.png"))
assert files == [str(one) for one in sorted(Path("photos").rglob("*.png"))]
assert os.path.getsize("weights.bin") > 2**20
pixels = torch.from_numpy(numpy.stack([numpy.asarray(Image.open(one)) for one in files])).float()
print(classes, os.listdir("photos/cats"), float(pixels.to("cuda").mean()))
torch.save(pixels.to("cuda") * 2, "results/pixels.pt")
os.remove(files[0])
assert len(glob.glob("photos/*/*.png")) == len(files) - 1
"""
APPENDS = """\
import os, time, torch
with open("{place}.txt", "a") as file:
    file.write("a line\\n")
time.sleep(0.3)
os.makedirs("{place}", exist_ok=True)
torch.save(torch.ones(3, device="cuda").mul(2), "{place}/x.pt")
print(len(open("{place}.txt").readlines()), os.listdir("{place}"), float(torch.load("{place}/x.pt").sum()))
"""


def test_folders_of_data_are_found_from_where_the_command_was_started(
    running: Verification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    for number, place in enumerate(("cats/1", "cats/2", "dogs/1")):
        (tmp_path / "photos" / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 10, 20)).save(tmp_path / "photos" / f"{place}.png")
    (tmp_path / "weights.bin").write_bytes(bytes(2**20 + 1))  # too large to be copied
    (tmp_path / "results").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(READS)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    (script,) = find_scripts(["code/train.py"], None)
    row = running.run(script)
    assert (row.problems, row.equal) == ([], True)
    assert [one["name"] for one in row.outcomes["ported"].saved] == ["results/pixels.pt"]
    assert row.outcomes["ported"].printed[0][0].startswith("['cats', 'dogs'] ['")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_fixed_name_among_temporary_files_is_each_ways_own(verify_text: Callable[..., Row]) -> None:
    place = Path("/tmp", f"diffsynth-port-test-{uuid.uuid4()}")
    text = APPENDS.format(place=place)
    row = verify_text(text, text.replace('"cuda"', '"npu"'))
    assert (row.problems, row.equal) == ([], True)
    assert row.outcomes["ported"].printed == [["1 ['x.pt'] 6.0"]]
    assert f"it writes to {place}.txt, a place that all ways share" in row.outcomes["ported"].notes
    assert not place.exists()
    assert not place.with_suffix(".txt").exists()


DRAWN_NAMES = """\
import os, tempfile, torch
x = torch.ones(3, device="cuda").mul(2)
with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(suffix=".pt") as file:
    torch.save(x, os.path.join(folder, "best.pt"))
    torch.save(x, file.name)
    print(float(torch.load(os.path.join(folder, "best.pt")).sum()))
"""


def test_names_that_are_drawn_are_no_difference(verify_text: Callable[..., Row]) -> None:
    row = verify_text(DRAWN_NAMES, DRAWN_NAMES.replace('"cuda"', '"npu"'))
    assert (row.problems, row.equal) == ([], True)
    assert [one["name"] for one in row.outcomes["ported"].saved] == ["<temporary>/best.pt", "<temporary>/"]
    assert row.outcomes["ported"].notes == []


DRAWS = """\
import torch, torch.utils.checkpoint
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)).to("cuda")
for step in range(3):
    x = torch.randn(4, 8)
    noise = torch.randn(4, 8, device="cuda")
    out = model(x.to("cuda") + noise + torch.rand_like(noise))
    print(f"loss {out.square().mean().item():.6f}", torch.rand(1).item(), torch.randperm(4, device="cuda").tolist())
state = torch.cuda.get_rng_state()
first = torch.randn(3, device="cuda").tolist()
torch.cuda.set_rng_state(state)
print(first == torch.randn(3, device="cuda").tolist(), torch.rand(1).item())
x = torch.ones(16, device="cuda", requires_grad=True)
torch.utils.checkpoint.checkpoint(torch.nn.Dropout(0.5), x, use_reentrant=False).sum().backward()
print(x.grad.tolist(), torch.randn(3).tolist(), torch.randn(3, device="cuda").tolist())
torch.cuda.manual_seed_all(7)
print(torch.randn(3, device="cuda").tolist(), torch.Generator(device="cuda").manual_seed(3).initial_seed() + 0.5)
"""


def test_random_numbers_are_the_same_in_whichever_order_they_are_drawn(verify_text: Callable[..., Row]) -> None:
    row = verify_text(DRAWS, DRAWS.replace('"cuda"', '"npu"').replace("torch.cuda", "torch.npu"))
    assert (row.problems, row.equal) == ([], True)
