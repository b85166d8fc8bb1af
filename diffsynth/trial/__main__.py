"""The command `python -m diffsynth.trial`: a group; each of its commands lives in a file of its own."""

from __future__ import annotations

import click

from diffsynth.trial.dataset_command import dataset
from diffsynth.trial.launch_command import launch
from diffsynth.trial.launched_command import launched
from diffsynth.trial.server import serve
from diffsynth.trial.weights_command import weights


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Try the pipelines without their weights."""


main.add_command(dataset)
main.add_command(launch)
main.add_command(launched)
main.add_command(serve)
main.add_command(weights)

if __name__ == "__main__":
    main(prog_name="python -m diffsynth.trial")
