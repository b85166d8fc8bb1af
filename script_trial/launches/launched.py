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
    from script_trial.run_script import Script, run_script
    from script_trial.trial import Place

    settings = LaunchSettings.from_environment()
    record, rank = Path(os.environ.pop(RECORD_VARIABLE)), os.environ.get("RANK", "0")
    (record / f"rank-{rank}.begun").write_text(str(os.getpid()), encoding="utf-8")
    place = Place(
        settings.folder, settings.started_in, settings.made_up, record / f"results-{rank}", settings.noise_on_cpu
    )
    laid_out = os.getcwd() if is_module else os.path.dirname(os.path.abspath(script))
    beside = os.path.join(settings.root, os.path.relpath(laid_out, settings.folder))
    told, raised = run_script(Script(script, beside, tuple(arguments), is_module), place, at=Path.cwd())
    unfinished = record / f"rank-{rank}.unfinished"
    unfinished.write_text(json.dumps(told), encoding="utf-8")
    unfinished.replace(record / f"rank-{rank}.json")
    if raised is not None:
        sys.exit(raised.code if isinstance(raised, SystemExit) else 1)
