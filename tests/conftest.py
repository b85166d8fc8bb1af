"""The emulated NPU, given to a process before anything asks for it; a state folder; and what is left to `-m slow`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.machine import no_emulator_here

IN_PROCESS = tuple(Path(__file__).parent / folder for folder in ("npu_emulator", "npu_compat"))


def pytest_configure(config: pytest.Config) -> None:
    """Ports made in tests, by child processes too, are noted in no record of the user's; nor are they undone by one."""
    folder = TemporaryDirectory(prefix="state-of-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["XDG_STATE_HOME"] = folder.name


def pytest_sessionstart(session: pytest.Session) -> None:
    """Two emulated NPUs, 8 GiB each, as strict as the hardware, if tests that need them in their process are asked for.

    torch counts the devices of its autograd engine at the first backward pass of a process, and libraries look for an
    NPU once, as they are imported: so they are there before any test module is. The variables that `enable` sets for
    child processes are taken back: every test starts without.
    """
    config = session.config
    hands_tests_out = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if hands_tests_out or no_emulator_here() or not any(map(_asks_for_devices, config.args)):
        return
    import npu_emulator

    before = set(os.environ)
    npu_emulator.enable(devices=2, memory="8GiB", hardware="atlas-a2", strict=True)
    for name in set(os.environ) - before:
        del os.environ[name]


def _asks_for_devices(argument: str) -> bool:
    path = Path(argument.split("::")[0]).resolve()
    return any(folder.is_relative_to(path) or path.is_relative_to(folder) for folder in IN_PROCESS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "slow" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; run with -m slow"))


@pytest.fixture
def diffusers_as_without_torch_npu(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers is the oracle, on the host: where torch_npu can be imported, as in this process, it takes the NPU's
    fused operators for host tensors too, and those refuse them, as on hardware."""
    if (loaded := sys.modules.get("diffusers.utils.import_utils")) is not None:
        monkeypatch.setattr(loaded, "_torch_npu_available", False)
