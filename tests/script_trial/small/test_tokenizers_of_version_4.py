"""The backends of tokenizers of transformers 4, whichever version is here; and their classes, where it is that one."""

from __future__ import annotations

import pytest
import transformers

from script_trial.small.tokenizers import make_tokenizer
from script_trial.small.tokenizers_of_version_4 import _backend

BERT = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]"}
QWEN = {"unk_token": "<|endoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
CLIP = {"unk_token": "<|endoftext|>", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
T5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


@pytest.mark.parametrize(
    ("name", "named", "first", "last"),
    [
        ("BertTokenizer", BERT, "[CLS]", "[SEP]"),
        ("Qwen2Tokenizer", QWEN, None, None),
        ("CLIPTokenizer", CLIP, "<|startoftext|>", "<|endoftext|>"),
        ("T5Tokenizer", T5, None, "</s>"),
        ("LlamaTokenizer", {**T5, "bos_token": "<s>"}, None, "</s>"),
        ("RobertaTokenizer", {**T5, "cls_token": "<s>", "sep_token": "</s>"}, "<s>", "</s>"),
    ],
)
def test_a_backend_tells_texts_apart_and_frames_them(
    name: str, named: dict[str, str], first: str | None, last: str | None
) -> None:
    backend = _backend(name, named)
    one, other = backend.encode("a small cat"), backend.encode("a large dog")
    assert one.ids != other.ids
    assert first is None or one.tokens[0] == first
    assert last is None or one.tokens[-1] == last
    assert set(named.values()) <= set(backend.get_vocab())


@pytest.mark.skipif(int(transformers.__version__.split(".")[0]) > 4, reason="transformers 5 needs no files")
@pytest.mark.parametrize("name", ["BertTokenizer", "Qwen2Tokenizer", "LlamaTokenizerFast", "CLIPTokenizer"])
def test_a_class_of_version_4(name: str) -> None:
    tokenizer = make_tokenizer(getattr(transformers, name))
    assert tokenizer("a small cat").input_ids != tokenizer("a large dog").input_ids
