"""The launcher `accelerate`, asked for less.

The real launcher reads the script's options and config file and starts the processes. What is different: how many there
are, on this machine alone, and that each runs `launched`, which runs the script small and watches it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from script_trial.launches.processes import own_processes
from script_trial.launches.settings import LaunchSettings, recorded


def accelerate(words: list[str]) -> None:
    """Runs `accelerate WORDS`, whose launches are made small and watched, and ends the process as it would."""
    from accelerate.commands import accelerate_cli

    if words[:1] != ["launch"]:
        sys.argv = ["accelerate", *words]
        accelerate_cli.main()
        return
    settings = LaunchSettings.from_environment()
    sys.exit(recorded("accelerate", words[1:], settings.records, lambda: _launch(words[1:], settings)))


def _launch(words: list[str], settings: LaunchSettings) -> None:
    """By the real launcher."""
    from accelerate.commands.launch import launch_command, launch_command_parser

    args = launch_command_parser().parse_args(words)
    make_smaller(args, settings)
    with own_processes(settings):
        launch_command(args)


def make_smaller(args: argparse.Namespace, settings: LaunchSettings) -> None:
    """Changes what the launcher was asked for: few processes here, and `launched` in place of the script."""
    changed: dict[str, Any] = {"num_processes": settings.processes, "num_machines": 1, "machine_rank": 0}
    changed |= {"main_process_ip": None, "main_process_port": 0}  # any free port: several launches run at once
    engine = _engine(args)
    changed["log_dir"] = str(settings.agent_logs)
    changed["multi_gpu"] = settings.processes > 1 and engine is None
    if engine == "DEEPSPEED":
        os.environ.pop("ACCELERATE_USE_CPU", None)  # with it accelerate would train without DeepSpeed
    if settings.processes > 1:
        changed["gpu_ids"] = "all"
    if args.config_file is not None:
        changed["config_file"] = settings.laid_out(args.config_file)
    changed |= settings.in_place_of(
        args.training_script, args.training_script_args, is_module=args.module, is_program=args.no_python
    )
    vars(args).update(changed)


def _engine(args: argparse.Namespace) -> str | None:
    """The engine that flags or the config file name; None for plain DDP."""
    from accelerate.commands.config import default_config_file, load_config_from_file

    flags = {"DEEPSPEED": args.use_deepspeed, "FSDP": args.use_fsdp, "MEGATRON_LM": args.use_megatron_lm}
    named = [engine for engine, is_asked in flags.items() if is_asked]
    if not named and (args.config_file is not None or os.path.isfile(default_config_file)):
        configured = str(load_config_from_file(args.config_file).distributed_type).rpartition(".")[2]
        named = [engine for engine in flags if engine == configured]
    return named[0] if named else None
