"""On a device with memory of its own, less than the weights take: every mode gives the CPU's bits within its limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import pytest

MIB = 1 << 20

# Weights of 50 MiB, and activations of a few KiB. Each mode runs four steps, is sent away, and runs once more.
MODES = """
    import gc
    import json, sys
    import torch
    from dataclasses import asdict
    from diffsynth.core.vram import State
    from tests.diffsynth.core.vram.networks import file_bytes, filled, managed, policy

    SIZES = {"dim": 512, "layers": 12}
    dtype = getattr(torch, sys.argv[1])
    npu, host, disk = ("npu", dtype), ("cpu", dtype), "disk"
    # placements, and the limit in MiB
    modes = {
        "disk, host, device": (dict(offload=disk, onload=host, preparing=npu), 20),
        "disk, host, no room": (dict(offload=disk, onload=host, preparing=npu), 0),
        "disk, host, never": (dict(offload=disk, onload=host, preparing=host), None),
        "host": (dict(offload=host, onload=host, preparing=host), None),
        "host, device": (dict(offload=host, onload=host, preparing=npu), 20),
        "disk, device": (dict(offload=disk, onload=disk, preparing=npu), 20),
        "streamed": (dict(offload=disk, onload=disk, preparing=disk), None),
        "as much as there is": (dict(offload=disk, onload=host, preparing=npu), None),
        "wider on the host": (dict(offload=("cpu", torch.float64), onload=host, preparing=npu), 20),
    }
    reference = filled(dtype=dtype, **SIZES)
    ids = torch.arange(6).reshape(2, 3)
    expected = reference(ids)
    there = ids.to("npu")
    results = {}
    for name, (placements, limit) in modes.items():
        torch.npu.empty_cache()
        torch.npu.reset_peak_memory_stats()
        torch.npu.reset_peak_host_memory_stats()
        torch.npu.reset_accumulated_host_memory_stats()
        model, weights = managed(
            reference, policy(npu, "npu:0", **placements), None if limit is None else limit / 1024, **SIZES
        )
        equal, moved = [], []
        for generation in range(2):
            weights.onload()
            for step in range(4):
                before = asdict(weights.bytes_moved)
                with torch.inference_mode():
                    equal.append(torch.equal(model(there).cpu(), expected))
                torch.npu.synchronize()
                for each in weights._slots._slots:
                    each.settle()  # what is on its way for the next step counts for this one
                moved.append({kind: count - before[kind] for kind, count in asdict(weights.bytes_moved).items()})
            stayed = sum(u.computation_bytes for u in weights._units if u.state is State.PREPARING)
            each = None
            weights.offload()
        results[name] = {
            "equal": all(equal),
            "moved": moved,
            "stayed": stayed,
            "peak": torch.npu.max_memory_reserved(),
            "back": weights.bytes_moved.device_to_host,
            "left": torch.npu.memory_allocated(),
            "locked": torch.npu.host_memory_stats(),
        }
        each = None
        del model, weights
        gc.collect()  # a model and its hooks hold each other
    results["bytes"] = file_bytes(reference)
    results["block"] = file_bytes(reference.blocks[0])
    print(json.dumps(results))
