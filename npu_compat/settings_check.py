"""Environment variables of Ascend that are easy to get wrong: what each means, and what is wrong with its value."""

from __future__ import annotations

from collections.abc import Mapping

from npu_compat.environment import build_in_use, split_alloc_conf
from npu_compat.torch_npu_builds import where_read

CPU_AFFINITY = {
    "0": "threads are not bound to cores (as when it is not set)",
    "1": "threads are bound coarsely: each NPU's to the cores of its NUMA node",
    "2": "threads are bound finely: each main thread of an NPU to a core of its own",
}
ALLOC_CONF = {
    "expandable_segments": "segments of the memory pool grow by virtual memory, so fragments do not run it out",
    "max_split_size_mb": "larger blocks are not split",
    "garbage_collection_threshold": "share of the memory from which unused blocks are given back",
}


def explain(environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What the variables that are set mean, and what is wrong with them, a sentence each."""
    meaning: list[str] = []
    problems: list[str] = []
    _check_alloc_conf(environ, meaning, problems)
    _check_affinity(environ, meaning, problems)
    visible = environ.get("ASCEND_RT_VISIBLE_DEVICES", "")
    if visible.strip("0123456789,"):
        problems.append(f"ASCEND_RT_VISIBLE_DEVICES={visible}: expected digits and commas; the rest is cut off")
    return meaning, problems


def _check_alloc_conf(environ: Mapping[str, str], meaning: list[str], problems: list[str]) -> None:
    value = environ.get("PYTORCH_NPU_ALLOC_CONF")
    if value is None:
        return
    build = build_in_use()
    known = build.alloc_conf_keys()
    if "PYTORCH_ALLOC_CONF" in environ and not build.reads("PYTORCH_ALLOC_CONF"):
        meaning.append(
            f"PYTORCH_ALLOC_CONF is not read by torch_npu {build.version} (it is {where_read('PYTORCH_ALLOC_CONF')}): "
            "PYTORCH_NPU_ALLOC_CONF is"
        )
    elif "PYTORCH_ALLOC_CONF" in environ:
        problems.append(
            "PYTORCH_NPU_ALLOC_CONF and PYTORCH_ALLOC_CONF are both set: torch_npu refuses to start; unset one"
        )
    for key, setting in split_alloc_conf(value):
        if key not in known:
            problems.append(
                f"PYTORCH_NPU_ALLOC_CONF: unknown key {key}: torch_npu {build.version} refuses it; "
                f"it knows {', '.join(known)}"
            )
        else:
            meaning.append(
                f"PYTORCH_NPU_ALLOC_CONF {key}:{setting}" + (f": {ALLOC_CONF[key]}" if key in ALLOC_CONF else "")
            )


def _check_affinity(environ: Mapping[str, str], meaning: list[str], problems: list[str]) -> None:
    value = environ.get("CPU_AFFINITY_CONF")
    if value is None:
        return
    mode = value.partition(",")[0].removeprefix("mode:")  # what follows names cores for single devices
    if mode in CPU_AFFINITY:
        meaning.append(f"CPU_AFFINITY_CONF={value}: {CPU_AFFINITY[mode]}")
    else:
        problems.append(f"CPU_AFFINITY_CONF={value}: expected 0 (off), 1 (coarse) or 2 (fine)")
