"""Tokenizers of transformers 4, whose classes read files: the quick form of a class, from a made-up backend."""

from __future__ import annotations

import inspect
from typing import Any

from script_trial.adapter import CannotMakeUp
from script_trial.small.vocabulary import byte_pairs, numbered, unigrams, word_pieces

_WORD_PIECES = ("Bert", "DistilBert", "Electra", "MPNet", "MobileBert", "LayoutLM", "Funnel", "Lxmert", "Splinter")
_UNIGRAMS = (
    "T5",
    "Llama",
    "CodeLlama",
    "Gemma",
    "XLMRoberta",
    "Albert",
    "MBart",
    "Pegasus",
    "Nllb",
    "Camembert",
)
_OTHER_UNIGRAMS = ("Deberta", "BigBird", "XLNet", "FNet", "RemBert", "Reformer", "Barthez", "Seamless", "Udop", "XGLM")


def of_version_4(tokenizer_class: Any, kept: dict[str, Any]) -> Any:
    """A tokenizer of this class, or of its quick form; what it saves is read by both where both read a vocabulary.

    Raises:
        CannotMakeUp: the class has no quick form.
    """
    import transformers

    name = tokenizer_class.__name__.removesuffix("Fast")
    quick: Any = getattr(transformers, f"{name}Fast", None)
    if quick is None:
        raise CannotMakeUp(f"the vocabulary of a {tokenizer_class.__name__}, which has no quick form in transformers 4")
    named = {
        parameter: one.default
        for parameter, one in inspect.signature(quick.__init__).parameters.items()
        if parameter.endswith("_token") and isinstance(one.default, str)
    }
    return quick(tokenizer_object=_backend(name, {**named, **kept}), **kept)


def _backend(name: str, named: dict[str, Any]) -> Any:
    special = list(dict.fromkeys(value for key, value in named.items() if key.endswith("_token")))
    if name.startswith(_WORD_PIECES):
        backend = _of_word_pieces(special, named)
    elif name.startswith((*_UNIGRAMS, *_OTHER_UNIGRAMS)):
        backend = _of_unigrams(special, named)
    else:
        backend = _of_byte_pairs(special, named, is_clip=name.startswith("CLIP"))
    backend.add_special_tokens(special)
    return backend


def _of_word_pieces(special: list[str], named: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    vocabulary = numbered([*special, *word_pieces()])
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token=named.get("unk_token", "[UNK]")))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    _frame(backend, vocabulary, named, ("cls_token", "sep_token"))
    return backend


def _of_byte_pairs(special: list[str], named: dict[str, Any], is_clip: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    end_of_word = "</w>" if is_clip else ""
    pieces, merges = byte_pairs(end_of_word)
    vocabulary = numbered([*pieces, *special])
    backend = Tokenizer(models.BPE(vocabulary, merges, end_of_word_suffix=end_of_word))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([whole]) if is_clip else whole
    backend.decoder = decoders.ByteLevel()
    if is_clip:
        _frame(backend, vocabulary, named, ("bos_token", "eos_token"))
    elif "cls_token" in named:
        _frame(backend, vocabulary, named, ("cls_token", "sep_token"))
    return backend


def _of_unigrams(special: list[str], named: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    pieces = list({piece: (piece, score) for piece, score in [*((one, 0.0) for one in special), *unigrams()]}.values())
    number = {piece: at for at, (piece, _) in enumerate(pieces)}
    backend = Tokenizer(models.Unigram(pieces, unk_id=number[named.get("unk_token", "<unk>")], byte_fallback=True))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    if "eos_token" in named:
        _frame(backend, number, named, ("", "eos_token"))
    return backend


def _frame(backend: Any, number: dict[str, int], named: dict[str, Any], ends: tuple[str, str]) -> None:
    """Has the class's own tokens put in front of a text and behind it."""
    from tokenizers.processors import TemplateProcessing

    first, last = (named.get(end, "") for end in ends)
    tokens = [(token, number[token]) for token in dict.fromkeys((first, last)) if token]
    backend.post_processor = TemplateProcessing(
        single=f"{first} $A {last}".split(), pair=f"{first} $A {last} $B {last}".split(), special_tokens=tokens
    )
