"""The page of a run, by its text and in a real browser."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from porter.verify import page
from porter.verify.outcome import Outcome, Row
from porter.verify.scripts import Script
from porter.verify.ways import emulated_ways

WAYS = emulated_ways(None, None)
MACHINES = {way.name: {"torch": "2.13.0", "npu": None, "python": "3.11.7", "platform": "Linux"} for way in WAYS}
SOURCE = b"import torch\nx = torch.ones(3)\ny = x[0] < 1\nprint(y)\n"


REFUSED = {"operator": "index on complex64", "line": 3, "message": "index is refused", "runs": False}


def red_frame() -> str:
    written = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(written, "PNG")
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode()


def network(device: str) -> dict[str, Any]:
    computed = {device: {"operations": 1234, "bytes": 3 * 2**20}}
    host = {"aten.mm": 3} if device == "cpu" else {}
    return {"calls": 2, "devices": [device], "computed": computed, "moved": {}, "host_data": host, "peak_memory": 2**20}


def row(path: str = "a.py", problems: tuple[str, ...] = (), **changes: Any) -> Row:
    saved = [
        {"name": "a.mp4", "kind": "array", "shape": [5, 32, 48, 3], "dtype": "uint8", "digest": "d", "array": "a.npy"}
    ]
    whole = {
        way.name: Outcome(seconds=1.5, saved=saved, networks={"dit": network(way.device)}, peak_memory=10 * 2**20)
        for way in WAYS
    }
    outcomes = {name: replace(one, **changes) if name != "cpu" else one for name, one in whole.items()}
    return Row(Script(path, None, SOURCE, SOURCE), WAYS, outcomes, problems=list(problems))


def failed() -> Row:
    problem = "ported: line 3: index is <refused>"
    return row(
        "b.py",
        (problem,),
        error="index is <refused>",
        line=3,
        refused=["index on complex64"],
        refusals=[REFUSED],
        output="Trace & back",
    )


def rendered(*rows: Row, pictures: dict[str, list[str]] | None = None) -> str:
    return page.render([replace(one, pictures=pictures or {}) for one in rows], MACHINES, ["--memory", "8GiB"])


def test_failures_come_first_and_stand_open() -> None:
    made = rendered(row(), failed())
    assert made.index('id="script-1" open') < made.index('id="script-0">')
    assert "1 passed" in made
    assert "1 failed" in made


def test_a_failure_shows_its_reason_its_line_and_what_was_refused() -> None:
    made = rendered(failed())
    assert "line 3: index is &lt;refused&gt;" in made
    assert "&gt;    3 y = x[0] &lt; 1" in made
    assert made.count("y = x[0]") == 1, "two ways that end in one line show it once"
    assert "index on complex64, line 3 (unedited, redirected, ported)" in made
    assert "Trace &amp; back" in made


def test_networks_are_told_with_operators_host_work_and_memory() -> None:
    made = rendered(row())
    assert "<td>1,234 (3.0 MiB)</td>" in made
    assert "<td>3 (aten.mm)</td>" in made
    assert "<td>1.0 MiB</td>" in made


def test_the_command_that_repeats_it_is_a_shell_s() -> None:
    assert "<pre>diffsynth-port verify --memory 8GiB 'a b.py'</pre>" in rendered(row("a b.py"))


def test_what_is_left_to_the_host_and_where_operators_ran() -> None:
    work = {"tiles are put together on the host": {"aten.add": 1200}}
    made = rendered(row(host_work=work, operators={"npu": {"aten.mm": 3000, "aten.mul": 4}, "cpu": {"aten.arange": 2}}))
    assert "<li>tiles are put together on the host: 1,200 operators (unedited, redirected, ported)</li>" in made
    assert "<td>3,004</td><td>2</td>" in made


def test_frames_of_the_ways_stand_side_by_side() -> None:
    made = rendered(row(), pictures={**{way.name: [red_frame()] * 2 for way in WAYS}, page.DIFFERENCE: [red_frame()]})
    assert made.count("<img ") == 7
    assert "difference, ported from unedited, CPU" in made


def test_a_way_without_frames_and_no_difference_are_told() -> None:
    made = rendered(row(), pictures={"cpu": [red_frame()], "redirected": [], page.DIFFERENCE: []})
    assert "no frames" in made
    assert "none: equal to the bit" in made


def test_losses_are_plotted_without_what_is_no_number() -> None:
    curve = [{"update": number, "loss": loss} for number, loss in enumerate([3.0, float("nan"), 1.0])]
    made = rendered(row(curves=[curve]))
    assert "nan" not in made.lower()
    assert len(re.findall(r"<polyline[^>]*way-\d", made)) == 3
    assert "3 updates" in made


def test_losses_that_are_printed_are_plotted() -> None:
    printed = [["step 1, lr 1e-3: loss 2.5, other 7.0", "step 2, lr 1e-3: loss 0.5, other 7.0", "done in 3.0"]]
    made = rendered(row(printed=printed))
    assert "Losses that it printed" in made
    assert ">2.5<" in made
    assert ">0.5<" in made


def test_a_skipped_script_says_why() -> None:
    one = row()
    skipped = Row(replace(one.script, skipped="2 processes need as many NPUs"), WAYS)
    assert "Skipped: 2 processes need as many NPUs." in rendered(skipped)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here: apt-get install chromium")
def test_a_browser_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(rendered(row(), failed(), pictures={way.name: [red_frame()] for way in WAYS}), encoding="utf-8")
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    seen = subprocess.run(
        [*browser, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert seen.stdout.count("<details") == 2
    picture = tmp_path / "page.png"
    subprocess.run([*browser, f"--screenshot={picture}", "--window-size=1200,1600", file.as_uri()],
                   capture_output=True, timeout=120, check=True)  # fmt: skip
    colors = Image.open(picture).convert("RGB").getcolors(2**24)
    assert colors is not None
    assert any(count > 500 and red > 240 and green < 20 for count, (red, green, _) in colors), "the red frames are seen"
