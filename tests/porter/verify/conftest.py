"""The three ways to run a script, started once, and scripts of a line or two to run them on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from porter.verify.common_start import common_start
from porter.verify.outcome import Row
from porter.verify.scripts import Script
from porter.verify.verification import Request, Verification, verification
from porter.verify.ways import emulated_ways
from tests.machine import no_emulator_here

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def running() -> Iterator[Verification]:
    if reason := no_emulator_here():
        pytest.skip(reason)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        request = Request(emulated_ways("8GiB", None), exact=True, timeout=300)
        with common_start(request.ways) as common, verification(request, common=common) as started:
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
