"""Values from the environment and from callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from npu_emulator.settings import Settings, parse_devices, parse_hardware, parse_memory


@pytest.mark.parametrize(
    ("text", "amount"),
    [("64GiB", 64 * 2**30), ("512 MiB", 512 * 2**20), ("1.5GiB", 3 * 2**29), ("16GB", 16 * 10**9), (4096, 4096)],
)
def test_memory_is_read(text: str | int, amount: int) -> None:
    assert parse_memory(text) == amount


@pytest.mark.parametrize("text", ["", "lots", "8GX", "-1GiB", "0", "GiB", "1e9"])
def test_bad_memory_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"NPU_EMULATOR_MEMORY='.*expected an amount of memory"):
        parse_memory(text, "NPU_EMULATOR_MEMORY")


@pytest.mark.parametrize("value", ["0", "17", "two", "1.5", -1])
def test_bad_number_of_devices_is_named(value: str | int) -> None:
    with pytest.raises(ValueError, match=r"devices=.*from 1 to 16"):
        parse_devices(value)


def test_unknown_hardware_lists_the_known() -> None:
    with pytest.raises(ValueError, match="atlas-a2, atlas-a3, ascend-950dt"):
        parse_hardware("atlas-a9")


def test_environment_round_trip() -> None:
    settings = Settings(devices=3, memory=2**33, hardware="atlas-a3", strict=False)
    assert Settings.from_environment(settings.to_environment()) == settings
    assert Settings.from_environment({}) == Settings()


def test_bad_variable_is_named() -> None:
    with pytest.raises(ValueError, match="NPU_EMULATOR_STRICT='yes': expected 0 or 1"):
        Settings.from_environment({"NPU_EMULATOR_STRICT": "yes"})


@pytest.mark.parametrize(
    ("listed", "visible"),
    [("0,1", 2), ("1", 1), ("", 0), ("0,9", 1), ("9,0", 0), ("-1", 0), ("1,-1,0", 1), ("0, 1", 1), ("0,GPU-1", 1)],
)
def test_visible_devices(monkeypatch: pytest.MonkeyPatch, listed: str, visible: int) -> None:
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", listed)
    assert Settings(devices=2).visible_devices() == visible


@pytest.mark.parametrize(
    ("host", "container", "device"),
    [
        (24 * 2**30, "max", 24 * 2**30),
        (2**40, "max", 64 * 2**30),
        (2**40, str(2**33), 2**33),
        (2**40, None, 64 * 2**30),
    ],
)
def test_a_device_has_no_more_memory_than_the_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: int, container: str | None, device: int
) -> None:
    limit = tmp_path / "memory.max"
    if container is not None:
        limit.write_text(container + "\n")
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": host // 4096}
    monkeypatch.setattr("npu_emulator.settings.CONTAINER_LIMIT", limit)
    monkeypatch.setattr("os.sysconf", sizes.__getitem__)
    assert Settings().memory == device
    assert Settings.from_environment({}).memory == device
