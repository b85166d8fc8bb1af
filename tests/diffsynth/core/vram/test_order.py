"""Which unit comes next."""

from __future__ import annotations

from diffsynth.core.vram.managed import ForwardOrder


def test_as_registered_at_first_in_a_circle() -> None:
    order = ForwardOrder(["a", "b", "c"])
    assert list(order.after("a")) == ["b", "c"]
    assert list(order.after("c")) == ["a", "b"]


def test_as_it_was_the_last_time() -> None:
    order = ForwardOrder(["a", "b", "c", "d"])
    for _ in range(2):
        for unit in "dbba":
            order.runs(unit)
    assert list(order.after("d")) == ["b", "a"]
    assert next(order.after("a")) == "d"
    assert next(order.after("c")) == "d", "what never ran stays as registered"


def test_one_unit_and_none() -> None:
    assert list(ForwardOrder(["a"]).after("a")) == []
    ForwardOrder([])
