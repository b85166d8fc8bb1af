"""The three ways to run a script, started once, and scripts of a line or two to run them on."""

from __future__ import annotations

import glob
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import Script
from porter.verify.verification import Request, Verification, verification
from porter.verify.ways import emulated_ways

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
GOLDEN = ROOT / "tests" / "golden"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        if item.get_closest_marker("slow") and "slow" not in config.getoption("markexpr"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with -m slow"))


def missing_here() -> str:
    if platform.system() != "Linux":
        return "the emulated NPU runs on Linux"
    if glob.glob("/dev/davinci[0-9]*"):
        return "the emulated NPU never runs beside a real one"
    return "" if shutil.which(os.environ.get("CXX", "g++")) else "the emulated NPU needs a C++ compiler"


@pytest.fixture(scope="session")
def running() -> Iterator[Verification]:
    if reason := missing_here():
        pytest.skip(reason)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        with verification(Request(emulated_ways("8GiB", None), exact=True, timeout=300)) as started:
            started.start()
            yield started
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


@pytest.fixture
def verify_text(running: Verification, tmp_path: Path) -> Callable[..., Row]:
    """``verify_text(cuda, ported)``: the row of a script whose two forms these are; without `ported`, both are one."""

    def verify(cuda: str, ported: str | None = None) -> Row:
        path = tmp_path / "script.py"
        forms = [text.encode() for text in (cuda, cuda if ported is None else ported)]
        path.write_bytes(forms[0])
        return running.run(Script(str(path), None, *forms))

    return verify
