"""Every spelling of yes and no, and what beats what."""

from __future__ import annotations

import pytest

from diffsynth.core.loader import environment


@pytest.mark.parametrize("value", ["1", "true", "True", "YES", "on", " on "])
def test_yes(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", value)
    assert environment.skip_download(None) is True
    assert environment.skip_download(False) is False


@pytest.mark.parametrize("value", ["0", "false", "FALSE", "no", "Off", ""])
def test_no(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", value)
    assert environment.skip_download(None) is False
    assert environment.skip_download(True) is True


def test_neither_yes_nor_no_names_the_variable_and_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSYNTH_SKIP_DOWNLOAD", "maybe")
    with pytest.raises(ValueError, match="DIFFSYNTH_SKIP_DOWNLOAD is 'maybe': expected one of 1, true, yes, on"):
        environment.skip_download(None)
    with pytest.raises(ValueError, match="skip_download is 'maybe'"):
        environment.skip_download("maybe")


def test_the_caller_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSYNTH_MODEL_BASE_PATH", "/from/environment")
    monkeypatch.setenv("DIFFSYNTH_DOWNLOAD_SOURCE", "HuggingFace")
    assert environment.model_base_path(None) == "/from/environment"
    assert environment.model_base_path("/from/caller") == "/from/caller"
    assert environment.download_source(None) == "huggingface"
    assert environment.download_source("ModelScope") == "modelscope"


def test_without_anything_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (environment.MODEL_BASE_PATH, environment.SKIP_DOWNLOAD, environment.DOWNLOAD_SOURCE):
        monkeypatch.delenv(name, raising=False)
    assert environment.model_base_path(None) == "./models"
    assert environment.download_source(None) == "modelscope"
    assert environment.skip_download(None) is False


def test_an_unknown_source_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSYNTH_DOWNLOAD_SOURCE", "gitee")
    with pytest.raises(ValueError, match="DIFFSYNTH_DOWNLOAD_SOURCE is 'gitee': expected modelscope or huggingface"):
        environment.download_source(None)
