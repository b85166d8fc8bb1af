"""Long work says how far it is where nobody watches, in whole lines; short work says nothing there."""

from diffsynth.core import progress
from diffsynth.core.progress import ALineNowAndThen, labelled, progress_bar


def test_short_work_is_silent_in_a_file(capsys):
    assert list(progress_bar(range(100), desc="loading")) == list(range(100))
    assert capsys.readouterr().err == ""


def test_long_work_writes_lines(capsys, monkeypatch):
    monkeypatch.setattr(ALineNowAndThen, "seconds_between_lines", 0.0)
    assert list(labelled(progress_bar, "denoising")(range(3))) == [0, 1, 2]
    written = capsys.readouterr().err
    lines = written.splitlines()
    assert lines
    assert all(line.startswith("denoising: ") and " of 3 it, 00:00 gone, " in line for line in lines)
    assert lines[-1].startswith("denoising: 3 of 3")
    assert "\r" not in written


def test_a_total_that_nobody_knows(capsys, monkeypatch):
    monkeypatch.setattr(ALineNowAndThen, "seconds_between_lines", 0.0)
    assert list(progress_bar(iter("ab"), desc="reading")) == ["a", "b"]
    assert capsys.readouterr().err.splitlines()[-1].startswith("reading: 2 of ?")


def test_one_rank_speaks_for_all(capsys, monkeypatch):
    monkeypatch.setattr(ALineNowAndThen, "seconds_between_lines", 0.0)
    monkeypatch.setattr(progress, "is_main_rank", lambda: False)
    assert list(progress_bar(range(3), desc="loading")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
