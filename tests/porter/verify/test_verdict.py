"""What makes a script pass, and how it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from porter.verify import table
from porter.verify.outcome import Outcome, Row
from porter.verify.placement import worth_knowing
from porter.verify.scripts import Script
from porter.verify.verdict import notes, problems
from porter.verify.ways import emulated_ways

WAYS = emulated_ways(None, None)
NO_WEIGHTS = {"failed": "", "words": "", "weights": 0.0, "where": "", "unlike": ""}


def apart(largest: float, mean: float, share: float, pictures: bool = True, relative: float = 0.0) -> dict[str, Any]:
    frames = {"largest": largest, "mean": mean, "share": share, "pictures": pictures, "relative": relative}
    return {"frames": {**frames, "levels": mean if pictures else 0.0}, **NO_WEIGHTS}


LITTLE, MUCH = apart(3.0, 0.25, 0.125), apart(200.0, 31.0, 1.0)


def network(device: str, **changes: Any) -> dict[str, Any]:
    computed = {device: {"operations": 1200, "bytes": 3 * 2**20}}
    whole = {"named": True, "calls": 2, "devices": [device], "computed": computed, "moved": {}, "host_data": {}}
    return whole | changes


def outcome(device: str, **changes: Any) -> Outcome:
    frames = {"name": "a.mp4", "kind": "array", "shape": [5, 32, 48, 3], "dtype": "uint8"}
    saved = [{**frames, "digest": "d", "finite": True, "array": "a.npy"}]
    whole = Outcome(
        seconds=1.25,
        saved=saved,
        networks={"dit": network(device)},
        operators={device: {"aten.mm": 1200}},
        peak_memory=None if device == "cpu" else 10 * 2**20,
    )
    return replace(whole, **changes)


def other_frames(device: str) -> Outcome:
    (saved,) = outcome(device).saved
    return outcome(device, saved=[saved | {"digest": "e"}])


def outcomes(**changed: Outcome) -> dict[str, Outcome]:
    return {way.name: changed.get(way.name, outcome(way.device)) for way in WAYS}


def found(differences: dict[str, Any] | None = None, exact: bool = True, **changed: Outcome) -> list[str]:
    return problems(WAYS, outcomes(**changed), differences or {}, exact)


def test_the_same_everywhere_passes() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"host_data": {"aten.mm": 3, "aten.add": 1}}, "dit computed on the CPU: 4 operations (aten.mm 3, aten.add 1)"),
        ({"devices": ["cpu"], "computed": {}}, "dit took or gave tensors on cpu"),
        ({"computed": {}}, "dit computed nothing on npu"),
    ],
)
def test_networks_belong_on_the_npu(changes: dict[str, Any], problem: str) -> None:
    changed = outcome("npu", networks={"dit": network("npu", **changes)})
    assert f"ported: {problem}" in found(ported=changed)
    assert f"unedited, redirected: {problem}" in found(redirected=changed)


def test_a_network_that_the_reference_calls_has_to_be_called() -> None:
    assert found(ported=outcome("npu", networks={})) == ["ported: dit was not called"]
    assert found(cpu=outcome("cpu", networks={})) == []


def test_a_network_may_take_tensors_of_the_host_and_move_them() -> None:
    assert found(ported=outcome("npu", networks={"dit": network("npu", devices=["cpu", "npu"])})) == []


def test_what_a_program_brings_along_is_where_it_is_in_both_ways_on_the_npu() -> None:
    judge = {"Judge": network("cpu", named=False), "dit": network("npu")}
    assert found(redirected=outcome("npu", networks=judge), ported=outcome("npu", networks=judge)) == []
    on_npu = {**judge, "Judge": network("npu", named=False)}
    assert found(redirected=outcome("npu", networks=on_npu), ported=outcome("npu", networks=judge)) == [
        "ported: Judge computed nothing on npu"
    ]


def test_a_program_that_computes_nothing_on_the_npu_fails() -> None:
    assert "ported: nothing was computed on npu" in found(ported=outcome("npu", operators={"cpu": {"aten.mm": 1}}))
    nothing = {way.name: outcome(way.device, operators={}) for way in WAYS}
    assert "unedited, redirected and ported: it computed nothing" in found(**nothing)


def test_operators_that_one_way_leaves_to_the_host_are_named() -> None:
    elsewhere = outcome("npu", operators={"npu": {"aten.mm": 1190}, "cpu": {"aten.mm": 10, "aten.sort": 3}})
    assert found(ported=elsewhere) == [
        "ported: computed on the CPU what the other way computes on npu: 10 operations (aten.mm 10)"
    ]


@pytest.mark.parametrize(
    ("expected", "printed", "problem"),
    [
        (["loss 0.6931"], ["loss 0.6930"], "printed 'loss 0.6930' where the reference printed 'loss 0.6931'"),
        (["loss 0.5", "loss 0.4"], ["loss 0.5"], "printed 1 lines with figures where the reference printed 2"),
        (["done"], ["done"], ""),
        (["epoch 1 of 2", "loss 0.5"], ["epoch 1 of 3", "loss 0.5"], ""),
    ],
)
def test_figures_have_to_be_the_same_to_the_last_digit(expected: list[str], printed: list[str], problem: str) -> None:
    everywhere = {way.name: outcome(way.device, printed=[expected]) for way in WAYS}
    assert found(**{**everywhere, "ported": outcome("npu", printed=[printed])}) == (
        [f"ported: {problem}"] if problem else []
    )


def test_what_is_printed_in_words_counts_where_there_is_nothing_else() -> None:
    said = {way.name: outcome(way.device, saved=[], printed=[["a cat"]]) for way in WAYS}
    assert found(**said) == []
    said["ported"] = outcome("npu", saved=[], printed=[["a dog"]])
    assert found(**said) == ["ported: printed 'a dog' where the reference printed 'a cat'"]
    silent = {way.name: outcome(way.device, saved=[]) for way in WAYS}
    assert found(**silent) == ["every way: nothing was saved and nothing printed"]


def test_nan_and_infinity_are_no_results() -> None:
    (saved,) = outcome("cpu").saved
    bad = {way.name: outcome(way.device, saved=[saved | {"finite": False}], printed=[["loss nan"]]) for way in WAYS}
    assert found(**bad) == [
        "every way: saved NaN or infinity in a.mp4",
        "every way: printed NaN or infinity: 'loss nan'",
    ]


def test_what_is_refused_fails_even_where_it_was_only_warned_of() -> None:
    assert found(ported=outcome("npu", refused=["index on complex64"])) == [
        "ported: the device refuses index on complex64"
    ]


def test_other_frames_fail_where_results_are_exact() -> None:
    assert found({"ported": LITTLE}, ported=other_frames("npu")) == [
        "ported: saved other frames than the reference (12.5% of the values differ, by up to 3 levels, 0.25 on average)"
    ]


def test_arrays_that_are_no_pictures_have_no_levels() -> None:
    assert found({"ported": apart(3.0, 0.25, 0.125, pictures=False)}, ported=other_frames("npu")) == [
        "ported: saved other arrays than the reference (12.5% of the values differ, by up to 3, 0.25 on average)"
    ]


def test_on_a_card_rounding_is_tolerated_and_other_frames_are_not() -> None:
    assert found({"ported": LITTLE}, exact=False, ported=other_frames("npu")) == []
    (problem,) = found({"ported": MUCH}, exact=False, ported=other_frames("npu"))
    assert problem.startswith("ported: saved other frames than the reference (100.0%")
    assert found({"ported": apart(0.3, 0.1, 1.0, False, 0.015)}, exact=False, ported=other_frames("npu")) == []
    (problem,) = found({"ported": apart(0.3, 0.1, 1.0, False, 0.1)}, exact=False, ported=other_frames("npu"))
    assert problem.startswith("ported: saved other arrays than the reference (100.0%")


def test_arrays_of_other_types_and_words_fail() -> None:
    wide = replace(other_frames("npu"), saved=[{**other_frames("npu").saved[0], "dtype": "float64"}])
    same = apart(0.0, 0.0, 0.0)
    assert found({"ported": same}, ported=wide) == ["ported: saved float64 where the reference saved uint8"]
    assert found({"ported": {**same, "words": "names.npy"}}, ported=other_frames("npu")) == [
        "ported: saved other words than the reference in names.npy"
    ]


def row(differences: dict[str, Any] | None = None, exact: bool = True, **changed: Outcome) -> Row:
    there = outcomes(**changed)
    return Row(Script("a.py", None), WAYS, there, differences or {}, problems(WAYS, there, differences or {}, exact))


def test_what_several_ways_have_in_common_is_said_once() -> None:
    stopped = outcome("npu", error="KeyError: 'x'", line=3)
    assert found(redirected=stopped, ported=stopped) == ["unedited, redirected and ported: line 3: KeyError: 'x'"]
    assert found(cpu=stopped, redirected=stopped, ported=stopped) == ["every way: line 3: KeyError: 'x'"]


def test_the_table() -> None:
    failed = outcome("npu", error="KeyError: 'x'", line=3, saved=[], refused=["index on complex64"])
    shown = table.render([row(), row(ported=failed, redirected=outcome("npu", on_host=["isin"]))], True, False)
    lines = shown.splitlines()
    assert lines[1].split() == "a.py 3/3 yes 10.0 MiB 1,200 (3.0 MiB) 0 0 3.8 passed".split()
    assert lines[2].split() == "a.py 2/3 - 10.0 MiB 1,200 (3.0 MiB) 0 1 3.8 FAILED".split()
    assert lines[3] == "    ported: line 3: KeyError: 'x'"
    assert lines[4] == "    note: the device leaves isin to the host's processor"
    assert lines[-1] == "1 script passed, 1 failed"


def test_the_table_of_a_card_says_how_close() -> None:
    shown = table.render([row({"ported": LITTLE}, False, ported=other_frames("npu"))], False, False)
    assert shown.splitlines()[1].split()[2] == "close"
    assert "    note: ported: 12.5% of the values differ, by up to 3 levels, 0.25 on average\n" in shown


def test_failed_rows_are_red() -> None:
    shown = table.render([row(), row(ported=outcome("npu", error="no", saved=[]))], True, True)
    passed, failed = shown.splitlines()[1:3]
    assert "\x1b" not in passed
    assert failed.startswith("\x1b[31m")


@pytest.mark.parametrize(("amount", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**33, "8.0 GiB")])
def test_amounts(amount: int, shown: str) -> None:
    assert table.bytes_told(amount) == shown


def test_a_number_read_on_the_host_is_no_computing_that_is_worth_a_note() -> None:
    here = Outcome(operators={"npu": {"aten.mm": 1}, "cpu": {"aten._local_scalar_dense": 9, "aten.neg": 2}})
    there = Outcome(operators={"npu": {"aten.mm": 1}, "cpu": {}})
    assert list(worth_knowing("npu", here, there)) == [
        "2 operations on the CPU that the other way has not (aten.neg 2)"
    ]


def test_random_numbers_of_a_card_are_named_as_what_may_be_the_reason() -> None:
    drawn = replace(
        other_frames("npu"), operators={"npu": {"aten.mm": 1200, "aten.normal_": 3, "aten.native_dropout": 1}}
    )
    told = notes(WAYS, outcomes(ported=drawn), {"ported": MUCH}, exact=False)
    assert told == [
        "ported: it drew random numbers on npu (aten.native_dropout, aten.normal_), which come from another generator "
        "than the reference's: if that is all that differs, draw them on the CPU and move them, or give them a "
        "torch.Generator that is seeded right before (DP206)"
    ]
    assert notes(WAYS, outcomes(ported=drawn), {"ported": LITTLE}, exact=False) == []
    assert notes(WAYS, outcomes(ported=drawn), {"ported": MUCH}) == []
