"""The command `launch`: what a launch script starts in the place of a launcher."""

from __future__ import annotations

import sys

import click


@click.command(context_settings={"ignore_unknown_options": True}, hidden=True)
@click.argument("launcher", type=click.Choice(["accelerate", "torchrun", "deepspeed", "python"]))
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def launch(launcher: str, words: tuple[str, ...]) -> None:
    """Run `LAUNCHER WORDS`, small and watched."""
    if launcher == "accelerate":
        from script_trial.launches.accelerate import accelerate

        accelerate(list(words))
    elif launcher == "python":
        from script_trial.launches.plain import python

        sys.exit(python(list(words)))
    else:
        from script_trial.launches import torchrun

        sys.exit(getattr(torchrun, launcher)(list(words)))
