"""What is printed, made comparable: between devices, folders and times."""

from __future__ import annotations

import logging

import pytest

from script_trial.printed import Printed, comparable, figures


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("saved to /tmp/a/x.pt", "saved to /tmp/other/y.pt"),
        ("epoch 1 took 3.21s", "epoch 1 took 0.4s"),
        ("[2026-11-29 01:02:03,456] start", "[2025-01-01 11:12:13,001] start"),
        ("using cuda:0", "using npu:0"),
        ("tensor([1, 2],\n       device='npu:0', grad_fn=<A>)", "tensor([1, 2], grad_fn=<A>)"),
        ("<Net object at 0x7f0012345678>", "<Net object at 0x7fbbbbbbbbbb>"),
        ("step 3 loss 0.5 (12.3 it/s)", "step 3 loss 0.5 (0.3 it/s)"),
        ("peak memory: 12.5", "peak memory: 0.0"),
        ("{'loss': 0.5, 'train_runtime': 3.5}", "{'loss': 0.5, 'train_runtime': 4.5}"),
        ("  1%\r 50%\rdone", "done"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\n\nb\n", "a\nb"),
        ("lr 0.5 | ms/batch 12.34 | loss", "lr 0.5 | ms/batch 0.25 | loss"),
        ("step 0 | ms 144.4 | ppl 3.5", "step 0 | ms 9.1 | ppl 3.5"),
        ("max allocated 1.5 GiB, 33 ms", "max allocated 7 GiB, 1.25 ms"),
    ],
)
def test_what_does_not_count(one: str, other: str) -> None:
    assert comparable(one) == comparable(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("loss 0.6931", "loss 0.6930"),
        ("epoch 1", "epoch 2"),
        ("a cat", "a dog"),
        ("ratio 1/3.5", "ratio 1/3.4"),
        ("rms 1.5", "rms 1.4"),
    ],
)
def test_what_counts(one: str, other: str) -> None:
    assert comparable(one) != comparable(other)


def test_figures_have_a_point_or_an_exponent() -> None:
    lines = ["epoch 3", "loss: 0.5, lr=1e-4", "step 7/10 acc -1.25 nan", "v1.2.3 of it", "tensor(3.)"]
    assert [one["figures"] for one in figures(lines)] == [["0.5", "1e-4"], ["-1.25", "nan"], ["3."]]
    assert figures(lines)[0]["says"] == "loss: #, lr=#"


def test_the_script_own_log_is_kept_and_its_settings_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(__file__)
    with printed.listening():
        print("loss", 0.5)
        logging.getLogger("mine").warning("accuracy %s", 0.25)
        assert not logging.getLogger("another").handlers
    print("later")
    assert printed.comparable() == ["loss 0.5", "accuracy 0.25"]
    assert capsys.readouterr().out == "loss 0.5\nlater\n"
