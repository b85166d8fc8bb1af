"""Write docs/rules/: one page a rule, which is its module's docstring, and a table of them all.

`--explain` prints the same pages. What the table says a report weighs is found by running the rule on its own example.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from porter.documents import port_bytes  # noqa: E402
from porter.documents.document import PortedBytes  # noqa: E402
from porter.findings import SEVERITIES  # noqa: E402
from porter.port import Plan  # noqa: E402
from porter.rules import all_rules  # noqa: E402
from porter.rules.rule import Rule  # noqa: E402

FOLDER = ROOT / "docs" / "rules"
LAUNCHED = ROOT / "tests" / "data" / "launch"

#: What a file of each language that rules read ends in.
ENDINGS = {
    "python": "py",
    "shell": "sh",
    "accelerate": "yaml",
    "configuration": "yaml",
    "requirements": "requirements.txt",
    "dockerfile": "dockerfile",
    "cpp": "cu",
}

HEAD = """\
# Rules

What `diffsynth-port` rewrites and reports. `diffsynth-port --explain RULE` prints the page of a rule.

DP1xx rewrite: a *fix* is made by the tool. DP2xx report what the target lacks or does otherwise, DP3xx what is known to
fail on Ascend NPUs; DP4xx are about shell scripts, configurations and what installs a program. An *error* fails there,
a *warning* may, a *note* behaves differently.

DP5xx (`--affinity`), DP6xx (`--dynamic-shapes`) and DP7xx (`--packages`) are analyses: a run does them when asked.

| rule | name | what it is about | in its example |
|---|---|---|---|
"""


def example(page: str, section: str) -> str:
    """The indented code of one section of a page, or nothing."""
    _, _, rest = page.partition(f"\n## {section}\n")
    lines = rest.partition("\n## ")[0].splitlines()
    code = [line[4:] for line in lines if line.startswith("    ") or not line.strip()]
    return "\n".join(code).strip("\n") + "\n" if any(code) else ""


def ported(rule: Rule, text: str, target: str) -> PortedBytes:
    """An example of a rule, ported as a file of the rule's language beside the scripts that examples launch."""
    ending = "md" if text.startswith("```") else ENDINGS[rule.language]
    codes = frozenset({rule.code}) if rule.analysis is not None else None
    plan = Plan(target, codes=codes, applies=rule.fixes)
    return port_bytes(str(LAUNCHED / f"example.{ending}"), text.encode("utf-8"), plan)


def severities(rule: Rule) -> list[str]:
    """What the rule finds in its own example, the gravest first."""
    before = example(rule.explanation, "Before")
    findings = [found for target in ("npu", "cuda") for found in ported(rule, before, target).findings]
    found = {finding.severity for finding in findings if finding.code == rule.code}
    return sorted(found, key=SEVERITIES.index, reverse=True)


def pages() -> dict[str, str]:
    """The text of every file in docs/rules/."""
    rules = sorted(all_rules(), key=lambda rule: rule.code)
    if taken := [one for one, other in pairwise(rules) if one.code == other.code]:
        sys.exit(f"{taken[0].code} is the code of two rules: give one of them a free one")
    rows = [
        f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.summary} | {', '.join(severities(rule))} |\n"
        for rule in rules
    ]
    return {"README.md": HEAD + "".join(rows)} | {f"{rule.code}.md": rule.explanation + "\n" for rule in rules}


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a page differs from its rule.")
def main(check: bool) -> None:
    """Write the pages of docs/rules/ from the rules."""
    wanted = pages()
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    stale = sorted(name for name in wanted | there if wanted.get(name) != there.get(name))
    for name in stale:
        click.echo(
            f"docs/rules/{name}: {'differs from its rule' if check else 'written' if name in wanted else 'removed'}"
        )
        if check:
            continue
        if name in wanted:
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        else:
            (FOLDER / name).unlink()
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
