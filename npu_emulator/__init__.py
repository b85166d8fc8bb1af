"""A torch device called ``npu`` that lives in host memory, has a memory limit, and refuses what Ascend refuses.

Importing this package does nothing; :func:`enable` turns the device on for this process and its children.
"""

from npu_emulator.activation import enable
from npu_emulator.errors import BuildError, EmulatorError, RefusedOnNpu, UnsupportedHost
from npu_emulator.settings import HARDWARE_LINES, Settings, enabled_with
from npu_emulator.slow_operators import SlowOperator, reset_slow_operators, slow_operators

__all__ = [
    "HARDWARE_LINES",
    "BuildError",
    "EmulatorError",
    "RefusedOnNpu",
    "Settings",
    "SlowOperator",
    "UnsupportedHost",
    "enable",
    "enabled_with",
    "reset_slow_operators",
    "slow_operators",
]
