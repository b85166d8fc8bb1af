"""Rebuild accelerator_tables/npu_operators.json: torch_npu's own operators, with the schema of its newest build.

    python tools/make_npu_operators.py FACTS

FACTS is a folder with torch_npu_by_release.json, which holds every operator's schemas by build.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

TABLE = Path(__file__).resolve().parent.parent / "accelerator_tables" / "npu_operators.json"


def operators_table(releases: dict[str, Any]) -> dict[str, Any]:
    """The last schema of each operator; `last` names the last build that had it, where newer ones do not."""
    return {
        "newest": releases["order"][-1],
        "source": "the operator lists in the public torch_npu wheels",
        "operators": {
            name: {"schema": known["schemas"][-1][1], **({"last": known["last"]} if known["last"] else {})}
            for name, known in sorted(releases["operators"].items())
        },
    }


@click.command()
@click.argument("facts", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(facts: Path) -> None:
    """Writes the table from the folder FACTS."""
    source = facts / "torch_npu_by_release.json"
    if not source.is_file():
        raise click.UsageError(f"{source}: no such file; expected the facts folder with torch_npu's releases")
    table = operators_table(json.loads(source.read_text("utf-8")))
    TABLE.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    click.echo(f"{TABLE.name}: {len(table['operators'])} operators, newest build {table['newest']}")


if __name__ == "__main__":
    main()
