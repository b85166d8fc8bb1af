"""What a caller hands in, checked before anything is computed with it; and warnings that point at the caller's line."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_NONE: Mapping[str, str] = MappingProxyType({})
_NO_DEFAULTS: Mapping[str, Any] = MappingProxyType({})
_NOT_THE_USERS = ("diffsynth", "torch", "contextlib", "functools")


def check_number(name: str, value: object, *, above: float = -math.inf, most: float = math.inf) -> None:
    """Raises ValueError, which names the keyword, unless `value` is a finite number above one and at most the other."""
    if not is_number(value) or not math.isfinite(value) or not above < value <= most:
        bounds = [f"above {above:g}"] * (above > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
        raise ValueError(f"{name}={value!r}: expected a number {' and '.join(bounds)}".rstrip())


def check_whole(name: str, value: object, *, least: int = 1) -> None:
    """Raises ValueError, which names the keyword, unless `value` is a whole number and at least that."""
    if not is_whole(value) or value < least:
        raise ValueError(f"{name}={value!r}: expected a whole number, at least {least}")


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number, numpy's among them; a truth value is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def known_keywords_only(
    name: str,
    later: Mapping[str, str] = _NONE,
    later_defaults: Mapping[str, Any] = _NO_DEFAULTS,
    elsewhere: Mapping[str, str] = _NONE,
) -> Callable[[F], F]:
    """Checks keywords before the call, and raises TypeError with the nearest one that exists.

    Args:
        name: what the user calls, as the user writes it: ``WanVideoPipeline.from_pretrained``, ``pipe``.
        later: keywords of the public interface that this version does not have, each with what it is for. None,
            False and the public default, which ask for nothing, are taken; anything else is a NotImplementedError.
        later_defaults: the public default of those whose default is something else than None or False.
        elsewhere: what other libraries call a keyword, and what it is here.
    """

    def decorate(function: F) -> F:
        keywords = [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for keyword in [keyword for keyword in kwargs if keyword in later]:
                value = kwargs.pop(keyword)
                if value is not None and value is not False and not _is_default(value, later_defaults.get(keyword)):
                    raise NotImplementedError(f"{name}({keyword}=...): {later[keyword]} is not part of this version")
            for keyword in [keyword for keyword in kwargs if keyword not in keywords]:
                if keyword in elsewhere:
                    raise TypeError(f"{name}() has no keyword {keyword!r}: here it is {elsewhere[keyword]!r}")
                raise TypeError(unknown_keyword(name, keyword, keywords))
            return function(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate


def _is_default(value: Any, default: Any) -> bool:
    # Values of another kind, tensors among them, are not compared.
    value = tuple(value) if isinstance(value, list) else value
    return default is not None and isinstance(value, (int, float, str, tuple)) and value == default


def unknown_keyword(name: str, keyword: str, keywords: Iterable[str]) -> str:
    """The sentence for a keyword that does not exist."""
    return f"{name}() has no keyword {keyword!r}: {nearest(keyword, keywords, 'it takes', cutoff=0.5)}"


def nearest(name: object, known: Iterable[str], otherwise: str, *, cutoff: float = 0.6) -> str:
    """The end of a sentence about a name that does not exist: the one that is like it, or else all there are."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else f"{otherwise} {', '.join(known)}"


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the innermost line outside this library and torch."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _NOT_THE_USERS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def warn_of_cut_prompt(prompt: str, *, cut: int, limit: int) -> None:
    """Warns that the last `cut` tokens of a prompt are left out, and of the limit."""
    warn_caller(
        f"the prompt {prompt[:40]!r}... has {cut} tokens more than the text encoder takes ({limit}): its end is cut off"
    )


def missing_folder(folder: Path, what: str, lacking: str, *, place: str, model: str, model_id: str) -> str:
    """The sentence for a tokenizer or processor that is not in its folder.

    Args:
        what: "tokenizer" or "processor".
        lacking: what is not in a folder that is there, as a sentence's end.
        place: where it is below the model's folder, such as "tokenizer/".
        model, model_id: of which kind, and one that has it.
    """
    if folder.is_dir():
        state = f"the folder {lacking}"
    else:
        state = "this is not a folder" if folder.exists() else "the folder does not exist"
    return (
        f"no {what} in {folder}: {state}. Expected the folder {place} of {model}. To get it, download with "
        f"ModelConfig(model_id={model_id!r}, origin_file_pattern={place!r}) and DIFFSYNTH_SKIP_DOWNLOAD unset, "
        f"or point the {what}'s ModelConfig(path=...) at a folder that has it."
    )
