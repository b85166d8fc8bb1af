"""Before and after, as bytes of whole files, for every kind of document."""

from __future__ import annotations

from porter.documents import port_bytes
from porter.findings import Finding
from porter.port import Plan
from porter.record import entry_of, restored

NPU, CUDA = Plan("npu"), Plan("cuda")


def check_ported(name: str, before: bytes, after: bytes) -> tuple[Finding, ...]:
    """The file is ported, a second port changes nothing, and undoing by the record gives the first bytes."""
    ported = port_bytes(name, before, NPU)
    assert ported.data == after
    assert port_bytes(name, after, NPU).data == after
    assert restored(after, entry_of(before, after, ["npu"])).data == before
    return ported.findings


def check_unchanged(name: str, data: bytes) -> tuple[Finding, ...]:
    """Neither porting nor undoing changes the file; the very same object comes back."""
    assert port_bytes(name, data, CUDA).data is data
    ported = port_bytes(name, data, NPU)
    assert ported.data is data
    return ported.findings
