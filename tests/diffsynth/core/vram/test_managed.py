"""Every mode gives the same bits on a CPU, moves what it says it moves, and stays sound whatever happens."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from torch import Tensor, nn

from diffsynth.core.loader.weight_source import CheckpointError, DictSource
from diffsynth.core.vram import ManagedWeights, State, VramError
from tests.diffsynth.core.vram.networks import Network, file_bytes, filled, managed, policy

F32, BF16, FP8 = torch.float32, torch.bfloat16, torch.float8_e4m3fn
HERE = ("cpu", F32)
IDS = torch.arange(6).reshape(2, 3)
MODES = {
    "stays": {"offload": HERE, "onload": HERE, "preparing": HERE},
    "disk, then held": {"offload": "disk"},
    "disk, held at its forward": {"offload": "disk", "onload": "disk"},
    "streamed": {"offload": "disk", "onload": "disk", "preparing": "disk"},
}
STREAMED = MODES["streamed"]


class SlowSource(DictSource):
    """Counts reads, notes the threads, and fails when it is told to."""

    def __init__(self, state_dict: dict[str, Tensor]) -> None:
        super().__init__(state_dict)
        self.read: list[str] = []
        self.threads: set[str] = set()
        self.failing = ""

    def read_into(self, key: str, out: Tensor) -> None:
        if self.failing and key.startswith(self.failing):
            raise CheckpointError(f"cannot read {key}")
        self.read.append(key)
        self.threads.add(threading.current_thread().name)
        super().read_into(key, out)


@pytest.fixture
def reference() -> nn.Module:
    return filled()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("limit", [None, 0.0])
def test_the_same_bits_in_every_mode(reference: nn.Module, mode: str, limit: float | None) -> None:
    model, weights = managed(reference, policy(HERE, **MODES[mode]), limit)
    for _ in range(2):
        weights.onload()
        for _ in range(3):
            with torch.no_grad():
                assert torch.equal(model(IDS), reference(IDS))
        weights.offload()
        assert weights.state is State.OFFLOAD
    with torch.inference_mode():  # also without onload()
        assert torch.equal(model(IDS), reference(IDS))


@pytest.mark.parametrize("mode", MODES)
def test_bfloat16(mode: str) -> None:
    reference = filled(dtype=BF16)
    placements = {key: ("cpu", BF16) if value == HERE else value for key, value in MODES[mode].items()}
    model, weights = managed(reference, policy(("cpu", BF16), **placements))
    weights.onload()
    assert torch.equal(model(IDS), reference(IDS))
    assert model(IDS).dtype == BF16


@pytest.mark.parametrize("stored", [{"onload": ("cpu", FP8), "preparing": ("cpu", FP8)}, {"onload": ("cpu", FP8)}])
@pytest.mark.parametrize("offload", ["disk", ("cpu", BF16)])
def test_stored_in_eight_bits(stored: dict[str, object], offload: object) -> None:
    reference = filled(dtype=BF16)
    rounded = filled(dtype=BF16)
    for tensor in (*rounded.parameters(), *rounded.buffers()):
        if tensor.is_floating_point():
            tensor.copy_(tensor.to(FP8))
    model, weights = managed(reference, policy(("cpu", BF16), offload=offload, **stored))
    for _ in range(2):
        weights.onload()
        assert torch.equal(model(IDS), rounded(IDS))
        assert weights.bytes_moved.within_device > 0
        weights.offload()


def test_offloaded_weights_take_no_memory(reference: nn.Module) -> None:
    model, weights = managed(reference, policy(HERE, offload="disk"))
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    weights.onload()
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    weights.offload()
    assert all(tensor.is_meta for tensor in model.state_dict().values())


def test_nothing_moves_where_nothing_has_to(reference: nn.Module) -> None:
    model, weights = managed(reference, policy(HERE, **MODES["stays"]))
    loaded = copy.copy(weights.bytes_moved)
    before = {key: tensor.data_ptr() for key, tensor in model.state_dict().items()}
    weights.onload()
    model(IDS)
    weights.offload()
    assert {key: tensor.data_ptr() for key, tensor in model.state_dict().items()} == before
    assert weights.bytes_moved == loaded
    assert loaded.from_disk == file_bytes(reference)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_held_weights_are_read_once(reference: nn.Module) -> None:
    model, weights = managed(reference, policy(HERE, offload="disk"))
    weights.onload()
    weights.onload()
    for _ in range(3):
        model(IDS)
    assert weights.bytes_moved.from_disk == file_bytes(reference)


def test_streamed_weights_are_read_in_every_step(reference: nn.Module) -> None:
    model, weights = managed(reference, policy(HERE, **STREAMED))
    weights.onload()
    steps = []
    for _ in range(4):
        before = weights.bytes_moved.from_disk
        model(IDS)
        weights._slots._slots[0].settle()
        steps.append(weights.bytes_moved.from_disk - before)
    # The first block runs twice, and the tied embedding is needed at both ends.
    twice = file_bytes(reference.blocks[0]) + reference.embedding.weight.nbytes
    assert file_bytes(reference) <= steps[2] <= file_bytes(reference) + twice + file_bytes(reference.blocks[1])
    assert steps[2] == steps[3]


def test_the_next_unit_is_read_while_one_computes(reference: nn.Module) -> None:
    source = SlowSource(reference.state_dict())
    model, weights = managed(reference, policy(HERE, **STREAMED), source=source)
    read_within: list[set[str]] = []

    def note(module: nn.Module, args: object, output: Tensor) -> None:
        weights._carrier._thread.submit(int).result()  # until what was started before is done
        read_within.append({key.rpartition(".up.")[0] for key in source.read if ".up." in key})

    for block in model.blocks:
        block.up.register_forward_hook(note)
    model(IDS)
    assert [f"blocks.{number + 1}" in read_within[number] for number in range(3)] == [True] * 3
    assert "blocks.2" not in read_within[0], "one ahead, no more"
    assert all(name.startswith("weights") for name in source.threads)


def test_two_buffers_are_all(reference: nn.Module) -> None:
    model, weights = managed(reference, policy(HERE, **STREAMED))
    addresses = set()
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, _: addresses.add(module.up.weight.untyped_storage().data_ptr()))
    for _ in range(3):
        model(IDS)
    assert len(addresses) == 2
    largest = max(unit.computation_bytes for unit in weights._units if not unit.overlaps)
    assert weights._slots.allocated == 2 * largest
    weights.offload()
    assert weights._slots.allocated == 0


def test_a_limit_keeps_units_where_they_are(reference: nn.Module) -> None:
    model, weights = managed(reference, policy(HERE, offload="disk", onload="disk"), vram_limit=0)
    weights.onload()
    model(IDS)
    assert {unit.state for unit in weights._units} == {State.ONLOAD}
    weights.vram_limit = None
    model(IDS)
    assert {unit.state for unit in weights._units} == {State.PREPARING}
    read = weights.bytes_moved.from_disk
    model(IDS)
    assert weights.bytes_moved.from_disk == read, "a unit stays once it has moved"


class Uneven(nn.Sequential):
    """A large layer among small ones."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 8), nn.Linear(8, 512), nn.Linear(512, 8), nn.Linear(8, 8))


