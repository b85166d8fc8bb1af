"""A tokenizer of any of transformers' classes, made up: the class's own bare vocabulary, followed by made-up pieces."""

from __future__ import annotations

from typing import Any

from script_trial.adapter import CannotMakeUp
from script_trial.small.tokenizers_of_version_4 import of_version_4
from script_trial.small.vocabulary import byte_pairs, character_pairs, numbered, unigrams, word_pieces

# Tokens beside those that a class brings along itself, by the beginning of the class's name.
_CHAT = ["<|im_start|>", "<|im_end|>"]
_ADDED = {
    "Qwen": [*_CHAT, "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"],
    "Gemma": ["<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"],
    "Llama": ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<image>"],
    "TokenizersBackend": ["[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<image>", *_CHAT],
    "PreTrainedTokenizerFast": ["[INST]", "[/INST]", "<image>", *_CHAT],
    "Whisper": ["<|startoftranscript|>", "<|en|>", "<|zh|>", "<|de|>", "<|fr|>", "<|translate|>", "<|transcribe|>"]
    + ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    + [f"<|{step * 0.02:.2f}|>" for step in range(1501)],
}
# What classes whose own is not the published one call theirs.
_NAMED = {
    "Qwen": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "TokenizersBackend": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    "PreTrainedTokenizerFast": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    "Llama": {"pad_token": "</s>"},
}
# The most tokens that a text may have, where scripts pad to it.
_LONGEST = {"CLIP": 77, "T5": 512, "Bert": 512, "DistilBert": 512, "Roberta": 512, "MPNet": 512, "XLMRoberta": 512}

# Every turn begins with its role. A picture is the token that its processor looks for.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}"
    "{{ IMAGE }}{% elif part['type'] == 'video' or 'video' in part %}{{ VIDEO }}"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def chat_template(image: str = "", video: str = "") -> str:
    """A template of the common form, with what stands for a picture and for a clip."""
    return CHAT_TEMPLATE.replace("IMAGE", repr(image)).replace("VIDEO", repr(video))


def make_tokenizer(tokenizer_class: Any) -> Any:
    """A tokenizer of this class, with about a thousand tokens or fewer.

    Raises:
        CannotMakeUp: the class reads files of a kind that cannot be written here.
    """
    name = tokenizer_class.__name__
    kept = {**_of(_NAMED, name, {})}
    longest = _of(_LONGEST, name, None)
    if longest is not None:
        kept["model_max_length"] = longest
    if name in ("TokenizersBackend", "PreTrainedTokenizerFast"):
        tokenizer = tokenizer_class(tokenizer_object=_unigram_tokenizer(), **kept)
    else:
        tokenizer = _of_its_class(tokenizer_class, kept)
    # Beside those that the class has already; the second argument's name is another in each version.
    tokenizer.add_special_tokens({"additional_special_tokens": _of(_ADDED, name, [])}, False)
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    if name.startswith(tuple(_CHATTING)):
        tokenizer.chat_template = chat_template()
    return tokenizer


_CHATTING = ("Qwen", "Llama", "Gemma", "TokenizersBackend", "PreTrainedTokenizerFast", "GPT2", "GPTNeoX", "Cohere")


def _of(table: dict[str, Any], name: str, otherwise: Any) -> Any:
    """The entry of the longest beginning of the name."""
    fitting = [beginning for beginning in table if name.startswith(beginning)]
    return table[max(fitting, key=len)] if fitting else otherwise


def _of_its_class(tokenizer_class: Any, kept: dict[str, Any]) -> Any:
    import transformers

    if not hasattr(transformers, "TokenizersBackend"):
        return of_version_4(tokenizer_class, kept)
    try:
        bare = tokenizer_class()
    except Exception as error:
        raise CannotMakeUp(f"the vocabulary of a {tokenizer_class.__name__}, which cannot be made up") from error
    backend = getattr(bare, "_tokenizer", None)
    if backend is None:  # of bytes or characters, without a vocabulary
        return bare
    own = [token for token, _ in sorted(bare.get_vocab().items(), key=lambda item: item[1])]
    kind = type(backend.model).__name__
    if kind == "Unigram":
        special = [(token, 0.0) for token in own]
        return tokenizer_class(vocab=_once_each(special + unigrams()), **kept)
    if kind == "WordPiece":
        return tokenizer_class(vocab=numbered([*own, *word_pieces()]), **kept)
    if "ByteLevel" in str(backend.pre_tokenizer):
        pieces, merges = byte_pairs(getattr(backend.model, "end_of_word_suffix", None) or "")
    else:
        pieces, merges = character_pairs()
    return tokenizer_class(vocab=numbered([*own, *pieces]), merges=merges, **kept)


def _once_each(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return list({piece: (piece, score) for piece, score in reversed(pieces)}.values())[::-1]


def _unigram_tokenizer() -> Any:
    """For classes that have no form of their own: Unigram with byte fallback, as UMT5's."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    special = ["<pad>", "</s>", "<unk>", "<s>"]
    pieces = [(piece, 0.0) for piece in special] + unigrams()
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=special.index("<unk>"), byte_fallback=True))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer
