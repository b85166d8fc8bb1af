"""The line that torch_npu adds to the messages of its own errors, which programs make and read."""

from __future__ import annotations

import enum
import os
import sys
import time

import torch


class ErrCode(enum.Enum):
    """What went wrong: a number and its text."""

    SUCCESS = (0, "success")
    PARAM = (1, "invalid parameter")
    TYPE = (2, "invalid type")
    VALUE = (3, "invalid value")
    PTR = (4, "invalid pointer")
    INTERNAL = (5, "internal error")
    MEMORY = (6, "memory error")
    NOT_SUPPORT = (7, "feature not supported")
    NOT_FOUND = (8, "resource not found")
    UNAVAIL = (9, "resource unavailable")
    SYSCALL = (10, "system call failed")
    TIMEOUT = (11, "timeout error")
    PERMISSION = (12, "permission error")
    ACL = (100, "call acl api failed")
    HCCL = (200, "call hccl api failed")
    GE = (300, "call ge api failed")
    EXCEPT = (999, "applicaiton exception")

    @property
    def code(self) -> int:
        """The number."""
        return self.value[0]

    @property
    def msg(self) -> str:
        """The text."""
        return self.value[1]


_SOURCES = ("PTA", "OPS", "DIST", "GRAPH", "PROF")


def _line(part: str, error: ErrCode) -> str:
    # Left out where a person reads along, and where TORCH_NPU_COMPACT_ERROR_OUTPUT is 1.
    if hasattr(sys, "ps1") or os.environ.get("TORCH_NPU_COMPACT_ERROR_OUTPUT", "0") != "0":
        return ""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else -1
    return (
        f"\n[ERROR] {time.strftime('%Y-%m-%d-%H:%M:%S')} (PID:{os.getpid()}, "
        f"Device:{torch.accelerator.current_device_index()}, RankID:{rank}) "
        f"ERR{_SOURCES.index(part):02}{error.code:03} {part} {error.msg}"
    )


def pta_error(error: ErrCode) -> str:
    """The line of torch_npu itself: ``"\\n[ERROR] ... ERR00003 PTA invalid value"``."""
    return _line("PTA", error)


def ops_error(error: ErrCode) -> str:
    """The line of an operator."""
    return _line("OPS", error)


def dist_error(error: ErrCode) -> str:
    """The line of a collective."""
    return _line("DIST", error)


def graph_error(error: ErrCode) -> str:
    """The line of the graph compiler."""
    return _line("GRAPH", error)


def prof_error(error: ErrCode) -> str:
    """The line of the profiler."""
    return _line("PROF", error)