def test_a_slot_grows_for_a_larger_unit() -> None:
    reference = filled(Uneven)
    model, weights = managed(reference, policy(HERE, offload="disk", onload="disk"))
    features = torch.ones(1, 8)
    weights.onload()
    model(features)  # now all of it is held, and the slots that follow are for nothing
    weights.vram_limit = 0
    weights.offload()
    weights.onload()
    for index in (1, 2):
        weights.vram_limit = None
        weights._promoter.start(weights._units[index])
        weights._promoter.finish(weights._units[index])
    weights.vram_limit = 0
    assert torch.equal(model(features), reference(features))
    small = weights._slots.allocated
    weights._slots._slots[0].settle()
    for index in (1, 2):
        weights._units[index].arrive(State.OFFLOAD, None)
    for _ in range(2):
        assert torch.equal(model(features), reference(features))
    assert small < weights._slots.allocated == 2 * weights._units[1].computation_bytes


class Worded(nn.Module):
    """A table that outweighs the blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(4000, 8)
        self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, ids: Tensor) -> Tensor:
        features = self.words(ids)
        for block in self.blocks:
            features = block(features)
        return features


def test_a_unit_that_outweighs_all_others_does_not_make_two_large_slots() -> None:
    reference = filled(Worded)
    model, weights = managed(reference, policy(HERE, **STREAMED))
    for _ in range(2):
        assert torch.equal(model(IDS), reference(IDS))
    assert weights._slots.allocated == 2 * weights._units[1].computation_bytes


class Failing(Network):
    """Fails in the forward of a unit when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks[1].register_forward_pre_hook(self.fail)
        self.error: BaseException | None = None

    def fail(self, module: nn.Module, args: object) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_failed_forward_leaves_it_sound(error: BaseException) -> None:
    reference = filled(Failing)
    model, weights = managed(reference, policy(HERE, **STREAMED))
    weights.onload()
    for _ in range(3):
        model.error = error
        with pytest.raises(type(error)):
            model(IDS)
        model.error = None
        assert torch.equal(model(IDS), reference(IDS))
    weights.onload()
    assert all(unit.depth == 0 for unit in weights._units)
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert torch.equal(model(IDS), reference(IDS))


