"""Write accelerator_tables/torch_npu_wheels.json: what the x86-64 wheels of torch_npu ask of torch and of Python.

    python tools/make_wheel_table.py --facts DIR [--check]

`torch` holds the release of torch that each known build requires. `python` holds, for each minor release of Python, the
builds its wheels begin with ("2.7.1.post4": from that post release of 2.7.1 on; "2.10": from torch 2.10 on) or the last
build they are there for. Python versions that every build has are left out.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))

from make_tables import PACKAGE, Table, file_text, read_json, write_atomically

TABLE = "torch_npu_wheels.json"


def wheel_table(facts: Table) -> Table:
    """The table, from the facts of the wheels."""
    return {
        "torch": {build: _required_torch(facts["wheels"][build]["requires_dist"]) for build in facts["order"]},
        "python": {
            python: _builds(builds) for python, builds in facts["python_tags_x86_64"].items() if builds != "all"
        },
    }


def _required_torch(requirements: list[str]) -> str:
    """`2.7.1+cpu` of `torch (==2.7.1+cpu)`."""
    for requirement in requirements:
        if found := re.fullmatch(r"torch\s*\(?==([^)]+)\)?", requirement):
            return found[1]
    raise click.UsageError(f"expected a requirement of one torch, got {requirements}")


def _builds(text: str) -> Table:
    if text.startswith("up to "):
        return {"until": text.removeprefix("up to ")}
    return {"from": [build.removesuffix("+") for build in text.split()]}


@click.command()
@click.option("--facts", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR", required=True)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file differs.")
def main(facts: Path, check: bool) -> None:
    """Write the table from torch_npu_by_release.json in DIR."""
    file, path = facts / "torch_npu_by_release.json", PACKAGE / TABLE
    try:
        text = file_text(TABLE, wheel_table(read_json(file)))
    except KeyError as error:
        raise click.UsageError(f"{file}: the facts have no entry {error}") from None
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    click.echo(f"{TABLE}: {'differs' if check else 'written'}")
    if check:
        sys.exit(1)
    write_atomically(path, text)


if __name__ == "__main__":
    main()
