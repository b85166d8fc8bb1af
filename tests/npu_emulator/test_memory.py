"""Memory is counted, limited and reported."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

MIB = 2**20
GIB = 2**30


def test_allocations_are_counted_and_freed() -> None:
    before = torch.npu.memory_allocated()
    block = torch.empty(3 * MIB, dtype=torch.uint8, device="npu")
    assert torch.npu.memory_allocated() - before == 3 * MIB
    del block
    assert torch.npu.memory_allocated() == before


@pytest.mark.skipif(
    not hasattr(torch.accelerator, "memory_stats"), reason="torch.accelerator counts memory from torch 2.9 on"
)
def test_torch_accelerator_counts_the_same() -> None:
    block = torch.empty(3 * MIB, dtype=torch.uint8, device="npu:1")
    assert torch.npu.memory_allocated(1) == torch.accelerator.memory_allocated(1) >= block.nbytes
    ours, theirs = torch.npu.memory_stats(1), torch.accelerator.memory_stats(1)
    assert {name: ours[name] for name in theirs} == dict(theirs)
    assert torch.npu.memory_stats_as_nested_dict(1)["allocated_bytes"]["all"]["current"] >= block.nbytes


def test_results_of_kernels_are_counted_and_views_are_not() -> None:
    a = torch.ones(MIB, device="npu")
    before = torch.npu.memory_allocated()
    b = a + 1
    assert torch.npu.memory_allocated() - before == 4 * MIB
    c = b.view(2, -1)[1]
    assert torch.npu.memory_allocated() - before == 4 * MIB
    del b
    assert torch.npu.memory_allocated() - before == 4 * MIB  # the view keeps it
    del c
    assert torch.npu.memory_allocated() == before


def test_peak_holds_what_a_kernel_needs_meanwhile() -> None:
    before = torch.npu.memory_allocated()
    block = torch.empty(8 * MIB, dtype=torch.uint8, device="npu")
    del block
    assert torch.npu.max_memory_allocated() >= before + 8 * MIB
    torch.npu.reset_peak_memory_stats()
    assert torch.npu.max_memory_allocated() == before


def test_each_device_has_its_own_account() -> None:
    before = [torch.npu.memory_allocated(0), torch.npu.memory_allocated(1)]
    block = torch.empty(MIB, device="npu:1")
    twice = block * 2
    assert torch.npu.memory_allocated(0) == before[0]
    assert torch.npu.memory_allocated(1) - before[1] == 8 * MIB
    del block, twice


def test_host_tensors_are_not_counted() -> None:
    before = torch.npu.memory_allocated()
    kept = torch.empty(MIB) + 1
    assert torch.npu.memory_allocated() == before
    del kept


def test_reserved_memory_and_mem_get_info() -> None:
    torch.npu.empty_cache()
    free, total = torch.npu.mem_get_info()
    assert total == 8 * GIB
    block = torch.empty(64 * MIB, dtype=torch.uint8, device="npu")
    assert free - torch.npu.mem_get_info()[0] >= 62 * MIB
    del block
    assert torch.npu.memory_reserved() >= 64 * MIB
    torch.npu.empty_cache()
    assert torch.npu.mem_get_info()[0] == free


@pytest.mark.parametrize("make", [lambda: torch.empty(9 * GIB, dtype=torch.uint8, device="npu"), lambda: too_wide()])
def test_beyond_the_limit(make: object) -> None:
    pattern = (
        r"NPU out of memory. Tried to allocate [\d.]+ GiB \(NPU 0; 8.00 GiB total capacity; .* already allocated; "
        r"8.00 GiB free|NPU out of memory. Tried to allocate [\d.]+ GiB \(NPU 0; 8.00 GiB total capacity; .* free; .* "
        r"reserved in total by PyTorch\)"
    )
    with pytest.raises(torch.OutOfMemoryError, match=pattern):
        make()  # type: ignore[operator]
    assert torch.ones(2, device="npu").sum().item() == 2


def too_wide() -> torch.Tensor:
    row = torch.ones(1, 2**17, device="npu")
    return row.t() * row  # 64 GiB, asked for inside a kernel


def test_fraction_limits_this_process() -> None:
    torch.npu.set_per_process_memory_fraction(0.001, 1)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(100 * MIB, device="npu:1")
    finally:
        torch.npu.set_per_process_memory_fraction(1.0, 1)
    with pytest.raises(ValueError, match="Invalid fraction"):
        torch.npu.set_per_process_memory_fraction(2)


def test_pinned_memory() -> None:
    before = torch.npu.host_memory_stats()["allocated_bytes.current"]
    pinned = torch.ones(MIB).pin_memory()
    assert pinned.is_pinned()
    assert pinned[5:].is_pinned()
    assert not torch.ones(2).is_pinned()
    assert torch.npu.host_memory_stats()["allocated_bytes.current"] - before == 4 * MIB
    assert torch.equal(pinned.to("npu", non_blocking=True).cpu(), torch.ones(MIB))
    assert torch.empty(3, pin_memory=True).is_pinned()
    del pinned
    assert torch.npu.host_memory_stats_as_nested_dict()["allocated_bytes"]["current"] == before


def test_reports() -> None:
    stats = torch.npu.memory_stats()
    assert stats["allocated_bytes.all.peak"] >= stats["allocated_bytes.all.current"]
    assert torch.npu.memory_stats_as_nested_dict()["allocated_bytes"]["all"]["peak"] >= 0
    assert "allocated_bytes" in torch.npu.memory_summary()


def test_convolutions_scratch_is_given_back() -> None:
    layer = torch.nn.Conv2d(3, 8, 3).npu()
    picture = torch.randn(2, 3, 16, 16, device="npu")
    layer(picture)
    before = torch.npu.memory_allocated()
    for _ in range(3):
        layer(picture).sum().backward()
        layer.zero_grad()
    assert torch.npu.memory_allocated() == before


def test_settings_of_the_allocator_are_checked() -> None:
    set_settings = torch.npu.memory._set_allocator_settings
    set_settings("expandable_segments:True,roundup_power2_divisions:[256:1,512:2],per_process_memory_fraction:0.5")
    assert torch.npu.get_per_process_memory_fraction() == 0.5
    set_settings("per_process_memory_fraction:1.0")
    assert torch.npu.memory._snapshot()["allocator_settings"]["expandable_segments"] == "True"
    with pytest.raises(RuntimeError, match="Unrecognized key 'backend'"):
        set_settings("backend:native")
    with pytest.raises(RuntimeError, match="option segment_size_mb does not take '7'"):
        set_settings("segment_size_mb:7")
    with pytest.raises(RuntimeError, match="expected key:value"):
        set_settings("expandable_segments")


def test_raw_memory_is_charged() -> None:
    before = torch.npu.memory_allocated()
    address = torch.npu.caching_allocator_alloc(1 << 20)
    assert torch.npu.memory_allocated() == before + (1 << 20)
    torch.npu.caching_allocator_delete(address)
    assert torch.npu.memory_allocated() == before
    with pytest.raises(ValueError, match="did not come from"):
        torch.npu.caching_allocator_delete(address)
    with pytest.raises(torch.OutOfMemoryError):
        torch.npu.caching_allocator_alloc(1 << 40)


def test_pools_and_snapshots(tmp_path: Path) -> None:
    pool = torch.npu.MemPool()
    with torch.npu.use_mem_pool(pool):
        held = torch.ones(1 << 20, device="npu")
        assert pool.use_count() == 2
    assert pool.id != torch.npu.MemPool().id
    assert callable(torch.npu.use_mem_pool.__wrapped__)  # torch._dynamo asks for it when it is imported
    (segment, _) = torch.npu.memory_snapshot()
    assert segment["allocated_size"] == torch.npu.memory_allocated() >= held.nbytes
    assert sum(block["size"] for block in segment["blocks"]) == segment["total_size"] == torch.npu.memory_reserved()
    torch.npu.memory._dump_snapshot(str(tmp_path / "snapshot.pickle"))
    assert pickle.loads((tmp_path / "snapshot.pickle").read_bytes())["segments"][0]["device"] == 0
    with pytest.warns(UserWarning, match="no history"):
        torch.npu.memory._record_memory_history()
