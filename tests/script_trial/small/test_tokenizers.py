"""Tokenizers made up for transformers' own classes, which read and write text."""

from __future__ import annotations

from pathlib import Path

import pytest

from script_trial.adapter import CannotMakeUp
from script_trial.small.tokenizers import make_tokenizer

transformers = pytest.importorskip("transformers", minversion="5.0")

TEXT = "a red boat, 雨 Hello xyzzy"


@pytest.mark.parametrize(
    "name",
    "BertTokenizer CLIPTokenizer GPT2Tokenizer GemmaTokenizer LlamaTokenizer Qwen2Tokenizer RobertaTokenizer "
    "T5Tokenizer TokenizersBackend XLMRobertaTokenizer".split(),
)
def test_it_reads_what_it_wrote_and_loads_what_it_saved(name: str, tmp_path: Path) -> None:
    made = make_tokenizer(getattr(transformers, name))
    assert len(made) < 1000
    made.save_pretrained(tmp_path)
    again = getattr(transformers, name).from_pretrained(tmp_path)
    numbers = again(TEXT).input_ids
    assert numbers == made(TEXT).input_ids
    assert max(numbers) < len(made)
    written = again.decode(numbers, skip_special_tokens=True)
    assert written.lower().replace(" ", "") == TEXT.lower().replace(" ", "")


def test_a_chat_has_its_turns() -> None:
    tokenizer = make_tokenizer(transformers.Qwen2Tokenizer)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert len(tokenizer("<|im_end|>").input_ids) == 1


def test_a_class_that_reads_another_kind_of_file_is_named() -> None:
    with pytest.raises(CannotMakeUp, match="the vocabulary of a MarianTokenizer"):
        make_tokenizer(transformers.MarianTokenizer)
