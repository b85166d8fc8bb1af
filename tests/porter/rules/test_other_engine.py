"""DP210: the device of an engine that is not torch."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import check_noop, check_reported, check_transformed

CODE = "DP210"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('import xgboost\nxgboost.XGBClassifier(device="cuda")', id="xgboost"),
        pytest.param('import torch_tensorrt\ntorch_tensorrt.Device("cuda:0")', id="tensorrt"),
        pytest.param('import xgboost as xgb\nm = xgb.XGBClassifier()\nm.set_params(device="cuda")', id="of-an-object"),
        pytest.param('import xgboost as xgb\np = {"device": "cuda"}\nxgb.train(p, data)', id="in-a-dictionary"),
        pytest.param('import xgboost as xgb\np = {"device": "cuda"}\nxgb.XGBClassifier(**p)', id="by-two-stars"),
        pytest.param('import jax\njax.devices("cuda")', id="jax"),
        pytest.param('from faster_whisper import WhisperModel\nWhisperModel("base", device="cuda")', id="whisper"),
        pytest.param('WhisperModel("base", device="cuda")', id="whisper-without-its-import"),
        pytest.param('import ctranslate2\nctranslate2.Translator(p, device="cuda")', id="ctranslate2"),
    ],
)
def test_another_engine_is_an_error_and_stays(text: str) -> None:
    check_reported(text, CODE, "error")


@pytest.mark.parametrize("label", ["attn_backend", "attention_backend", "compile_backend", "kernel_backend"])
def test_the_backend_of_something_else(label: str) -> None:
    check_reported(f'f({label}="cuda")', CODE, "warning")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param('import torch\nmodel.to("cuda")', 'import torch\nmodel.to("npu")', id="torch"),
        pytest.param(
            'import xgboost\nmodel.to(device="cuda")', 'import xgboost\nmodel.to(device="npu")', id="torch-beside-it"
        ),
        pytest.param(
            'import jax\np = {"device": "cuda"}\nf(**p)',
            'import jax\np = {"device": "npu"}\nf(**p)',
            id="not-handed-to-it",
        ),
        pytest.param('f(device_backend="cuda")', 'f(device_backend="npu")', id="the-device's-own-backend"),
        pytest.param('f(whisper_device="cuda")', 'f(whisper_device="npu")', id="an-engine-in-a-label"),
    ],
)
def test_what_torch_gets_is_ported(before: str, after: str) -> None:
    check_transformed(before, after)


def test_other_devices_of_other_engines() -> None:
    check_noop('import xgboost\nxgboost.XGBClassifier(device="cpu")')
