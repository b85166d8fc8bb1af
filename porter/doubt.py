"""Whether a bare `"cuda"` is surely a device: what speaks for it, beside the position that porter.places judges.

model.to("cuda")     device = "cuda"     {"device": "cuda"}     "cuda" if there else "cpu"     surely
build("cuda")        kind = "cuda"       {"kind": "cuda"}       Loader(kind="cuda")            as a rule
"""

from __future__ import annotations

import ast
from functools import lru_cache

from porter.places import Place, label_of, place_of
from porter.unit import Unit
from porter.uses import text_of
from porter.vocabulary import TAKE_A_DEVICE, is_backend, is_device, says_device

#: How a doubtful place is called, by its kind.
_PLACES = {
    "positional": "{0}() may take it for something other than a device",
    "keyword": "{0}= may mean something other than a device",
    "value": 'the value of "{0}" may be something other than a device',
    "assignment": "{0} may be something other than a device",
    "default": "{0} may be something other than a device",
    "comparison": "{0} may be something other than a device",
    "return": "what {0}() returns may be something other than a device",
}


def doubt_about(node: ast.expr, place: Place, unit: Unit) -> str:
    """Why a string that names a device may be none there; empty where it is surely one."""
    if not isinstance(node, ast.Constant) or node.value != unit.translation.old.name or place.kind not in _PLACES:
        return ""
    if says_device(place.label) or _is_taken_for_one(node, place, unit) or _has_another_beside(node, unit):
        return ""
    if place.kind in ("assignment", "default") and _is_used_as_one(place.label, unit):
        return ""
    return _PLACES[place.kind].format(place.callee if place.kind == "positional" else place.label or "it")


def _is_taken_for_one(node: ast.expr, place: Place, unit: Unit) -> bool:
    """Whether what is called, or what the function around is called, says that it takes or gives a device."""
    if place.kind == "return":
        return says_device(place.label)
    if place.kind not in ("positional", "keyword"):
        return False
    if place.callee in TAKE_A_DEVICE or says_device(place.callee):
        return True
    call = next((one for one in unit.source.ancestors(node) if isinstance(one, ast.Call)), None)
    if call is None:
        return False
    if (unit.dotted(call.func) or "").startswith("torch."):
        return True
    return place.kind == "positional" and says_device(_parameter(place.callee, call, node, unit))


def _parameter(callee: str, call: ast.Call, node: ast.expr, unit: Unit) -> str:
    """What the file's own function of this name calls the argument; empty where there is no such function."""
    at = next((index for index, one in enumerate(call.args) if node in ast.walk(one)), -1)
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for one in unit.source.walk(unit.source.lines_of({callee.encode()})) if at >= 0 and callee else ():
        if not isinstance(one, defined) or one.name != callee:
            continue
        maker = one if not isinstance(one, ast.ClassDef) else _maker(one)
        if maker is None:
            continue
        names = [argument.arg for argument in (*maker.args.posonlyargs, *maker.args.args)]
        names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        if at < len(names):
            return names[at]
    return ""


def _maker(made: ast.ClassDef) -> ast.FunctionDef | None:
    return next((one for one in made.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)


def _has_another_beside(node: ast.expr, unit: Unit) -> bool:
    """`"cuda" if there else "cpu"`, `["cuda", "cpu"]`, `x in ("cuda", "mps")`, `{"cuda": "nccl"}`."""
    child: ast.AST = node
    for parent in unit.source.ancestors(node):
        match parent:
            case ast.IfExp(body=body, orelse=orelse):
                others = [body, orelse]
            case ast.BoolOp(values=values) | ast.Tuple(elts=values) | ast.List(elts=values) | ast.Set(elts=values):
                others = values
            case ast.Dict(keys=keys, values=values):
                pair = next((pair for pair in zip(keys, values, strict=True) if child in pair), (None, None))
                others = [one for one in pair if one is not None]
            case _:
                return False
        for one in others:
            if one is not child and (text := text_of(one)) and (is_device(text) or is_backend(text)):
                return True
        child = parent
    return False


@lru_cache(maxsize=8)
def _is_used_as_one(name: str, unit: Unit) -> bool:
    """Whether the file reads the name where a device is surely meant: `x.to(name)`, `f(device=name)`."""
    if not name.isidentifier():
        return False
    for node in unit.source.walk(unit.source.lines_of({name.encode()})):
        if label_of(node) == name and isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            place = place_of(node, unit.source)
            if place.kind in ("positional", "keyword", "assignment", "value") and (
                says_device(place.label) or _is_taken_for_one(node, place, unit)
            ):
                return True
    return False
