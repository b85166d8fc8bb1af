"""`diffsynth-port server`: its options. pygls is imported only when it starts."""

from __future__ import annotations

import sys

import click

from porter.tables import target_names


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--target", type=click.Choice(target_names()), help="The accelerator to port to (default: the settings')."
)
def server(target: str | None) -> None:
    """Serve an editor over standard input and output, by the Language Server Protocol.

    It shows findings while one types, in texts and in notebooks, fixes one of them or all that are safe, and shows the
    page of a rule under the pointer. Settings of a file are those of the nearest pyproject.toml above it, read anew
    when they change. It takes `pip install '.[lsp]'` in a clone.

    \b
    Exit status: 0 the editor closed it
                 2 it could not start
    """
    from porter.settings import SettingsError, load_settings

    options = {"target": target}
    try:
        settings = load_settings().overridden_by(options)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    if settings.target in (None, "cuda"):
        raise click.UsageError("no target; say --target npu, or set target in [tool.diffsynth-port] of pyproject.toml")
    try:
        from porter.language_server.server import serve
    except ModuleNotFoundError as error:
        if error.name not in ("pygls", "lsprotocol"):
            raise
        raise click.UsageError("the server needs pygls: pip install '.[lsp]' in a clone") from None
    serve(options)
    sys.exit(0)
