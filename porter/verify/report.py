"""A run for programs, and for attaching to a report: one JSON object with all that was seen."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from typing import Any

from porter import __version__
from porter.verify.outcome import Outcome, Row


def render(rows: list[Row], machines: dict[str, dict[str, Any]], settings: dict[str, Any]) -> str:
    """Keys keep their order; what there is none of is null."""
    report = {
        "version": __version__,
        **settings,
        "ways": {
            way.name: {"title": way.title, "form": way.form, "device": way.device, "machine": machines[way.name]}
            for way in rows[0].ways
        },
        "scripts": [_script(row) for row in rows],
        "summary": {
            "passed": sum(row.passed for row in rows),
            "failed": sum(row.failed for row in rows),
            "skipped": sum(row.skipped is not None for row in rows),
        },
    }
    return json.dumps(_as_json(report), indent=2, allow_nan=False)


def _as_json(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are the texts "nan", "inf" and "-inf"."""
    if isinstance(value, dict):
        return {key: _as_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _script(row: Row) -> dict[str, Any]:
    return {
        "path": row.script.path.replace(os.sep, "/"),
        "shown": row.script.shown,
        "arguments": list(row.script.arguments),
        "repeat": row.script.repeat,
        "processes": row.script.processes,
        "passed": row.passed,
        "skipped": row.skipped,
        "ran": row.ran,
        "equal": row.equal,
        "problems": row.problems,
        "notes": row.notes,
        "differences": dict(row.differences),
        "outcomes": {name: _outcome(outcome) for name, outcome in row.outcomes.items()},
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    """Without the paths of this machine's temporary files."""
    saved = [{key: value for key, value in result.items() if key != "array"} for result in outcome.saved]
    return {"ran": outcome.ran, **asdict(outcome), "saved": saved}
