"""CUDA's environment variables under the accelerator's names: mirrored before torch is imported, and filtered."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, MutableMapping
from importlib import metadata

from npu_compat.accelerators import Accelerator, load

# What the published guide sets on Ascend; kept where the program or the user has set something else.
GUIDE = {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True", "CPU_AFFINITY_CONF": "1"}

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
        if source in environ and target not in environ:
            _mirror(environ, source, target, accelerator)
    if name == "npu":
        _follow_guide(environ)


def applied_notes() -> list[str]:
    """What was done, and what was left out and why."""
    return list(dict.fromkeys(_notes))


def expected_accelerator(environ: MutableMapping[str, str]) -> str | None:
    """Device type whose package is there: ``npu`` (also for the emulator's switch), ``musa``, ``xpu``, or None."""
    if environ.get("NPU_EMULATOR") == "1" or importlib.util.find_spec("torch_npu") is not None:
        return "npu"
    if importlib.util.find_spec("torch_musa") is not None:
        return "musa"
    try:
        return "xpu" if metadata.version("torch").endswith("+xpu") else None
    except metadata.PackageNotFoundError:
        return None


def split_alloc_conf(value: str) -> Iterator[tuple[str, str]]:
    """Keys and values of ``a:1,b:[256:1,512:2]``."""
    for part in re.split(r",(?![^\[]*\])", value):
        key, _, setting = part.strip().partition(":")
        if key:
            yield key, setting


def _mirror(environ: MutableMapping[str, str], source: str, target: str, accelerator: Accelerator) -> None:
    value: str | None = environ[source]
    if source == "PYTORCH_CUDA_ALLOC_CONF":
        value = _alloc_conf(environ, target, accelerator)
    elif source == "CUDA_VISIBLE_DEVICES" and accelerator.name == "npu":
        value = _visible_devices(environ[source], target)
    if value is not None:
        environ[target] = value
        _notes.append(f"{target}={value} (from {source})")


def _alloc_conf(environ: MutableMapping[str, str], target: str, accelerator: Accelerator) -> str | None:
    if "PYTORCH_ALLOC_CONF" in environ:
        _notes.append(f"{target} is not set: PYTORCH_ALLOC_CONF is, and torch_npu takes only one of the two")
        return None
    kept = []
    for key, setting in split_alloc_conf(environ["PYTORCH_CUDA_ALLOC_CONF"]):
        renamed = key.replace("cudamalloc", f"{accelerator.name}malloc")
        if accelerator.alloc_conf_keys is None or renamed in accelerator.alloc_conf_keys:
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


def _follow_guide(environ: MutableMapping[str, str]) -> None:
    for name, value in GUIDE.items():
        if name in environ or (name == "PYTORCH_NPU_ALLOC_CONF" and "PYTORCH_ALLOC_CONF" in environ):
            continue
        environ[name] = value
        _notes.append(f"{name}={value} (the published guide)")