"""


@pytest.fixture(scope="module", params=["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def results(request: pytest.FixtureRequest, run_on: Callable[..., str]) -> dict:
    program = MODES.replace("sys.argv[1]", repr(request.param))
    memory = 40 if request.param == "float32" else 24  # of weights of 50 and 25
    return json.loads(run_on("npu", program, NPU_EMULATOR_DEVICES="1", NPU_EMULATOR_MEMORY=f"{memory}MiB"))


def modes(results: dict) -> dict[str, dict]:
    return {name: result for name, result in results.items() if isinstance(result, dict)}


def test_the_same_bits_in_every_mode(results: dict) -> None:
    assert [name for name, result in modes(results).items() if not result["equal"]] == []


def test_the_peak_is_under_the_limit(results: dict) -> None:
    activations = 2 * MIB
    for name in ("disk, host, device", "host, device", "disk, device", "wider on the host"):
        assert results[name]["peak"] <= 20 * MIB + activations, name
        assert results[name]["stayed"] > 0, name
    slots = 2 * results["block"]
    tied_and_rounding = 6 * MIB
    for name in ("disk, host, no room", "disk, host, never", "host", "streamed"):
        assert results[name]["peak"] <= slots + tied_and_rounding, name
        assert results[name]["stayed"] == 0, name


def test_nothing_is_left_on_the_device(results: dict) -> None:
    assert {name: result["left"] for name, result in modes(results).items() if result["left"] > 4096} == {}


def test_each_mode_moves_what_it_has_to(results: dict) -> None:
    whole, block = results["bytes"], results["block"]
    for name in ("disk, host, no room", "disk, host, never", "host"):
        step = results[name]["moved"][2]
        assert whole <= step["host_to_device"] <= whole + 4 * block, name
        assert step["from_disk"] == 0, name
    streamed = results["streamed"]["moved"][2]
    assert whole <= streamed["from_disk"] <= whole + 4 * block
    assert streamed["from_disk"] == streamed["host_to_device"]
    for name in ("disk, host, device", "host, device", "disk, device", "as much as there is"):
        step = results[name]["moved"][2]
        rest = whole - results[name]["stayed"]
        assert rest - block <= step["host_to_device"] <= rest + 4 * block, name
        assert step["from_disk"] == (step["host_to_device"] if name == "disk, device" else 0), name


def test_what_becomes_resident_locks_a_ring_of_buffers_and_no_more(results: dict) -> None:
    for name in ("as much as there is", "disk, device", "streamed"):
        locked = results[name]["locked"]
        generations = 2
        assert locked["allocation.allocated"] == generations, name
        assert locked["allocated_bytes.peak"] <= 512 * MIB, name
        assert locked["allocated_bytes.current"] == 0, name


def test_weights_travel_back_only_where_the_host_has_no_copy(results: dict) -> None:
    assert [name for name, result in modes(results).items() if result["back"]] == ["wider on the host"]
    assert results["wider on the host"]["back"] == 2 * results["wider on the host"]["stayed"]


def test_eight_bits_on_the_device(run_on: Callable[..., str]) -> None:
    program = """
        import torch
        from diffsynth.core.vram import State
        from tests.diffsynth.core.vram.networks import file_bytes, filled, managed, policy

        sizes = {"dim": 512, "layers": 12}
        fp8, bf16 = torch.float8_e4m3fn, torch.bfloat16
        reference = filled(dtype=bf16, **sizes)
        rounded = filled(dtype=bf16, **sizes)
        for tensor in (*rounded.parameters(), *rounded.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.to(fp8))
        ids = torch.arange(6).reshape(2, 3)
        for onload in (("cpu", fp8), ("npu", fp8)):
            chosen = policy(("npu", bf16), "npu:0", offload="disk", onload=onload, preparing=("npu", fp8))
            model, weights = managed(reference, chosen, **sizes)
            for _ in range(2):
                weights.onload()
                for _ in range(3):
                    assert torch.equal(model(ids.to("npu")).cpu(), rounded(ids))
                weights.offload()
            # On the device at half the size, and two blocks in full.
            assert weights.bytes_moved.host_to_device <= 2 * file_bytes(reference) * 0.51
        print(torch.npu.max_memory_reserved() / file_bytes(reference))
    """
    assert float(run_on("npu", program, NPU_EMULATOR_DEVICES="1", NPU_EMULATOR_MEMORY="22MiB")) < 0.9


def test_gradients_and_compiled_blocks(run_on: Callable[..., str]) -> None:
    program = """
        import torch
        from tests.diffsynth.core.vram.networks import filled, managed, policy

        f32 = torch.float32
        reference = filled()
        model, weights = managed(reference, policy(("npu", f32), "npu:0", offload="disk", onload="disk",
                                                   preparing="disk"))
        gradients = []
        for network, device in ((reference, "cpu"), (model, "npu")):
            features = torch.ones(1, 32, device=device, requires_grad=True)
            hidden = features
            for block in network.blocks:
                hidden = block(hidden)
            hidden.sum().backward()
            gradients.append(features.grad.cpu())
        assert torch.equal(*gradients)
        for block in model.blocks:
            block.forward = torch.compile(block.forward, backend="aot_eager", fullgraph=True)
        ids = torch.arange(6).reshape(2, 3)
        for _ in range(3):
            with torch.inference_mode():
                assert torch.equal(model(ids.to("npu")).cpu(), reference(ids))
    """
    run_on("npu", program, NPU_EMULATOR_DEVICES="1")


def test_what_does_not_fit_where_it_was_told_to_be(run_on: Callable[..., str]) -> None:
    program = """
        import torch
        from diffsynth.core.vram import State
        from tests.diffsynth.core.vram.networks import filled, managed, policy

        sizes = {"dim": 512, "layers": 12}
        here = ("npu", torch.float32)
        model, weights = managed(filled(**sizes), policy(here, "npu:0", offload="disk"), **sizes)
        try:
            weights.onload()
        except torch.OutOfMemoryError:
            print(weights.state is State.OFFLOAD, torch.npu.memory_allocated())
    """
    printed = run_on("npu", program, NPU_EMULATOR_DEVICES="1", NPU_EMULATOR_MEMORY="24MiB")
    assert printed.split() == ["True", "0"]


def test_what_others_hold_on_the_device_counts(run_on: Callable[..., str]) -> None:
    program = """
        import torch
        from diffsynth.core.vram import State
        from tests.diffsynth.core.vram.networks import filled, managed, policy

        sizes = {"dim": 512, "layers": 12}
        host, npu = ("cpu", torch.float32), ("npu", torch.float32)
        chosen = policy(npu, "npu:0", offload=host, onload=host, preparing=npu)
        model, weights = managed(filled(**sizes), chosen, 48 / 1024, **sizes)
        ids = torch.arange(6, device="npu").reshape(2, 3)
        for mebibytes in (0, 16, 40):
            others = torch.empty(mebibytes << 20, dtype=torch.uint8, device="npu")
            weights.onload()
            with torch.no_grad():
                model(ids)
            print(sum(unit.state is State.PREPARING for unit in weights._units))
            weights.offload()
            del others
    """
    none, some, most = map(int, run_on("npu", program, NPU_EMULATOR_DEVICES="1").split())
    assert none > some > most
    assert most <= 2, "no block, at most what is smaller than a granule"


def test_what_is_streamed_again_and_again_has_few_pieces_of_its_own(run_on: Callable[..., str]) -> None:
    program = """
        import json
        import torch
        from diffsynth.core.vram import staging
        from tests.diffsynth.core.vram.networks import file_bytes, filled, managed, policy

        staging.BUFFER_BYTES = 1 << 20  # less than a weight
        sizes = {"dim": 512, "layers": 12}
        dtype = torch.float32
        host, npu = ("cpu", dtype), ("npu", dtype)
        reference = filled(dtype=dtype, **sizes)
        ids = torch.arange(6).reshape(2, 3)
        expected = reference(ids)
        results = {"bytes": file_bytes(reference), "ring": staging.BUFFERS * staging.BUFFER_BYTES}
        for name, offload in (("read", "disk"), ("held", host)):
            chosen = policy(npu, "npu:0", offload=offload, onload=host, preparing=npu)
            model, weights = managed(reference, chosen, 0, **sizes)
            torch.npu.reset_accumulated_host_memory_stats()
            weights.onload()
            locked = []
            for step in range(12):
                with torch.inference_mode():
                    assert torch.equal(model(ids.to("npu")).cpu(), expected)
                if weights._pinning._making is not None:
                    weights._pinning._making.result()
                locked.append(torch.npu.host_memory_stats()["allocated_bytes.current"])
            results[name] = {
                "locked": locked,
                "pinned": all(unit.host_copy.pinned for unit in weights._units),
                "allocated": torch.npu.host_memory_stats()["allocation.allocated"],
            }
            weights.offload()
            results[name]["left"] = torch.npu.host_memory_stats()["allocated_bytes.current"]
            with torch.inference_mode():
                assert torch.equal(model(ids.to("npu")).cpu(), expected)
            weights.offload()
            del model, weights
        print(json.dumps(results))
    """
    results = json.loads(run_on("npu", program, NPU_EMULATOR_DEVICES="1"))
    whole, ring = results["bytes"], results["ring"]
    for name in ("read", "held"):
        result = results[name]
        assert result["pinned"], name
        assert 3 <= result["allocated"] <= 8, name
        assert result["locked"][1] == ring, "two forwards, as of a prompt and its negative, lock nothing"
        growth = [after - before for before, after in pairwise(result["locked"])]
        assert max(growth) <= whole / 2, "a piece at a time"
        assert whole <= result["locked"][-1] - ring <= 1.01 * whole, name
    assert results["read"]["left"] == 0
    assert whole <= results["held"]["left"] <= 1.01 * whole


def test_a_limit_that_rises_while_weights_are_streamed(run_on: Callable[..., str]) -> None:
    program = """
        import torch
        from diffsynth.core.vram import State
        from tests.diffsynth.core.vram.networks import filled, managed, policy

        host, npu = ("cpu", torch.float32), ("npu", torch.float32)
        reference = filled()
        chosen = policy(npu, "npu:0", offload="disk", onload=host, preparing=npu)
        model, weights = managed(reference, chosen, 0)
        ids = torch.arange(6).reshape(2, 3)
        weights.onload()
        for limit in (0, 0, 0, 0, 0, None, None):
            weights.vram_limit = limit
            with torch.inference_mode():
                assert torch.equal(model(ids.to("npu")).cpu(), reference(ids))
        assert {unit.state for unit in weights._units} == {State.PREPARING}
        weights.offload()
        assert torch.npu.host_memory_stats()["allocated_bytes.current"] == 0
    """
    run_on("npu", program, NPU_EMULATOR_DEVICES="1")
