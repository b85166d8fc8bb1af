"""Threads make syntax trees at the same time."""

import ast
import gc
import threading
import time
from collections.abc import Iterator

import pytest

from porter.syntax_tree import syntax_tree

SOURCE = "x = [1, 2, (3, 4), {5: 6}]\n" * 150


@pytest.fixture
def letting_others_in() -> Iterator[None]:
    """The garbage collector comes often, and lets another thread run each time, as a finalizer may."""

    def wait(*_: object) -> None:
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(wait)
    gc.set_threshold(5)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(wait)


@pytest.mark.usefixtures("letting_others_in")
def test_threads_do_not_count_each_others_depth() -> None:
    errors: list[BaseException] = []
    trees: list[ast.Module] = []

    def work(depth: int) -> None:
        if depth:
            work(depth - 1)
            return
        for _ in range(6):
            try:
                trees.append(syntax_tree(SOURCE))
            except SystemError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(depth,)) for depth in (0, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [len(tree.body) for tree in trees] == [150] * 12
