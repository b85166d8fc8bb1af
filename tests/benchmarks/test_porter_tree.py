"""The tree that the porter's speed is measured on: the same each time, real Python, and with every form to rewrite."""

from __future__ import annotations

import pytest

from benchmarks.porter_tree import EXAMPLES, FORMS, LARGEST, SMALLEST, make_examples, make_tree, statistics
from porter.port import Plan, port_text

COUNT = 40


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("tree"), seed=0, count=COUNT)


@pytest.fixture(scope="module")
def found(tree):
    return statistics(tree)


def read(paths):
    return [path.read_bytes() for path in paths]


def test_the_same_seed_gives_the_same_tree(tree, tmp_path):
    again = make_tree(tmp_path, seed=0, count=COUNT)
    assert [path.relative_to(tmp_path).as_posix() for path in again] == [
        path.relative_to(tree[0].parents[1]).as_posix() for path in tree
    ]
    assert read(again) == read(tree)


def test_another_seed_gives_another_tree(tree, tmp_path):
    assert not set(read(make_tree(tmp_path, seed=1, count=COUNT))) & set(read(tree))


def test_every_script_compiles_and_keeps_to_the_sizes(tree):
    assert len(tree) == len(set(read(tree))) == COUNT
    for path in tree:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        assert SMALLEST <= path.stat().st_size <= LARGEST, path


def test_examples_are_put_together_of_this_repository_s_own(tmp_path):
    paths = make_examples(tmp_path / "one", count=COUNT)
    assert read(paths) == read(make_examples(tmp_path / "other", count=COUNT))
    assert len(set(read(paths))) == COUNT
    for path in paths:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        assert EXAMPLES[0] <= path.stat().st_size <= EXAMPLES[1], path
        assert b"cuda" in path.read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_to_rewrite_is_there(found, form):
    assert found.forms[form] > 0


def test_the_tree_of_the_benchmark_holds_enough_distinct_statements(tmp_path):
    found = statistics(make_tree(tmp_path))
    assert found.files == 700
    assert len(found.statements) >= 300


def test_the_porter_rewrites_every_form(tree, tmp_path):
    """But for comparisons and defaults in a script that knows the target already."""
    ported = []
    for number, path in enumerate(tree):
        text = path.read_text(encoding="utf-8-sig")
        if '"npu"' not in text:
            ported.append(tmp_path / f"{number}.py")
            ported[-1].write_text(port_text(text, Plan("npu")).text, encoding="utf-8")
    assert len(ported) > COUNT / 2
    assert statistics(ported).statements == set()
