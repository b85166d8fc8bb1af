"""The command `weights`: small random checkpoints on disk, so that scripts run without the published ones."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from script_trial.adapters.diffsynth_port.pipelines_needed import pipelines_needed

_DTYPES = ("float32", "bfloat16", "float16")


class _WithModelIds(click.Command):
    """A command whose help ends with the model ids, which are looked up when it is asked for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with suppress(ModuleNotFoundError):  # without the pipelines there is the rest of the help
            from script_trial.adapters.diffsynth_port.catalogue import MODELS

            self.epilog = f"Model ids: {', '.join(MODELS)}."
        super().format_epilog(ctx, formatter)


@click.command(cls=_WithModelIds)
@click.argument("model_ids", nargs=-1, required=True, metavar="MODEL_ID...")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default="models",
    show_default=True,
    envvar="DIFFSYNTH_MODEL_BASE_PATH",
    show_envvar=True,
    help="Root of the model tree: files go to DIR/MODEL_ID.",
    metavar="DIR",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Equal seeds and sizes give equal files.")
@click.option("--width", type=int, default=256, show_default=True, help="Of the DiT; a multiple of 128.")
@click.option("--layers", type=int, default=2, show_default=True, help="Blocks of the DiT.")
@click.option("--dtype", type=click.Choice(_DTYPES), help="By default each file holds what the published one holds.")
@click.option("--force", is_flag=True, help="Replace files that are there and differ.")
def weights(
    model_ids: tuple[str, ...], output: Path, seed: int, width: int, layers: int, dtype: str | None, force: bool
) -> None:
    """Write small random checkpoints in the layout, file names and key names of published models.

    For a Wan model, the converted text encoder and VAE are written as well: pipelines read these unless told
    redirect_common_files=False.
    """
    with pipelines_needed("weights"):
        from diffsynth.families.family import Sizes
        from script_trial.adapters.diffsynth_port.catalogue import REDIRECTED_TO, entries_of

    try:
        sizes = Sizes(width=width, layers=layers)
        for model_id in model_ids:
            entries_of(model_id)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with pipelines_needed("weights"):  # torch, only once there is something to do
        from script_trial.adapters.diffsynth_port.weights import make_weights

    redirected = [REDIRECTED_TO[model_id] for model_id in model_ids if model_id in REDIRECTED_TO]
    for model_id in dict.fromkeys([*model_ids, *redirected]):
        try:
            paths = make_weights(model_id, output, seed=seed, sizes=sizes, dtype=dtype, force=force)
        except OSError as error:
            raise click.UsageError(str(error)) from None
        for path in paths:
            click.echo(f"{path}  {path.stat().st_size:,} bytes")
