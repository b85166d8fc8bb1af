"""`--watch`, by a real process whose files are changed under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from porter.cli import command

ROOT = Path(__file__).resolve().parents[2]


def lines_within(file: Path, wanted: str, times: int, seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = file.read_text()
        if text.count(wanted) >= times:
            return text
        time.sleep(0.1)
    raise AssertionError(f"{wanted!r} was not printed {times} times: {file.read_text()!r}")


def _as_on_a_terminal() -> None:
    """A process that was started in the background ignores Ctrl-C, and so would those that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal")
def test_it_ports_what_is_saved_and_its_own_writing_is_no_change(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "lib").mkdir(parents=True)
    script, module, said = tree / "a.py", tree / "lib" / "b.py", tmp_path / "out"
    script.write_text('x.to("cuda")\n')
    module.write_text('y.to("cuda")\n')
    (tree / "lib" / "pyproject.toml").write_text('[tool.diffsynth-port]\nignore = ["DP101"]\n')
    call = [sys.executable, "-m", "porter", str(tree), "--target", "npu", "--watch", "--no-cache"]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    with said.open("w") as out:
        process = subprocess.Popen(
            call, stdout=out, stderr=out, cwd=tmp_path, env=environment, preexec_fn=_as_on_a_terminal
        )
        try:
            lines_within(said, "1 file rewritten in 1 place", 1)
            assert (script.read_text(), module.read_text()) == ('x.to("npu")\n', 'y.to("cuda")\n')
            time.sleep(2)
            assert said.read_text().count("File change detected") == 0
            script.write_text('x.to("npu")\nz.to("cuda")\n')
            lines_within(said, "1 file rewritten in 1 place", 2)
            assert script.read_text() == 'x.to("npu")\nz.to("npu")\n'
            (tree / "lib" / "pyproject.toml").unlink()  # and with it, what it leaves out
            lines_within(said, "1 file rewritten in 1 place", 3)
            assert module.read_text() == 'y.to("npu")\n'
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal")
def test_it_runs_again_after_a_change_and_ends_with_0(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    script = tree / "a.py"
    script.write_text('x = "cuda"\n')
    said, heard = tmp_path / "out", tmp_path / "err"
    call = [sys.executable, "-m", "porter", str(tree), "--target", "npu", "--check", "--watch", "--no-cache"]
    with said.open("w") as out, heard.open("w") as err:
        process = subprocess.Popen(
            [*call, "--report", str(tree / "r.md")], stdout=out, stderr=err, cwd=ROOT, preexec_fn=_as_on_a_terminal
        )
        try:
            lines_within(said, "would be rewritten", 1)
            assert "] Watching for changes" in heard.read_text()
            (tree / "b.py").write_text('y = x.to("cuda")\n')
            assert "b.py:1:10: DP101" in lines_within(said, "would be rewritten", 2)
            assert "] File change detected" in heard.read_text()
            time.sleep(2)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
    assert said.read_text().count("would be rewritten") == 2  # its own report is no change
    assert script.read_text() == 'x = "cuda"\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([".", "--output", "x"], "nor with --output", id="output"),
        pytest.param([".", "--check", "--write-baseline"], "neither with --write-baseline", id="baseline"),
        pytest.param(["-", "--check"], "not for standard input", id="stdin"),
    ],
)
def test_what_it_does_not_go_with(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, [*arguments, "--target", "npu", "--watch"])
    assert result.exit_code == 2
    assert message in json.dumps(result.output).replace("\\n", " ")
