"""The three ways to run a script: what is run, by which command, in which environment, and on which device."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

#: What a process runs before the imports that make its device: nothing that is imported is garbage, and it would be
#: looked through again and again.
_COLLECT_NOTHING = "import gc; gc.disable()"
#: What it runs after them.
_TRIAL = "gc.freeze(); gc.enable(); import runpy; runpy.run_module('script_trial', run_name='__main__', alter_sys=True)"
_EMULATE = "import npu_emulator; npu_emulator.enable()"
_REDIRECT = "import npu_compat"

#: Whatever the caller's environment says of them, each way says itself.
_SWITCHES = {"NPU_COMPAT": "0", "NPU_COMPAT_FALLBACK": "", "NPU_EMULATOR": "0"}
_OFFLINE = {
    "DIFFSYNTH_SKIP_DOWNLOAD": "true",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
#: What libraries are told for speed: imageio-ffmpeg to start ffmpeg without copying the whole process for it first.
_FASTER = {"IMAGEIO_FFMPEG_NO_PREVENT_SIGINT": "1"}
#: As many emulated NPUs as launch scripts name as a rule.
_DEVICES = "8"
_NO_ACCELERATOR = {"CUDA_VISIBLE_DEVICES": "", "ASCEND_RT_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Way:
    """One way to run scripts.

    `form` is the form of the script that is run, `device` the type of device its networks have to compute on, and
    `cuda_is` what the name "cuda" has to mean there. `imports` is what is done first in the process, in
    `environment`. `forks` says whether one process serves every script.
    """

    name: str
    title: str
    form: str
    device: str
    cuda_is: str
    imports: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    forks: bool = True

    def command(self, libraries: Iterable[str]) -> list[str]:
        """What serves the way: it reads jobs from its standard input. Most of them use these libraries."""
        named = [word for name in sorted(libraries) for word in ("--library", name)]
        return [*self.trial(), "serve", *named, *([] if self.forks else ["--once"])]

    def trial(self) -> list[str]:
        """`python -m script_trial` on the way's device."""
        return [sys.executable, "-c", "; ".join([_COLLECT_NOTHING, *self.imports, _TRIAL])]

    def full_environment(self) -> dict[str, str]:
        """The caller's environment with this way's over it."""
        return {**common_environment(), **self.environment}


def common_environment() -> dict[str, str]:
    """That of every way, without a device."""
    # The networks are tiny: one thread is the fastest, and the ways run beside each other.
    inherited = {"OMP_NUM_THREADS": "1", **os.environ}
    return {**inherited, **_OFFLINE, **_FASTER, **_SWITCHES}


def common_command(number: int) -> list[str]:
    """What begins the ways' processes from one that has imported what they have in common, asked for at a socket."""
    return [sys.executable, "-c", f"{_COLLECT_NOTHING}; {_TRIAL}", "begin", str(number)]


def emulated_ways(memory: str | None, hardware: str | None) -> list[Way]:
    """On an emulated NPU: the reference on the CPU, the script redirected, and the script ported."""
    devices = os.environ.get("NPU_EMULATOR_DEVICES", _DEVICES)
    asked = {"NPU_EMULATOR_MEMORY": memory, "NPU_EMULATOR_HARDWARE": hardware}
    toolkit = os.environ.get("ASCEND_HOME_PATH", "/none")  # DeepSpeed only looks whether there is one
    emulated = {"NPU_EMULATOR": "1", "NPU_EMULATOR_DEVICES": devices, "ASCEND_HOME_PATH": toolkit, **asked}
    given = {name: value for name, value in emulated.items() if value is not None}
    redirected = {**given, "NPU_COMPAT": "1"}
    return [
        _reference(),
        Way("redirected", "unedited, redirected", "cuda", "npu", "npu", (_EMULATE, _REDIRECT), redirected),
        Way("ported", "ported", "ported", "npu", "cuda", (_EMULATE,), given),
    ]


def hardware_ways() -> list[Way]:
    """The same on the NPU of this machine. An opened device does not survive a fork, so each script gets a process."""
    found = {name: os.environ[name] for name in ("NPU_EMULATOR",) if name in os.environ}
    redirected = {**found, "NPU_COMPAT": "1"}
    return [
        _reference(),
        Way("redirected", "unedited, redirected", "cuda", "npu", "npu", (_REDIRECT,), redirected, forks=False),
        Way("ported", "ported", "ported", "npu", "cuda", (), found, forks=False),
    ]


def _reference() -> Way:
    # Several processes of accelerate have to be told that there is no GPU (it hands device numbers to DDP), and
    # DeepSpeed looks for devices by itself.
    told = {"ACCELERATE_USE_CPU": "true", "DS_ACCELERATOR": "cpu"}
    environment = {"NPU_COMPAT": "1", "NPU_COMPAT_FALLBACK": "cpu", **told, **_NO_ACCELERATOR}
    return Way("cpu", "unedited, CPU", "cuda", "cpu", "cpu", (_REDIRECT,), environment)
