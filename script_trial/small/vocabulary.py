"""Made-up vocabularies of the real kinds: byte pairs, byte pairs of characters, Unigram and WordPiece."""

from __future__ import annotations

from collections.abc import Iterable

_WORDS = (
    "a an and at boat by camera cat city cloud dog fog from harbour hello how in is it lamp light moves my name not of "
    "on or over paper photo picture rain red river sea snow street that the this through to under water what who wind "
    "window with you"
).split()
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()-/\\[]{}<>|*#@&%+=_~`^$"
_CHINESE = "一上下不中人光出动在大天小山巷日月水海港灯的红船色镜雨雪雾风"

BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
SPACE = "▁"

Merges = list[tuple[str, str]]


def byte_letters() -> list[str]:
    """The printable character that stands for each byte, as every byte-level vocabulary since GPT-2 has it."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [value for value in range(256) if value not in printable]
    letters = {value: chr(value) for value in printable} | {value: chr(256 + n) for n, value in enumerate(others)}
    return [letters[value] for value in range(256)]


def byte_pairs(end_of_word: str = "") -> tuple[list[str], Merges]:
    """Bytes, and the pairs that build the words from them; CLIP's mark the end of a word."""
    letters = byte_letters()
    if end_of_word:
        merges = [(word[:-1], word[-1] + end_of_word) for word in _WORDS if len(word) > 1]
        merges = [*_letter_by_letter([word[:-1] for word in _WORDS]), *merges]
        letters += [letter + end_of_word for letter in letters]
    else:
        merges = [*_letter_by_letter(_WORDS), *((letters[ord(" ")], word) for word in _WORDS)]
    return _with_pairs(letters, merges)


def character_pairs() -> tuple[list[str], Merges]:
    """Characters, with a mark where a word begins and bytes for what there is none for."""
    merges = [*_letter_by_letter(_WORDS), *((SPACE, word) for word in _WORDS)]
    return _with_pairs([*BYTES, SPACE, *_LETTERS, *_CHINESE], merges)


def unigrams() -> list[tuple[str, float]]:
    """Pieces with their log probabilities."""
    pieces = [(piece, 0.0) for piece in BYTES]
    pieces += [(SPACE, -3.0), *((character, -6.0) for character in _LETTERS + _CHINESE)]
    return pieces + [(piece, -7.0) for word in _WORDS if len(word) > 1 for piece in (word, SPACE + word)]


def word_pieces() -> list[str]:
    """Words and letters, the latter with a mark where they do not begin a word."""
    characters = _LETTERS + _CHINESE
    return list(dict.fromkeys([*characters, *(f"##{one}" for one in characters), *_WORDS]))


def _letter_by_letter(words: list[str]) -> Merges:
    return [(word[:end], word[end]) for word in words for end in range(1, len(word))]


def _with_pairs(letters: list[str], merges: Merges) -> tuple[list[str], Merges]:
    merges = list(dict.fromkeys(merges))
    return list(dict.fromkeys([*letters, *(one + other for one, other in merges)])), merges


def numbered(pieces: Iterable[str]) -> dict[str, int]:
    """Each piece with its number, in their order; one that comes twice counts once."""
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
