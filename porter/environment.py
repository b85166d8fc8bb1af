"""The environment variables that steer CUDA, and what becomes of them on another accelerator."""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.targets import CUDA, Translation
from porter.torch_npu_builds import allocator_keys, has, variables, way_to_it, where_it_is

ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"

#: What every build of torch_npu reads in place of a variable that only some read.
_READ_BY_ALL = {
    "PYTORCH_ALLOC_CONF": "PYTORCH_NPU_ALLOC_CONF",
    "TORCH_HCCL_ASYNC_ERROR_HANDLING": "HCCL_ASYNC_ERROR_HANDLING",
    "TORCH_HCCL_BLOCKING_WAIT": "HCCL_BLOCKING_WAIT",
    "TORCH_HCCL_DESYNC_DEBUG": "HCCL_DESYNC_DEBUG",
}

#: What CUDA, its libraries and torch's builds for it read; a target's table pairs some of these.
OF_CUDA = frozenset(
    """CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING CUDA_HOME CUDA_PATH CUDA_CACHE_PATH
    CUDA_CACHE_DISABLE CUDA_CACHE_MAXSIZE CUDA_MODULE_LOADING CUDA_DEVICE_MAX_CONNECTIONS CUDA_MPS_PIPE_DIRECTORY
    CUDA_MPS_LOG_DIRECTORY CUDNN_HOME CUDNN_PATH CUDNN_LOGINFO_DBG CUDNN_LOGDEST_DBG CUBLAS_WORKSPACE_CONFIG
    CUBLASLT_WORKSPACE_SIZE NVIDIA_TF32_OVERRIDE NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES
    TORCH_CUDA_ARCH_LIST TORCH_ALLOW_TF32_CUBLAS_OVERRIDE NCCL_ALGO NCCL_ASYNC_ERROR_HANDLING NCCL_BLOCKING_WAIT
    NCCL_BUFFSIZE NCCL_CROSS_NIC NCCL_CUMEM_ENABLE NCCL_DEBUG NCCL_DEBUG_FILE NCCL_DEBUG_SUBSYS NCCL_IB_DISABLE
    NCCL_IB_GID_INDEX NCCL_IB_HCA NCCL_IB_RETRY_CNT NCCL_IB_SL NCCL_IB_TC NCCL_IB_TIMEOUT NCCL_LAUNCH_MODE
    NCCL_MAX_NCHANNELS NCCL_MIN_NCHANNELS NCCL_NET NCCL_NET_GDR_LEVEL NCCL_NSOCKS_PERTHREAD NCCL_NTHREADS
    NCCL_NVLS_ENABLE NCCL_P2P_DISABLE NCCL_P2P_LEVEL NCCL_PROTO NCCL_SHM_DISABLE NCCL_SOCKET_FAMILY
    NCCL_SOCKET_IFNAME NCCL_SOCKET_NTHREADS NCCL_TIMEOUT NCCL_TOPO_FILE TORCH_NCCL_ASYNC_ERROR_HANDLING
    TORCH_NCCL_AVOID_RECORD_STREAMS TORCH_NCCL_BLOCKING_WAIT TORCH_NCCL_DESYNC_DEBUG TORCH_NCCL_DUMP_ON_TIMEOUT
    TORCH_NCCL_ENABLE_MONITORING TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC TORCH_NCCL_HIGH_PRIORITY
    TORCH_NCCL_TRACE_BUFFER_SIZE""".split()
)


DEVICES = "CUDA_VISIBLE_DEVICES"

#: What hides every device from CUDA; Ascend's variable takes digits and commas only, and hides all by an empty value.
_HIDES_ALL = "-1"


def visible_devices(value: str, translation: Translation) -> str | None:
    """A value of CUDA_VISIBLE_DEVICES as the new accelerator takes it: numbers stay, less blanks, "-1" hides all.

    None where it names devices by something else than their numbers, such as the UUIDs of GPUs. The runtime redirect
    (npu_compat) gives the same answers.
    """
    if translation.new.name != "npu":
        return value
    if value.strip() == _HIDES_ALL:
        return ""
    return re.sub(r"\s", "", value) if re.fullmatch(r"[\d,\s]*", value) else None


def refused_devices(value: str, translation: Translation) -> tuple[str, str]:
    """What to say of a value that the new accelerator does not take: the message and the way out."""
    new = translation.environment[DEVICES]
    return f"{new} takes numbers of devices with commas between, not {value!r}", "name the devices by their numbers"


def lacks_a_pair(name: str, translation: Translation) -> bool:
    """Whether it is a variable of CUDA's that the new accelerator has no documented counterpart of."""
    return name in OF_CUDA and name not in translation.environment and not translation.undoes


def without_effect(name: str, translation: Translation) -> tuple[str, str]:
    """What to say of a variable that lacks a pair: the message and the way out."""
    new = translation.new
    way_out = "see the vendor's HCCL_* variables" if "NCCL_" in name and new.backend == "hccl" else ""
    return f"{name} has no effect on {new.title}, and no documented pair", way_out


def unknown_allocator_keys(value: str, translation: Translation) -> Iterator[tuple[str, str]]:
    """The keys of a value of PYTORCH_CUDA_ALLOC_CONF that the new allocator raises on, each with its name there.

    The name is empty where the new allocator has no such key. Nothing is known of an accelerator without a list.
    """
    known = translation.allocator_keys
    for key in _keys(value) if known else ():
        if key not in known:
            namesake = key.replace(CUDA.name, translation.accelerator.name)
            yield key, namesake if namesake in known else ""


def refused_by_the_build(value: str, translation: Translation) -> Iterator[tuple[str, str]]:
    """What to say of the keys of such a value that the build of torch_npu asked for does not know, and others do."""
    build = translation.torch_npu
    for key in _keys(value) if build else ():
        namesake = key.replace(CUDA.name, translation.accelerator.name)
        row = allocator_keys().get(key) or allocator_keys().get(namesake)
        if build and row and not has(row, build):
            message = f"the allocator of torch_npu {build} raises on the key {key!r}; it knows it {where_it_is(row)}"
            yield message, f"take the key out of the value, or {way_to_it(row, build)}"


def unread_by_the_build(translation: Translation) -> dict[str, tuple[str, str]]:
    """The variables, and those that become them, that the build of torch_npu asked for does not read: what to say."""
    build, found = translation.torch_npu, dict[str, tuple[str, str]]()
    for name, row in variables().items() if build else ():
        if build and not has(row, build):
            message = f"torch_npu {build} does not read {name}; it does {where_it_is(row)}"
            way_out = f"set {_READ_BY_ALL[name]} as well" if name in _READ_BY_ALL else ""
            old_names = [old for old, new in translation.environment.items() if new == name]
            found |= dict.fromkeys([name, *old_names], (message, way_out))
    return found


def _keys(value: str) -> list[str]:
    """The keys of a value; what stands in brackets belongs to one: `roundup_power2_divisions:[256:1,512:2]`."""
    return re.findall(r"(?:^|,)\s*(\w+)\s*:", re.sub(r"\[[^\]]*\]", "", value))
