"""The command `launched`: one process of a launch, which runs the launched script as it is and watches it."""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import click

from diffsynth.trial.launch_settings import RECORD_VARIABLE


@click.command(context_settings={"ignore_unknown_options": True}, hidden=True)
@click.option("--module", is_flag=True, help="SCRIPT is the name of a module.")
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def launched(module: bool, script: str, arguments: tuple[str, ...]) -> None:
    """Run one process of a launched SCRIPT, and write what came of it where the launcher says."""
    from diffsynth.trial.offline import refuse_network
    from diffsynth.trial.operations import Operations
    from diffsynth.trial.run_script import peak_memory
    from diffsynth.trial.watched_run import watched_run

    refuse_network()
    operations = Operations()
    curve: list[dict[str, float]] = []
    _install(operations, curve)
    sys.argv = [script, *arguments]
    if module:
        sys.path.insert(0, os.getcwd())
        ending = watched_run(lambda: runpy.run_module(script, run_name="__main__", alter_sys=True), script)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
        ending = watched_run(lambda: runpy.run_path(script, run_name="__main__"), script)
    _write(
        {
            **ending.as_json(),
            "curve": curve,
            "networks": {name: record.as_json() for name, record in operations.networks.items()},
            "peak_memory": peak_memory(),
        }
    )
    if ending.raised is not None:
        sys.exit(ending.raised.code if isinstance(ending.raised, SystemExit) else 1)


def _install(operations: Any, curve: list[dict[str, float]]) -> None:
    """From now on pipelines find their weights, their networks are watched, and the losses of a training are kept."""
    from diffsynth.core.loader.model_config import ModelConfig
    from diffsynth.diffusion.training import runner
    from diffsynth.trial.made_up import with_weights
    from diffsynth.trial.operations import networks_of
    from diffsynth.trial.run_script import import_pipelines, loading

    open_logs = runner.open_logs

    def with_curve(*args: Any, is_main: bool, **kwargs: Any) -> list[Any]:
        return [*open_logs(*args, is_main=is_main, **kwargs), *([_Curve(curve)] if is_main else [])]

    for pipeline in import_pipelines():
        pipeline.from_pretrained = loading(pipeline.from_pretrained, lambda pipe: operations.watch(networks_of(pipe)))
    ModelConfig.download_if_necessary = with_weights(ModelConfig.download_if_necessary)
    runner.open_logs = with_curve


class _Curve:
    """A log of a training (diffsynth.diffusion.training.logs.Log) that keeps every number."""

    def __init__(self, kept: list[dict[str, float]]) -> None:
        self._kept = kept

    def log(self, values: dict[str, float], step: int) -> None:
        self._kept.append({"update": step, **values})

    def finish(self) -> None:
        pass


def _write(told: dict[str, Any]) -> None:
    rank = os.environ.get("RANK", "0")
    folder = Path(os.environ[RECORD_VARIABLE])
    unfinished = folder / f"rank-{rank}.unfinished"
    unfinished.write_text(json.dumps(told), encoding="utf-8")
    unfinished.replace(folder / f"rank-{rank}.json")
