"""The patcher: records what was there, all or nothing, undone in reverse order."""

from __future__ import annotations

import types

import pytest

from npu_compat.patcher import ABSENT, Attribute, Cache, Entry, Member, Patcher


class Base:
    inherited = "base"


class Derived(Base):
    own = "own"


def test_own_inherited_and_new_attributes_come_back():
    before = dict(vars(Derived))
    patcher = Patcher()
    patcher.apply([Attribute(Derived, name, 1, name) for name in ("own", "inherited", "new")])
    assert (Derived.own, Derived.inherited, Derived.new) == (1, 1, 1)
    patcher.undo()
    assert dict(vars(Derived)) == before
    assert Derived.inherited == "base"


def test_staticmethods_come_back_as_they_were():
    class Made:
        __new__ = staticmethod(lambda cls: 1)

    kept = vars(Made)["__new__"]
    patcher = Patcher()
    patcher.apply([Attribute(Made, "__new__", staticmethod(lambda cls: 2), "new")])
    assert Made() == 2
    patcher.undo()
    assert vars(Made)["__new__"] is kept


def test_the_same_name_twice_is_undone_in_reverse():
    module = types.ModuleType("module")
    module.value = 0
    patcher = Patcher()
    patcher.apply([Attribute(module, "value", 1, "first"), Attribute(module, "value", 2, "second")])
    assert module.value == 2
    assert patcher.labels == ["first", "second"]
    patcher.undo()
    assert module.value == 0
    assert patcher.labels == []


def test_entries_and_members():
    table, members = {"kept": 1, "gone": 2}, [1]
    patcher = Patcher()
    patcher.apply([Entry(table, "kept", 9, ""), Entry(table, "gone", ABSENT, ""), Entry(table, "new", 3, "")])
    patcher.apply([Member(members, 0, "")])
    assert table == {"kept": 9, "new": 3}
    members.append(2)
    patcher.undo()
    assert table == {"kept": 1, "gone": 2}
    assert members == [1, 2]


def test_a_failure_takes_back_what_was_done_before():
    module = types.ModuleType("module")
    module.value = 0
    patcher = Patcher()
    with pytest.raises(TypeError):
        patcher.apply([Attribute(module, "value", 1, ""), Attribute(object, "value", 1, "")])
    assert module.value == 0
    assert patcher.labels == []


def test_what_was_replaced_by_others_is_kept():
    module, table, members = types.ModuleType("module"), {"key": 0, "gone": 0}, []
    module.value = 0
    patcher = Patcher()
    patcher.apply([Attribute(module, "value", 1, "inner"), Attribute(module, "value", 2, "outer")])
    patcher.apply([Entry(table, "key", 1, "key"), Entry(table, "gone", ABSENT, "gone"), Member(members, 1, "member")])
    assert patcher.replaced_by_others() == []
    module.value, table["key"], table["gone"] = 3, 3, 3
    members.clear()
    assert patcher.replaced_by_others() == ["outer", "key", "gone", "member"]
    assert patcher.undo() == (["member", "gone", "key", "outer", "inner"], {})
    assert (module.value, table, members) == (3, {"key": 3, "gone": 3}, [])


def test_undo_goes_on_past_a_step_that_fails():
    class Locked(types.ModuleType):
        def __setattr__(self, name, value):
            raise RuntimeError("locked")

    module, locked = types.ModuleType("module"), types.ModuleType("locked")
    module.value = locked.value = 0
    patcher = Patcher()
    patcher.apply([Attribute(module, "value", 1, "first"), Attribute(locked, "value", 1, "second")])
    locked.__class__ = Locked
    assert patcher.undo() == ([], {"second": "RuntimeError: locked"})
    assert module.value == 0
    assert patcher.labels == []


def test_a_failure_leaves_what_was_applied_earlier():
    module = types.ModuleType("module")
    patcher = Patcher()
    patcher.apply([Attribute(module, "kept", 1, "kept")])
    with pytest.raises(TypeError):
        patcher.apply([Attribute(module, "value", 1, ""), Attribute(object, "value", 1, "")])
    assert patcher.labels == ["kept"]
    assert not hasattr(module, "value")


def test_a_cache_that_its_owner_fills_is_emptied():
    module = types.ModuleType("module")
    module.table = {}
    patcher = Patcher()
    patcher.apply([Cache(module, "table", "")])
    module.table = {"with": "replacements"}
    assert patcher.replaced_by_others() == []
    patcher.undo()
    assert module.table is None
