"""Write accelerator_tables/families/: of each family that diffsynth has a record of, what the porter reads of it.

Data flows one way, diffsynth/families/NAME -> accelerator_tables/families/NAME.json: the porter imports neither torch
nor diffsynth. Tables of other families, which stand for scripts of another library, are left as they are.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from diffsynth.families import FAMILIES  # noqa: E402
from diffsynth.families.family import Family, NpuOption  # noqa: E402

FOLDER = ROOT / "accelerator_tables" / "families"


def table_of(family: Family) -> dict[str, Any]:
    """What `porter.shell.families` reads."""
    return {
        "title": family.title,
        "series": [
            {"name": one.name, "models": one.models, "options": {name: _said(how) for name, how in one.options.items()}}
            for one in family.series
        ],
        "memory": [asdict(one) for one in family.memory],
    }


def _said(option: NpuOption) -> dict[str, Any]:
    return {name: value for name, value in asdict(option).items() if value is not None}


def tables() -> dict[Path, str]:
    """The text of each file."""
    return {
        FOLDER / f"{family.name}.json": json.dumps(table_of(family), ensure_ascii=False, indent=2) + "\n"
        for family in FAMILIES
    }


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Write nothing; fail if a table is not what its record says.")
def main(check: bool) -> None:
    stale = [path for path, text in tables().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if not check:
            path.write_text(tables()[path], encoding="utf-8")
        click.echo(f"{path.name}: {'not what its record says' if check else 'written'}")
    if check and stale:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