@pytest.mark.parametrize("mode", ["streamed", "disk, held at its forward"])
def test_a_failed_read_is_raised_at_the_forward_and_leaves_it_sound(reference: nn.Module, mode: str) -> None:
    source = SlowSource(reference.state_dict())
    model, weights = managed(reference, policy(HERE, **MODES[mode]), source=source)
    weights.onload()
    source.failing = "blocks.2"
    with pytest.raises(CheckpointError, match=r"cannot read blocks\.2"):
        model(IDS)
    source.failing = ""
    assert torch.equal(model(IDS), reference(IDS))


def test_a_failed_onload_offloads_again(reference: nn.Module) -> None:
    source = SlowSource(reference.state_dict())
    model, weights = managed(reference, policy(HERE, offload="disk"), source=source)
    source.failing = "blocks.2"
    with pytest.raises(CheckpointError):
        weights.onload()
    assert weights.state is State.OFFLOAD
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    source.failing = ""
    weights.onload()
    assert torch.equal(model(IDS), reference(IDS))


class Odd(nn.Module):
    """Runs blocks within blocks, returns weights, and takes the order it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Nesting() for _ in range(4))

    def forward(self, features: Tensor, order: list[int]) -> Tensor:
        total = features
        given = [self.blocks[index](features, self.blocks[index - 1] if index else None) for index in order]
        for result in given:
            total = total + result["sum"] * result["weight"][0]
        return total


class Nesting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, features: Tensor, other: nn.Module | None) -> dict[str, Tensor]:
        inner = features if other is None else other(features, None)["sum"]
        return {"sum": self.linear(inner), "weight": self.linear.weight[:2]}


def test_units_within_units_in_any_order_and_weights_as_results() -> None:
    reference = filled(Odd)
    model, _weights = managed(reference, policy(HERE, **STREAMED))
    features = torch.randn(2, 4)
    for order in ([0, 1, 2, 3], [3, 3, 1], [2], [1, 0, 1, 0], [3, 2, 1, 0]):
        assert torch.equal(model(features, order), reference(features, order))


def test_gradients_go_through_weights_that_come_and_go(reference: nn.Module) -> None:
    model, _weights = managed(reference, policy(HERE, **STREAMED))
    results = []
    for network in (reference, model):
        features = torch.ones(1, 32, requires_grad=True)
        hidden = features
        for block in network.blocks:
            hidden = block(hidden)
        hidden.sum().backward()
        results.append(features.grad)
    assert torch.equal(*results)


def test_checkpointed_blocks_bring_their_weights_again(reference: nn.Module) -> None:
    from torch.utils.checkpoint import checkpoint

    model, _weights = managed(reference, policy(HERE, **STREAMED))
    results = []
    for network in (reference, model):
        features = torch.ones(1, 32, requires_grad=True)
        hidden = features
        for block in network.blocks:
            hidden = checkpoint(block, hidden, use_reentrant=False)
        hidden.sum().backward()
        results.append(features.grad)
    assert torch.equal(*results)


def test_weights_that_come_and_go_cannot_be_trained(reference: nn.Module) -> None:
    model, _weights = managed(reference, policy(HERE, **STREAMED))
    model.blocks[1].requires_grad_(True)
    with pytest.raises(VramError, match=r"blocks\.1 of Network wants gradients for weights that come and go"):
        model(IDS)
    model.requires_grad_(False)
    assert torch.equal(model(IDS), reference(IDS))


class Additions:
    """A change of a layer's output that is trained, as a hot LoRA is."""

    def __init__(self) -> None:
        self.factor = nn.Parameter(torch.ones(64))

    def __call__(self, module: nn.Module, args: object, output: Tensor) -> Tensor:
        return output * self.factor


