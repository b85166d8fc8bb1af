"""Saving and loading: torch.save, weights_only, safetensors, loaders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, TensorDataset

from .conftest import Run


def test_checkpoint_comes_back_to_its_device(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2).to("npu:1")
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3, device="npu:1")).sum().backward()
    optimizer.step()
    torch.save({"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.pt")
    again = torch.load(tmp_path / "c.pt", weights_only=True)
    assert again["layer"]["weight"].device == torch.device("npu:1")
    assert torch.equal(again["layer"]["weight"], layer.weight)
    assert again["optimizer"]["state"][0]["exp_avg"].device == torch.device("npu:1")


@pytest.mark.parametrize("where", ["cpu", "npu", "npu:1", {"npu:1": "npu:0"}])
def test_map_location(tmp_path: Path, where: object) -> None:
    torch.save(torch.arange(3.0, device="npu:1"), tmp_path / "t.pt")
    loaded = torch.load(tmp_path / "t.pt", map_location=where)  # type: ignore[arg-type]
    expected = {"cpu": "cpu", "npu": "npu:0", "npu:1": "npu:1"}.get(str(where), "npu:0")
    assert str(loaded.device) == expected
    assert loaded.tolist() == [0, 1, 2]


def test_host_checkpoint_to_npu(tmp_path: Path) -> None:
    torch.save(torch.arange(3.0), tmp_path / "t.pt")
    assert torch.load(tmp_path / "t.pt", map_location="npu:1").device == torch.device("npu:1")
    assert torch.load(tmp_path / "t.pt", mmap=True).npu().tolist() == [0, 1, 2]


def test_shared_storage_stays_shared(tmp_path: Path) -> None:
    base = torch.zeros(4, device="npu")
    torch.save([base, base[1:]], tmp_path / "t.pt")
    whole, part = torch.load(tmp_path / "t.pt")
    whole[1] = 9
    assert part[0].item() == 9


def test_whole_module(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).npu(), tmp_path / "m.pt")
    assert torch.load(tmp_path / "m.pt", weights_only=False).weight.is_npu


@pytest.mark.parametrize("device", ["npu", "npu:1"])
def test_safetensors(tmp_path: Path, device: str) -> None:
    tensors = {
        "a": torch.arange(6.0, device=device).view(2, 3),
        "b": torch.ones(2, dtype=torch.bfloat16, device=device),
    }
    save_file(tensors, tmp_path / "t.safetensors")
    for where in ("cpu", device):
        again = load_file(tmp_path / "t.safetensors", device=where)
        assert {str(tensor.device) for tensor in again.values()} == {
            "cpu" if where == "cpu" else str(tensors["a"].device)
        }
        assert torch.equal(again["a"].cpu(), tensors["a"].cpu())


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_workers(context: str) -> None:
    torch.ones(2, device="npu").sum().item()
    data = TensorDataset(torch.arange(12.0).view(6, 2))
    loader = DataLoader(data, batch_size=3, num_workers=1, pin_memory=True, multiprocessing_context=context)
    batches = [batch for (batch,) in loader]
    assert all(batch.is_pinned() for batch in batches)
    assert torch.equal(torch.cat([batch.to("npu", non_blocking=True) for batch in batches]).cpu(), data.tensors[0])


def test_forked_child_may_not_use_the_device(run: object) -> None:
    code = """
        import os, sys, torch
        torch.ones(2, device="npu")
        if os.fork() == 0:
            try:
                torch.ones(2, device="npu")
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
    """
    result = run(code)  # type: ignore[operator]
    assert "Cannot re-initialize NPU in forked subprocess" in result.stdout, result.stderr


def test_forked_child_uses_and_seeds_a_device_that_its_parent_did_not(run: object) -> None:
    code = """
        import os, torch
        if os.fork() == 0:
            torch.manual_seed(3)
            same = torch.rand(4, device="npu").cpu().equal(torch.rand(4, generator=torch.Generator().manual_seed(3)))
            print(same, torch.npu._is_in_bad_fork(), flush=True)
            os._exit(0)
        os.wait()
    """
    result = run(code)  # type: ignore[operator]
    assert "True False" in result.stdout, result.stderr


QUEUE = """
    import torch
    import torch.multiprocessing as mp

    def child(inbox, outbox):
        view, weight = inbox.get()
        view.add_(1)
        held = torch.npu.memory_allocated(1)
        outbox.put((view.stride(), str(view.device), type(weight).__name__, weight.requires_grad, held))
        outbox.put(torch.full((3,), 7.0, device="npu:1"))
        inbox.get()  # the memory it made lives as long as it does

    if __name__ == "__main__":
        whole = torch.ones(100, 100, device="npu:1")
        before = torch.npu.memory_allocated(1)
        context = mp.get_context("spawn")
        inbox, outbox = context.Queue(), context.Queue()
        process = context.Process(target=child, args=(inbox, outbox), daemon=True)
        process.start()
        inbox.put((whole.t()[2:], torch.nn.Parameter(torch.ones(3, device="npu"))))
        print(*outbox.get(timeout=200))
        print(whole.sum().item(), torch.npu.memory_allocated(1) == before)
        print(outbox.get(timeout=200) + 1)
        inbox.put(None)
        process.join()
        del whole
        print(process.exitcode, torch.npu.memory_allocated(1))
"""


def test_a_queue_shares_memory_between_processes(run: Run) -> None:
    result = run(QUEUE, options=("--devices", "2"), timeout=240)
    assert result.stdout.splitlines() == [
        "(1, 100) npu:1 Parameter True 0",  # the process that made the memory is charged for it
        "19800.0 True",
        "tensor([8., 8., 8.], device='npu:1')",
        "0 0",
    ], result.stderr


def test_a_result_of_autograd_does_not_go_to_another_process() -> None:
    from multiprocessing.reduction import ForkingPickler

    with pytest.raises(RuntimeError, match="a result of autograd cannot go to another process"):
        ForkingPickler.dumps(torch.ones(2, device="npu", requires_grad=True) * 2)
