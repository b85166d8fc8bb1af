"""What is made before a fork for scripts that come after."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from script_trial.stock import Stock


def lists(**settings: bool) -> Stock[str, list[str]]:
    return Stock("lists", lambda key: [key, "by the script"], lambda key: [key, "before"], **settings)


def test_a_script_makes_what_nobody_has_needed_before(tmp_path: Path) -> None:
    assert lists().take("a", tmp_path) == ["a", "by the script"]


def test_what_a_script_has_needed_is_made_for_the_next_one(tmp_path: Path) -> None:
    lists().take("a", tmp_path)
    forking = lists()
    forking.fill(tmp_path)
    assert forking.take("a", tmp_path) == ["a", "before"]
    assert forking.take("b", tmp_path) == ["b", "by the script"]


def test_each_is_taken_by_one_and_as_many_are_made_as_one_script_needs(tmp_path: Path) -> None:
    script = lists()
    script.take("a", tmp_path), script.take("a", tmp_path)
    forking = lists()
    forking.fill(tmp_path)
    forking.fill(tmp_path)
    first, second, third = (forking.take("a", tmp_path) for _ in range(3))
    assert first is not second
    assert [first[1], second[1], third[1]] == ["before", "before", "by the script"]


def test_one_that_needs_more_than_is_there_has_them_made_for_the_next_one(tmp_path: Path) -> None:
    lists().take("a", tmp_path)
    script, forking = lists(), lists()
    script.fill(tmp_path)
    script.take("a", tmp_path), script.take("a", tmp_path)
    forking.fill(tmp_path)
    assert [forking.take("a", tmp_path)[1] for _ in range(3)] == ["before", "before", "by the script"]


def test_threads_take_one_each(tmp_path: Path) -> None:
    script = lists()
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: script.take("a", tmp_path), range(32)))
    assert len({id(one) for one in taken}) == 32
    assert len(list(tmp_path.glob(".stock-lists/*"))) == 32


def test_what_is_shared_is_made_once_in_a_script(tmp_path: Path) -> None:
    script = lists(is_shared=True)
    assert script.take("a", tmp_path) is script.take("a", tmp_path)
    assert len(list(tmp_path.glob(".stock-lists/*"))) == 1


def test_a_key_of_the_script_is_nothing_that_others_are_told_of(tmp_path: Path) -> None:
    class Own:
        pass

    made = Stock("objects", lambda key: [key], lambda key: [key])
    key = Own()
    assert made.take(key, tmp_path) == [key]
    made.fill(tmp_path)


def test_a_note_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    lists().take("a", tmp_path)
    (tmp_path / ".stock-lists" / "0-0").write_bytes(b"no pickle")
    forking = lists()
    forking.fill(tmp_path)
    assert forking.take("a", tmp_path) == ["a", "before"]


def test_what_is_shared_is_the_same_for_all(tmp_path: Path) -> None:
    lists(is_shared=True).take("a", tmp_path)
    forking = lists(is_shared=True)
    forking.fill(tmp_path)
    assert forking.take("a", tmp_path) is forking.take("a", tmp_path)


def test_what_cannot_be_made_before_is_left_to_the_script(tmp_path: Path) -> None:
    def refuse(key: str) -> list[str]:
        raise ValueError(key)

    lists().take("a", tmp_path)
    forking = Stock("lists", lambda key: [key, "by the script"], refuse)
    forking.fill(tmp_path)
    assert forking.take("a", tmp_path) == ["a", "by the script"]


def test_a_folder_without_notes_fills_nothing(tmp_path: Path) -> None:
    forking = lists()
    forking.fill(tmp_path / "none")
    assert forking.take("a", tmp_path) == ["a", "by the script"]


def test_notes_of_several_scripts_are_one(tmp_path: Path) -> None:
    for _ in range(2):
        lists().take("a", tmp_path)
    forking = lists()
    forking.fill(tmp_path)
    forking.take("a", tmp_path)
    assert forking.take("a", tmp_path)[1] == "by the script"
