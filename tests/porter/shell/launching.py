"""What a rule about shell scripts is tested by: a script before and after, or one that stays as it is.

The scripts lie beside the stand-ins of tests/data/launch, which they launch.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from porter.documents import port_bytes
from porter.documents.document import PortedBytes
from porter.findings import Finding
from porter.port import Plan
from porter.record import entry_of, restored
from tests.porter.rules.rewriting import plain

FOLDER = Path(__file__).parents[2] / "data" / "launch"
PATH = str(FOLDER / "run.sh")

#: What the port puts above the first command of a script that trains.
EXPORTS = "export PYTORCH_NPU_ALLOC_CONF=expandable_segments:True\nexport CPU_AFFINITY_CONF=1\n\n"


def ported(script: str, target: str = "npu", codes: frozenset[str] | None = None) -> PortedBytes:
    return port_bytes(PATH, script.encode(), Plan(target, codes=codes))


def check_transformed(before: str, after: str, target: str = "npu") -> tuple[Finding, ...]:
    """`before` becomes `after`, which bash can read; a second run changes nothing, and undoing gives `before` again.

    What is reported is the same of both.
    """
    before, after = plain(before), plain(after)
    assert before != after, "nothing changes here: this is a case for check_noop"
    first = ported(before, target)
    assert first.data.decode() == after
    check_bash_reads(before)
    check_bash_reads(after)
    again = ported(after, target)
    assert again.data.decode() == after
    assert reports(again) == reports(first)
    assert restored(first.data, entry_of(before.encode(), first.data, [target])).data.decode() == before
    return first.findings


def check_noop(script: str, target: str = "npu") -> tuple[Finding, ...]:
    """The script stays as it is, and no finding says otherwise."""
    script = plain(script)
    result = ported(script, target)
    assert result.data.decode() == script
    assert [finding for finding in result.findings if finding.is_fix] == []
    return result.findings


def check_silent(script: str, target: str = "npu") -> None:
    """The script stays as it is, and nothing is said of it, but perhaps that a line names CUDA."""
    assert [one for one in check_noop(script, target) if one.code != "DP418"] == []


def check_reported(script: str, code: str, severity: str, target: str = "npu") -> Finding:
    """The rule reports one thing, and has nothing to change, whatever others have."""
    script = plain(script)
    result = ported(script, target, frozenset({code}))
    assert result.data.decode() == script
    (finding,) = result.findings
    assert (finding.code, finding.severity) == (code, severity)
    return finding


def reports(result: PortedBytes) -> list[tuple[str, str, str]]:
    """What is left to a person, wherever it stands."""
    return [(f.code, f.severity, f.message) for f in result.findings if not f.is_fix]


def check_bash_reads(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b""), script