def test_a_backward_pass_through_weights_that_have_gone_is_an_error(reference: nn.Module) -> None:
    model, _weights = managed(reference, policy(HERE, **STREAMED))
    addition = Additions()
    model.blocks[0].up.register_forward_hook(addition)  # not seen from outside: no input wants a gradient
    result = model.blocks[0](torch.ones(1, 32))
    for block in model.blocks[1:]:
        block(torch.ones(1, 32))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


@pytest.mark.parametrize("move", [lambda m: m.to("cpu"), lambda m: m.half(), lambda m: m.blocks[0].cpu()])
def test_moving_the_module_is_an_error(reference: nn.Module, move: object) -> None:
    model, _weights = managed(reference, policy(HERE, **STREAMED))
    with pytest.raises(VramError, match="the weights of Network are placed by its vram_config"):
        move(model)
    assert torch.equal(model(IDS), reference(IDS))


@pytest.mark.parametrize("mode", ["streamed", "stays"])
def test_loading_other_values_into_the_module_is_an_error(reference: nn.Module, mode: str) -> None:
    model, _weights = managed(reference, policy(HERE, **MODES[mode]))
    zeros = {key: torch.zeros_like(value) for key, value in reference.state_dict().items()}
    with pytest.raises(VramError, match=r"load_state_dict cannot replace them: name the file with ModelConfig\(path="):
        model.load_state_dict(zeros)
    with pytest.raises(VramError, match="the weights of Network are read as its vram_config says"):
        model.blocks[0].load_state_dict(reference.blocks[0].state_dict(), assign=True)
    assert torch.equal(model(IDS), reference(IDS))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("mode", ["streamed", "stays"])
def test_copying_the_module_is_an_error(reference: nn.Module, duplicate: object, mode: str) -> None:
    model, _weights = managed(reference, policy(HERE, **MODES[mode]))
    with pytest.raises(VramError, match="cannot be copied or pickled"):
        duplicate(model)


def test_missing_weights_and_wrong_shapes(reference: nn.Module) -> None:
    lacking = {key: value for key, value in reference.state_dict().items() if key != "enter.bias"}
    with pytest.raises(CheckpointError, match=r"enter\.bias"):
        managed(reference, policy(HERE, **STREAMED), source=DictSource(lacking))
    wrong = {**reference.state_dict(), "enter.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"enter\.bias.*\(3,\)"):
        managed(reference, policy(HERE, **STREAMED), source=DictSource(wrong))


def test_tied_weights_need_one_key(reference: nn.Module) -> None:
    state_dict = reference.state_dict()
    del state_dict["leave.weight"]
    model, weights = managed(reference, policy(HERE, offload="disk"), source=DictSource(state_dict))
    weights.onload()
    assert torch.equal(model(IDS), reference(IDS))
    assert model.leave.weight is model.embedding.weight


def test_a_compiled_block_is_compiled_once(reference: nn.Module) -> None:
    model, _weights = managed(reference, policy(HERE, **STREAMED))
    torch._dynamo.reset()
    compilations = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        compilations.append(graph)
        return graph.forward

    for block in model.blocks:
        block.forward = torch.compile(block.forward, backend=backend, fullgraph=True)
    for _ in range(3):
        with torch.no_grad():
            assert torch.equal(model(IDS), reference(IDS))
    assert 1 <= len(compilations) <= len(model.blocks), "once, or once for each block"
    torch._dynamo.reset()


@pytest.mark.slow
def test_the_whole_compiled(reference: nn.Module) -> None:
    model, _weights = managed(reference, policy(HERE, **STREAMED))
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    for _ in range(3):
        with torch.no_grad():
            assert torch.equal(compiled(IDS), reference(IDS))
    torch._dynamo.reset()


def test_a_manager_is_forgotten_with_its_model(reference: nn.Module) -> None:
    import gc
    import weakref

    model, weights = managed(reference, policy(HERE, **STREAMED))
    model(IDS)
    forgotten: weakref.ref[ManagedWeights] = weakref.ref(weights)
    del model, weights
    gc.collect()
    assert forgotten() is None
