"""Programs of transformers, as model cards have them, and ports of one broken on purpose, which must not pass."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from porter.verify.outcome import Row
from porter.verify.scripts import find_scripts
from porter.verify.verification import Verification

from .conftest import ROOT

PROGRAMS = ROOT / "tests" / "data" / "programs" / "transformers"

pytest.importorskip("transformers")

WITH_DATASETS = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("datasets") is None, reason="datasets is not installed"),
]


def verify(running: Verification, name: str) -> Row:
    (script,) = find_scripts([str(PROGRAMS / name)], None)
    return running.run(script)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("llava_image_and_text.py", "LlavaForConditionalGeneration"),
        pytest.param("qwen_generate.py", "Qwen2ForCausalLM", marks=pytest.mark.slow),
        pytest.param("bge_embeddings.py", "BertModel", marks=pytest.mark.slow),
        pytest.param("distilbert_trainer.py", "DistilBertForSequenceClassification", marks=pytest.mark.slow),
        pytest.param("llama_pipeline.py", "LlamaForCausalLM", marks=pytest.mark.slow),
        pytest.param("imdb.py", "DistilBertForSequenceClassification", marks=WITH_DATASETS),
        pytest.param("wikitext_trainer.py", "GPT2LMHeadModel", marks=WITH_DATASETS),
    ],
)
def test_a_program_passes(running: Verification, name: str, network: str) -> None:
    row = verify(running, name)
    assert row.problems == []
    assert row.ran == 3
    assert network in row.outcomes["ported"].networks
    assert row.outcomes["ported"].operators_on("npu")


def test_four_bits_are_refused_in_one_sentence(running: Verification) -> None:
    (problem,) = verify(running, "mistral_4bit.py").problems
    assert problem == (
        "every way: line 13: it needs bitsandbytes' 4-bit weights, whose kernels are CUDA's: load the model in "
        "bfloat16, without quantization_config, or quantize it by torchao"
    )


PROGRAM = """\
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B").to("npu")
inputs = tokenizer("a red boat", return_tensors="pt").to("npu")
loss = model(**inputs, labels=inputs["input_ids"]).loss
print(f"loss {loss.item():.6f}")
made = model.generate(**inputs, max_new_tokens=40)
print(tokenizer.decode(made[0]))
"""
ON_THE_CPU = """\
head = model.lm_head
head.forward = {}lambda x: torch.nn.functional.linear(x.cpu(), head.weight.cpu()).to(x.device){}
loss ="""

BROKEN = [
    ("a red boat", "a red cat", "saved other "),
    ("{loss.item():.6f}", "{loss.item() + 1e-6:.6f}", "printed 'loss "),
    ("loss =", ON_THE_CPU.format("torch.compile(", ")") , "computed on the CPU"),
    ("made =", "model.lm_head.weight.data.fill_(float('nan'))\nmade =", "saved NaN or infinity in logits"),
    ("made =", "raise ValueError('no')\nmade =", "line 8: ValueError: no"),
    ('"npu"', '"cpu"', "nothing was computed on npu"),
    ("loss =", ON_THE_CPU.format("", ""), "computed on the CPU"),
]  # fmt: skip
# A case of each kind that no other tells of is in the default run.
QUICK = 3


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [pytest.param(*case, marks=[] if number < QUICK else pytest.mark.slow) for number, case in enumerate(BROKEN)],
)
def test_a_broken_port_fails(verify_text: Callable[..., Row], old: str, new: str, problem: str) -> None:
    row = verify_text(PROGRAM.replace('"npu"', '"cuda"'), PROGRAM.replace(old, new))
    assert any(problem in one for one in row.problems), row.problems
    assert all(one.startswith("ported: ") for one in row.problems)


@pytest.mark.slow
def test_the_whole_program_passes(verify_text: Callable[..., Row]) -> None:
    row = verify_text(PROGRAM.replace('"npu"', '"cuda"'), PROGRAM)
    assert (row.problems, row.equal) == ([], True)
