"""The checks that the cases of an analysis are written with."""

from __future__ import annotations

from textwrap import dedent

from porter.findings import Finding
from porter.port import Plan, port_text


def findings(text: str, code: str, applies: bool = False) -> list[Finding]:
    """What one rule of an analysis says of a text."""
    plan = Plan("npu", codes=frozenset({code}), applies=applies)
    return [one for one in port_text(dedent(text), plan).findings if one.code == code]


def check_fused(before: str, after: str, code: str) -> None:
    """Reported while nobody asks for more, and rewritten where asked, once and for all."""
    before, after = dedent(before), dedent(after)
    reported = port_text(before, Plan("npu", codes=frozenset({code})))
    assert reported.text == before
    assert [one.severity for one in reported.findings] == ["note"]
    plan = Plan("npu", codes=frozenset({code}), applies=True)
    fused = port_text(before, plan)
    assert fused.text == after
    assert [one.severity for one in fused.findings] == ["fix"]
    again = port_text(after, plan)
    assert (again.text, again.findings) == (after, [])


def check_only_reported(text: str, code: str) -> Finding:
    """Something for a person: nothing is written, asked for or not."""
    found = findings(text, code, applies=True)
    assert [one.severity for one in found] == ["note"]
    assert port_text(dedent(text), Plan("npu", codes=frozenset({code}), applies=True)).text == dedent(text)
    return found[0]


def check_left_alone(text: str, code: str) -> None:
    """Something else, or meant for another device: nothing is said."""
    assert findings(text, code) == []
    assert findings(text, code, applies=True) == []


def body(lines: str, parameters: str = "x") -> str:
    """A function of such lines, below the usual imports."""
    inside = "\n".join(f"    {line}" for line in dedent(lines).strip("\n").splitlines())
    return f"import math\nimport torch\nimport torch.nn.functional as F\n\n\ndef f({parameters}):\n{inside}\n"


def fused_body(lines: str, parameters: str = "x", imports_torch_npu: bool = True) -> str:
    text = body(lines, parameters)
    return text.replace("import torch\n", "import torch\nimport torch_npu\n", 1) if imports_torch_npu else text
