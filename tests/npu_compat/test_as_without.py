"""What is looked up, pickled or inspected by function answers with the redirect as it does without it."""

from __future__ import annotations

import inspect
import pickle
import typing

import pytest
import torch

import npu_compat
from npu_compat.surface import find, read_surface

METHODS = {f"torch.Tensor.{name}" for name in read_surface()["methods"]}


def replaced(report):
    """Owner and name of everything callable that was replaced under its own name."""
    places = {}
    for label in report.redirected:
        place = find(label)
        if place is not None and callable(getattr(*place)):
            places[label] = place
    return places


def outcome(ask, value):
    try:
        return ask(value)
    except Exception as error:
        return type(error)


def test_pickled_as_what_it_is_found_under(redirect_anywhere):
    places = replaced(redirect_anywhere)
    assert len(places) > 200
    found = {label: getattr(*place) for label, place in places.items()}
    found |= {f"torch.{name}": getattr(torch, name) for name in read_surface()["factories"]}
    unlike = {}
    for label, value in found.items():
        again = outcome(lambda value: pickle.loads(pickle.dumps(value)), value)
        if again is not value:
            unlike[label] = again
    assert unlike == {}


@pytest.mark.parametrize("ask", [typing.get_type_hints, inspect.getfullargspec, inspect.signature])
def test_inspected_as_without(redirect_anywhere, ask):
    labels = [f"torch.{name}" for name in read_surface()["factories"]]
    labels += [path for path in read_surface()["functions"] if find(path) and not path.startswith("torch.accelerator")]
    labels += ["torch.device", "torch.Generator", "torch.is_autocast_enabled", "torch.nn.DataParallel.__init__"]
    labels += METHODS
    with_it = {label: outcome(ask, getattr(*find(label))) for label in labels if find(label)}
    for _ in range(2):  # once each: the fixture's own and this test's
        npu_compat.deactivate()
    without = {label: outcome(ask, getattr(*find(label))) for label in with_it}
    npu_compat.activate()
    unlike = {label for label in with_it if with_it[label] != without[label]}
    # These are decorated: what getfullargspec tells of them is their decorator's.
    decorated = {"torch.random.fork_rng", "torch.get_device_module"} if ask is inspect.getfullargspec else set()
    assert unlike - decorated == set()


def test_the_accelerators_functions_can_be_inspected(redirect_anywhere):
    assert "device" in inspect.getfullargspec(torch.cuda.synchronize).args


def implements(table):
    class Marked(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function in table:
                return table[function](*args, **(kwargs or {}))
            return super().__torch_function__(function, types, args, kwargs)

    return Marked


def test_a_table_behind_torch_function(redirect_anywhere):
    handled = {torch.zeros_like: lambda value: "handled", torch.Tensor.new_zeros: lambda value, size: "handled too"}
    marked = torch.ones(2).as_subclass(implements(handled))
    assert torch.zeros_like(marked) == "handled"
    assert marked.new_zeros(2) == "handled too"
    assert torch.ones_like(marked).tolist() == [1, 1]


@pytest.fixture
def made_before():
    return {torch.zeros_like: lambda value: "handled"}


def test_a_table_made_before_the_redirect(made_before, redirect_anywhere):
    assert torch.zeros_like(torch.ones(2).as_subclass(implements(made_before))) == "handled"
    assert torch.zeros_like in made_before


def test_as_an_attribute_of_a_class_it_is_not_bound(redirect_anywhere):
    class Layer:
        make = torch.zeros_like

    assert Layer().make(torch.ones(3)).tolist() == [0, 0, 0]


def test_the_default_backends_key_of_the_machine(redirect_anywhere):
    """It asks for what is behind torch.cuda, whatever device it compiles for."""
    codecache = pytest.importorskip("torch._inductor.codecache")
    codecache.CacheBase.get_system.__wrapped__.cache_clear()
    assert set(codecache.CacheBase.get_system()) >= {"hash"}


@pytest.mark.slow
def test_compiled_by_the_default_backend_on_the_host(emulated, run_python, tmp_path):
    program = """
import npu_compat, torch
@torch.compile
def total(value):
    return (value * 2).sum()
print(float(total(torch.ones(6))))
"""
    done = run_python("-c", program, env={**emulated, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}, timeout=500)
    assert done.stdout.split() == ["12.0"], done.stderr
