"""The environment variables that steer CUDA, and what becomes of them on another accelerator."""

from __future__ import annotations

import re
from collections.abc import Iterator

from porter.targets import CUDA, Translation

ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"

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
    for key in re.findall(r"(?:^|,)\s*(\w+)\s*:", value) if known else ():
        if key not in known:
            namesake = key.replace(CUDA.name, translation.accelerator.name)
            yield key, namesake if namesake in known else ""
