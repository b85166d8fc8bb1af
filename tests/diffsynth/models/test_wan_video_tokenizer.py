"""The tokenizer: what it makes of prompts, and what it says where there is none."""

from __future__ import annotations

import json

import pytest
import tokenizers
import torch

from diffsynth.models.wan_video_text_encoder import WanTokenizer, clean_prompt
from script_trial.small.tokenizer_files import FILES

PROMPTS = ["A red boat, in the rain", "夜晚的老城小巷，雨水滴落。", "🦙 on a hill", "", "word " * 600]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("umt5-xxl")
    for name, text in FILES["umt5"].items():
        (folder / name).write_text(text(), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("prompt", "cleaned"),
    [
        ("  a\t red\n\n boat ", "a red boat"),
        ("salt &amp;amp; pepper", "salt & pepper"),
        ("&lt;b&gt;", "<b>"),
        ("âœ” schÃ¶n", "✔ schön"),
        ("清晨的港口", "清晨的港口"),
        ("", ""),
    ],
)
def test_cleaning(prompt, cleaned):
    assert clean_prompt(prompt) == cleaned


def test_prompts_are_padded_to_512_on_the_right(folder):
    with pytest.warns(UserWarning, match=r"^the prompt 'word .* has \d+ tokens more .* \(512\): its end is cut"):
        ids, mask = WanTokenizer(folder)(PROMPTS)
    assert ids.shape == mask.shape == (5, 512)
    assert ids.dtype == mask.dtype == torch.int64
    lengths = mask.sum(dim=1)
    assert torch.equal(mask, (torch.arange(512) < lengths.unsqueeze(1)).long())
    assert not ids[mask == 0].any()
    assert lengths[3] == 1  # the end token alone
    assert lengths[4] == 512  # cut
    assert all(row[length - 1] == 1 for row, length in zip(ids, lengths, strict=True))


def test_the_cleaned_prompt_is_what_is_tokenised(folder):
    ids, _ = WanTokenizer(folder)(["a  &amp;amp; b", "a & b"])
    assert torch.equal(ids[0], ids[1])


def test_ids_are_those_of_transformers(folder):
    from transformers import AutoTokenizer

    peer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    cleaned = [clean_prompt(prompt) for prompt in PROMPTS]
    expected = peer(cleaned, padding="max_length", truncation=True, max_length=512, return_tensors="pt")
    ids, mask = WanTokenizer(folder)(PROMPTS)
    assert torch.equal(ids, expected.input_ids)
    assert torch.equal(mask, expected.attention_mask)


def test_the_byte_fallback_survives_the_published_class(folder, tmp_path):
    """The published configuration names T5Tokenizer, which knows no byte fallback; the ids must not depend on it."""
    for name, text in FILES["umt5"].items():
        (tmp_path / name).write_text(text(), encoding="utf-8")
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"tokenizer_class": "T5Tokenizer"}))
    ids, _ = WanTokenizer(tmp_path)(["夜晚", "清晨"])
    assert torch.equal(ids, WanTokenizer(folder)(["夜晚", "清晨"])[0])
    assert not torch.equal(ids[0], ids[1])
    assert not (ids == 2).any()


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)no-such: the folder does not exist.*google/umt5-xxl/.*To get it"):
        WanTokenizer(tmp_path / "no-such")


def test_an_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder has no tokenizer\.json"):
        WanTokenizer(tmp_path)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "umt5-xxl").write_text("")
    with pytest.raises(FileNotFoundError, match="umt5-xxl: this is not a folder"):
        WanTokenizer(tmp_path / "umt5-xxl")


def test_a_broken_file(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model"')
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a tokenizer"):
        WanTokenizer(tmp_path)


@pytest.mark.parametrize("words", [1, 100, 103, 1000])
def test_what_is_cut_off_is_counted(folder, words, recwarn):
    prompt = "word " * words
    whole = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).encode(clean_prompt(prompt)).ids
    WanTokenizer(folder)([prompt])
    cut = max(0, len(whole) - 512)
    assert [str(warning.message).split(" has ")[1].split()[0] for warning in recwarn] == [str(cut)] * (cut > 0)
