"""The command `python -m script_trial`: a group; each of its commands lives in a file of its own."""

from __future__ import annotations

import click

from script_trial.adapters.diffsynth_port.dataset_command import dataset
from script_trial.adapters.diffsynth_port.weights_command import weights
from script_trial.common_start import begin
from script_trial.launches.launch import launch
from script_trial.launches.launched import launched
from script_trial.server import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Try scripts without the weights of their models."""


main.add_command(begin)
main.add_command(dataset)
main.add_command(launch)
main.add_command(launched)
main.add_command(serve)
main.add_command(weights)

if __name__ == "__main__":
    main(prog_name="python -m script_trial")
