"""
# DP210 other-engine: the device of an engine that is not torch

## What it does

Reports `"cuda"` where another engine than torch gets it: XGBoost, LightGBM, CatBoost, JAX, CTranslate2, faster-whisper,
Open3D and the like; and where it names the backend of an attention kernel or a compiler (`attn_backend="cuda"`). It is
left as it is.

## Why

Each engine knows its own devices: XGBoost raises on `device="npu"`, JAX has no such platform, and CTranslate2 has
kernels for the CPU and CUDA only (their documentation of devices).

## Before

    from faster_whisper import WhisperModel
    model = WhisperModel("base", device="cuda")

## What to write instead

    from faster_whisper import WhisperModel
    model = WhisperModel("base", device="cpu")
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.engines import BY_NAME, ENGINES, engine_of
from porter.literals import device_literal
from porter.places import place_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit
from porter.vocabulary import is_another_backend


def _words(translation: Translation) -> frozenset[str]:
    return frozenset({translation.old.name})


#: What the backends of something else are usually called.
_BACKENDS = tuple(
    f"{what}_backend"
    for what in "attn attention compile compiler dynamo kernel quant quantization sampler sampling video image".split()
)

RULE = Rule(
    "DP210",
    "other-engine",
    __doc__,
    words=_words,
    fixes=False,
    beside=(*ENGINES, *BY_NAME, *_BACKENDS),
)


@RULE.on(ast.Constant, ast.JoinedStr)
def report_the_device_of_another_engine(node: ast.expr, unit: Unit) -> Iterator[Found]:
    literal = device_literal(node, unit.translation)
    if literal is None:
        return
    if engine := engine_of(node, unit):
        message = f"{ENGINES[engine].title} is not torch: it knows no device of {unit.translation.new.title}"
        yield unit.report(RULE.code, "error", node, message, ENGINES[engine].way_out)


@RULE.on(ast.Constant)
def report_the_backend_of_something_else(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    if node.value != unit.translation.old.name:
        return
    place = place_of(node, unit.source)
    if is_another_backend(place.label) and place.kind not in ("comparison", "slice"):
        message = f'{place.label} is no device: "{node.value}" names a backend made for CUDA'
        yield unit.report(RULE.code, "warning", node, message, "the one for any device: torch, sdpa, auto")
