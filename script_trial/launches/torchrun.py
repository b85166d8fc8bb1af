"""The launchers of torch and of DeepSpeed, asked for less: `torchrun`, `python -m torch.distributed.run`, `deepspeed`.

Torch's own agent starts the processes. DeepSpeed's launcher would start them by `ssh` or by itself, and give each its
local rank as an argument: for one machine torch's agent does the same, so that it serves for both.
"""

from __future__ import annotations

import argparse
from typing import Any

from script_trial.launches.processes import own_processes
from script_trial.launches.settings import LaunchSettings, recorded


def torchrun(words: list[str]) -> int:
    """The exit status of `torchrun WORDS`, whose processes are few and watched."""
    settings = LaunchSettings.from_environment()

    def launch() -> None:
        from torch.distributed.run import get_args_parser, run

        args = get_args_parser().parse_args(words)
        changed = settings.in_place_of(
            args.training_script, args.training_script_args, is_module=args.module, is_program=args.no_python
        )
        with own_processes(settings):
            run(_on_this_machine(args, settings, changed))  # type: ignore[no-untyped-call]

    return recorded("torchrun", words, settings.records, launch)


def deepspeed(words: list[str]) -> int:
    """The exit status of `deepspeed WORDS`, likewise."""
    settings = LaunchSettings.from_environment()

    def launch() -> None:
        from deepspeed.launcher.runner import parse_args
        from torch.distributed.run import get_args_parser, run

        asked = parse_args(words)
        changed = settings.in_place_of(
            asked.user_script,
            asked.user_args,
            is_module=asked.module,
            is_program=asked.no_python,
            local_rank=not asked.no_local_rank,
        )
        args = get_args_parser().parse_args(["script"])
        with own_processes(settings):
            run(_on_this_machine(args, settings, changed))  # type: ignore[no-untyped-call]

    return recorded("deepspeed", words, settings.records, launch)


def _on_this_machine(args: argparse.Namespace, settings: LaunchSettings, changed: dict[str, Any]) -> argparse.Namespace:
    """What the launcher was asked for, for a few processes here, at any free port, with its logs among the records."""
    processes = str(settings.processes)
    alone = {"nproc_per_node": processes, "nnodes": "1", "node_rank": 0, "standalone": True, "max_restarts": 0}
    vars(args).update({**alone, "log_dir": str(settings.agent_logs), **changed})
    return args
