"""CUDA's environment variables under the accelerator's names: mirrored before torch is imported, and filtered.

On Ascend by the build of torch_npu: what it does not read is set under a name that every build reads as well, and keys
that its allocator would refuse are left out.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, MutableMapping
from importlib import metadata

from npu_compat import torch_npu_builds
from npu_compat.accelerators import TARGETS, Accelerator, load
from npu_compat.torch_npu_builds import Build

# What the published guide sets on Ascend; kept where the program or the user has set something else.
GUIDE = {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True", "CPU_AFFINITY_CONF": "1"}

# The names that every build of torch_npu reads, beside those that only newer ones do.
READ_BY_ALL = {
    "TORCH_HCCL_ASYNC_ERROR_HANDLING": "HCCL_ASYNC_ERROR_HANDLING",
    "TORCH_HCCL_BLOCKING_WAIT": "HCCL_BLOCKING_WAIT",
    "TORCH_HCCL_DESYNC_DEBUG": "HCCL_DESYNC_DEBUG",
}

_notes: list[str] = []


def mirror_environment(environ: MutableMapping[str, str]) -> None:
    """Sets the accelerator's variables from CUDA's. An explicit value is never changed.

    Which accelerator is told by what is installed, since torch may not be imported yet; none: nothing is done.
    """
    name = expected_accelerator(environ)
    if name is None:
        return
    accelerator = load(name)
    for source, target in accelerator.environment.items():
        for spelling in (target, READ_BY_ALL.get(target)):
            if source in environ and spelling is not None and spelling not in environ:
                _mirror(environ, source, spelling, accelerator)
    if name == "npu":
        build = build_in_use()
        _read_torchs_own(environ, accelerator, build)
        _follow_guide(environ, build)


def build_in_use() -> Build:
    """The torch_npu that is installed; without one the newest, as an emulated NPU is."""
    return torch_npu_builds.installed() or torch_npu_builds.newest()


def applied_notes() -> list[str]:
    """What was done, and what was left out and why."""
    return list(dict.fromkeys(_notes))


def expected_accelerator(environ: MutableMapping[str, str]) -> str | None:
    """Device type whose package is there: ``npu`` (also for the emulator's switch), ``musa``, ``xpu``, or None."""
    if environ.get("NPU_EMULATOR") == "1":
        return "npu"
    try:
        build = metadata.version("torch").partition("+")[2]
    except metadata.PackageNotFoundError:
        build = ""
    return next((name for name in TARGETS if _is_expected(load(name), build)), None)


def _is_expected(accelerator: Accelerator, build: str) -> bool:
    """By the package that registers it, or by what torch is built for."""
    if accelerator.registered_by is not None:
        return importlib.util.find_spec(accelerator.registered_by) is not None
    return accelerator.wheels is not None and accelerator.wheels == build


def split_alloc_conf(value: str) -> Iterator[tuple[str, str]]:
    """Keys and values of ``a:1,b:[256:1,512:2]``."""
    for part in re.split(r",(?![^\[]*\])", value):
        key, _, setting = part.strip().partition(":")
        if key:
            yield key, setting


def _mirror(environ: MutableMapping[str, str], source: str, target: str, accelerator: Accelerator) -> None:
    value: str | None = environ[source]
    if source == "PYTORCH_CUDA_ALLOC_CONF":
        value = _npus_alloc_conf(environ, target, accelerator)
    elif source == "CUDA_VISIBLE_DEVICES" and accelerator.name == "npu":
        value = _visible_devices(environ[source], target)
    if value is not None:
        environ[target] = value
        _notes.append(f"{target}={value} (from {source})")


def _npus_alloc_conf(environ: MutableMapping[str, str], target: str, accelerator: Accelerator) -> str | None:
    if accelerator.name != "npu":
        return _alloc_conf(environ["PYTORCH_CUDA_ALLOC_CONF"], target, accelerator, accelerator.alloc_conf_keys)
    build = build_in_use()
    if "PYTORCH_ALLOC_CONF" in environ:  # torch takes it before the other
        if build.reads("PYTORCH_ALLOC_CONF"):
            _notes.append(f"{target} is not set: PYTORCH_ALLOC_CONF is, and torch_npu takes only one of the two")
        return None
    return _alloc_conf(environ["PYTORCH_CUDA_ALLOC_CONF"], target, accelerator, build.alloc_conf_keys())


def _read_torchs_own(environ: MutableMapping[str, str], accelerator: Accelerator, build: Build) -> None:
    """PYTORCH_ALLOC_CONF, for a torch_npu that does not read it."""
    source, target = "PYTORCH_ALLOC_CONF", "PYTORCH_NPU_ALLOC_CONF"
    if source not in environ or target in environ or build.reads(source):
        return
    value = _alloc_conf(environ[source], target, accelerator, build.alloc_conf_keys())
    if value is not None:
        environ[target] = value
        _notes.append(f"{target}={value} (from {source}, which torch_npu {build.version} does not read)")


def _alloc_conf(value: str, target: str, accelerator: Accelerator, known: tuple[str, ...] | None) -> str | None:
    """The settings with the keys that the accelerator's allocator knows; None where nothing is left."""
    kept = []
    for key, setting in split_alloc_conf(value):
        renamed = key.replace("cudamalloc", f"{accelerator.name}malloc")
        if known is None or renamed in known:
            kept.append(f"{renamed}:{setting}")
        else:
            _notes.append(f"{target}: {key} is left out, the {accelerator.title} allocator does not know it")
    return ",".join(kept) or None


def _visible_devices(value: str, target: str) -> str | None:
    if value.strip() == "-1":
        return ""
    if re.fullmatch(r"[\d,\s]*", value):
        return re.sub(r"\s", "", value)
    _notes.append(f"{target} is not set: CUDA_VISIBLE_DEVICES={value} names devices by more than their numbers")
    return None


def _follow_guide(environ: MutableMapping[str, str], build: Build) -> None:
    torchs_own = "PYTORCH_ALLOC_CONF" in environ and build.reads("PYTORCH_ALLOC_CONF")
    for name, value in GUIDE.items():
        if name in environ or (name == "PYTORCH_NPU_ALLOC_CONF" and torchs_own):
            continue
        environ[name] = value
        _notes.append(f"{name}={value} (the published guide)")
