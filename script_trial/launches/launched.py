"""One process of a launch: runs the launched script as it is, watches it, and writes what came of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from script_trial.launches.settings import RECORD_VARIABLE, LaunchSettings


@click.command(context_settings={"ignore_unknown_options": True}, hidden=True)
@click.option("--module", is_flag=True, help="SCRIPT is the name of a module.")
@click.option("--local-rank", is_flag=True, help="Give it its local rank as the first argument.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def launched(module: bool, local_rank: bool, script: str, arguments: tuple[str, ...]) -> None:
    """Run one process of a launched SCRIPT, and write what came of it where the launcher says."""
    rank = [f"--local_rank={os.environ.get('LOCAL_RANK', '0')}"] if local_rank else []
    run_process(script, [*rank, *arguments], is_module=module)


def run_process(script: str, arguments: list[str], *, is_module: bool) -> None:
    """Runs it in this process, and ends the process as the script would where that is early."""
    from script_trial.run_script import run_script
    from script_trial.trial import Place
    from script_trial.watched_script import Script

    settings = LaunchSettings.from_environment()
    record, given = Path(os.environ.pop(RECORD_VARIABLE)), os.environ.get("RANK")
    rank = given or "0"
    (record / f"rank-{rank}.begun").write_text(str(os.getpid()), encoding="utf-8")
    place = Place(
        settings.folder, settings.started_in, settings.made_up, record / f"results-{rank}", settings.noise_on_cpu
    )
    file = _file_of(script) if is_module else os.path.abspath(script)
    beside = os.path.join(settings.root, os.path.relpath(os.path.dirname(file), settings.folder))
    if is_module:
        runs = Script(file, beside, tuple(arguments), script, _stand_for(settings))
    else:
        runs = Script(script, beside, tuple(arguments))
    told, raised = run_script(runs, place, at=Path.cwd(), is_launched=given is not None)
    unfinished = record / f"rank-{rank}.unfinished"
    unfinished.write_text(json.dumps(told), encoding="utf-8")
    unfinished.replace(record / f"rank-{rank}.json")
    if raised is not None:
        sys.exit(raised.code if isinstance(raised, SystemExit) else 1)


def _file_of(module: str) -> str:
    """Of a module that is run from the current folder, as far as that tells."""
    place = os.path.join(os.getcwd(), *module.split("."))
    return next((one for one in (f"{place}.py", os.path.join(place, "__main__.py")) if os.path.exists(one)), place)


def _stand_for(settings: LaunchSettings) -> tuple[tuple[Path, Path], ...]:
    """The current folder, which a module is looked for in."""
    return ((Path.cwd(), settings.root / os.path.relpath(Path.cwd(), settings.folder)),)
