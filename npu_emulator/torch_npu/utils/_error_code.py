"""The error codes, from where libraries of the vendor's import them."""

from npu_emulator.npu.error_codes import ErrCode, dist_error, graph_error, ops_error, prof_error, pta_error

__all__ = ["ErrCode", "dist_error", "graph_error", "ops_error", "prof_error", "pta_error"]
