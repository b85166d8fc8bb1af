"""Where a literal stands, and whether a device - or a communication backend - is meant there.

An exact `"cuda"` is a device nearly everywhere. It is not one in text for people, in the name of a file or an
attribute, as the key that looks something up, or beside words that are no devices. What tells is the label that
the program itself gives the value: a keyword, a variable, a dictionary's key, a command-line option.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import NamedTuple

from porter.source import Source
from porter.vocabulary import (
    FIELDS,
    HOLDING,
    LOOKUPS,
    NAMING,
    OF_THE_OWNER,
    OPTION_VALUES,
    OPTIONS,
    PRINTING,
    QUESTIONS,
    is_another_backend,
    is_backend,
    is_device,
    says_device,
    says_text,
)

Elements = ast.Tuple | ast.List | ast.Set


class Place(NamedTuple):
    """Where a literal stands: `kind` of position, the `label` the program gives it, the function called if any.

    `alone` is false beside words that are no devices.
    """

    kind: str
    label: str = ""
    callee: str = ""
    at: int = -1
    alone: bool = True

    @property
    def is_question(self) -> bool:
        """Whether the value is compared with, is what a parameter has when nobody says, or has an entry of its own."""
        return self.kind in ("comparison", "slice", "default", "entry")


@lru_cache(maxsize=2)  # several rules ask for each node, one after the other
def place_of(node: ast.AST, source: Source) -> Place:
    """The place of a literal; conditional expressions, `or`, lists and tuples pass it on to what is around them."""
    child, alone, listed = node, True, False
    for parent in source.ancestors(node):
        match parent:
            case ast.IfExp() if child is parent.test:
                return Place("other")
            case ast.IfExp() | ast.BoolOp() | ast.Starred() | ast.Await():
                pass
            case ast.Tuple() | ast.BinOp() | ast.Call() if _is_put_in_as_device(parent, child, source):
                pass
            case ast.Tuple() | ast.List() | ast.Set():
                if (label := _label_within(parent, child, source)) is not None:
                    return Place("assignment", label)
                alone, listed = alone and _all_devices(parent), True
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() if child is parent.elt:
                listed = True
            case ast.DictComp() if child is parent.value:
                pass
            case ast.BinOp() if listed and not isinstance(parent.op, ast.Mod):
                pass
            case ast.BinOp() | ast.JoinedStr() | ast.FormattedValue() if _begins_device(parent, child):
                pass
            case ast.Subscript() if listed and child is parent.value:
                pass
            case ast.Call() if child in parent.args and _called(parent.func) in HOLDING:
                pass
            case ast.keyword() | ast.Call() if _gives_a_field_its_value(parent, child, source):
                pass
            case ast.keyword():
                return _keyword(parent, source, alone)
            case ast.Call():
                return _argument(parent, child, alone)
            case ast.Dict():
                return _entry(parent, child, source, alone)
            case ast.AugAssign() if listed:
                return Place("assignment", label_of(parent.target), alone=alone)
            case _:
                return _statement(parent, child, source, alone)
        child = parent
    return Place("other")


def device_is_meant(place: Place) -> bool:
    """Whether a value at this place is used as a device or backend, rather than read, looked up or compared as data."""
    if place.kind in ("other", "key") or is_another_backend(place.label):
        return False
    if place.callee in PRINTING or place.callee.endswith(("Error", "Exception", "Warning")):
        return False
    if place.kind == "positional":
        if place.callee in LOOKUPS and place.at < LOOKUPS[place.callee]:
            return False
        if place.callee in NAMING and not says_device(place.label):
            return False
    if not place.alone:
        return says_device(place.label) and not says_text(place.label)
    return says_device(place.label) or not says_text(place.label)


def label_of(node: ast.AST | None) -> str:
    """The last name by which an expression goes: `self.device` and `config["device"]` are both `device`."""
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute(attr="type"):
            return label_of(node.value)
        case ast.Attribute():
            return node.attr
        case ast.Subscript(slice=ast.Constant(value=str() as key)):
            return key
        case ast.Subscript():
            return label_of(node.value)
        case ast.Constant(value=str() as text):
            return text
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[first, *_]):
            return label_of(first)
        case ast.Call(func=ast.Attribute(value=owner, attr="lower" | "strip" | "split" | "partition")):
            return label_of(owner)
        case ast.Call(func=function, args=arguments):
            called = label_of(function)
            keys = [name for argument in arguments if (name := _text(argument))]
            return keys[0] if called in LOOKUPS and keys else called
        case _:
            return ""


def _called(function: ast.expr) -> str:
    """A function's name, and that of the module before it: `click.Choice`."""
    match function:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            return f"{module}.{name}"
        case _:
            return ""


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@lru_cache(maxsize=8)  # asked again for each element, of which generated files have tens of thousands
def _all_devices(elements: Elements) -> bool:
    return all(is_device(text) for element in elements.elts if (text := _text(element)) is not None)


@lru_cache(maxsize=8)
def _indices(elements: Elements) -> dict[ast.AST, int]:
    return {element: index for index, element in enumerate(elements.elts)}


@lru_cache(maxsize=8)
def _entries(dictionary: ast.Dict) -> dict[ast.AST, tuple[ast.expr | None, ast.expr]]:
    """By key and by value, the entry that it belongs to."""
    pairs = list(zip(dictionary.keys, dictionary.values, strict=True))
    return {node: pair for pair in pairs for node in pair if node is not None}


def _label_within(elements: Elements, element: ast.AST, source: Source) -> str | None:
    """What one element goes by: `["train.py", "--device", "cuda"]`, and `device, dtype = "cuda", torch.float16`."""
    at = _indices(elements)[element]
    before = _text(elements.elts[at - 1]) if at else None
    if before is not None and before.startswith("--"):
        return before.strip("-")
    match source.parent.get(elements):
        case ast.Assign(targets=[ast.Tuple(elts=targets), *_]) if len(targets) == len(elements.elts):
            return label_of(targets[at])
    return None


def _begins_device(parent: ast.BinOp | ast.JoinedStr | ast.FormattedValue, child: ast.AST) -> bool:
    """`f"{'cuda' if gpu else 'cpu'}:{rank}"` and `("cuda" if gpu else "cpu") + ":0"`."""
    match parent:
        case ast.FormattedValue():
            return child is parent.value
        case ast.JoinedStr(values=[first, *rest]):
            return child is first and (not rest or is_device(_text(rest[0]) or "."))
        case ast.BinOp(left=ast.IfExp() as left, right=right):
            after = right.values[0] if isinstance(right, ast.JoinedStr) else right
            return child is left and is_device(_text(after) or ".")
        case _:
            return False


#: Texts into which a device and its number are put: `"%s:%d"`, `"{}:{}"`.
_DEVICE_AND_NUMBER = re.compile(r"(?:%s|\{0?\}):(?:%[dis]|\{1?(?::d)?\})")


def _is_put_in_as_device(parent: ast.AST, child: ast.AST, source: Source) -> bool:
    """`"%s:%d" % ("cuda", i)` and `"{}:{}".format("cuda", i)`: the first value is the device of the whole."""
    match parent:
        case ast.Tuple(elts=[first, _]):
            around = source.parent.get(parent)
            return child is first and isinstance(around, ast.BinOp) and _is_put_in_as_device(around, parent, source)
        case ast.BinOp(left=template, op=ast.Mod(), right=ast.Tuple() as values):
            return child is values and _DEVICE_AND_NUMBER.fullmatch(_text(template) or "") is not None
        case ast.Call(func=ast.Attribute(value=template, attr="format"), args=[first, _], keywords=[]):
            return child is first and _DEVICE_AND_NUMBER.fullmatch(_text(template) or "") is not None
        case _:
            return False


def _gives_a_field_its_value(parent: ast.keyword | ast.Call, child: ast.AST, source: Source) -> bool:
    """`device: str = field(default="cuda")`: the value goes by the name of the field."""
    call = source.parent.get(parent) if isinstance(parent, ast.keyword) else parent
    if not isinstance(call, ast.Call) or label_of(call.func) not in FIELDS:
        return False
    if not isinstance(source.parent.get(call), ast.Assign | ast.AnnAssign):
        return False
    if isinstance(parent, ast.keyword):
        return parent.arg == "default"
    return child in call.keywords or child is call.args[0]


def _option_name(call: ast.Call) -> str:
    """`add_argument("-d", "--device")` and `parametrize("device", ...)` are about the device."""
    names = [name for argument in call.args if (name := _text(argument)) is not None]
    return next((name for name in names if name.startswith("--")), names[0] if names else "").strip("-")


def _keyword(keyword: ast.keyword, source: Source, alone: bool) -> Place:
    call = source.parent.get(keyword)
    callee = label_of(call.func) if isinstance(call, ast.Call) else ""
    label = keyword.arg or ""
    if isinstance(call, ast.Call) and callee in OPTIONS and label in OPTION_VALUES:
        label = _option_name(call)
    return Place("keyword", label, callee, alone=alone or label == "args")  # each of `args=("wan", "cuda")` is its own


def _argument(call: ast.Call, child: ast.AST, alone: bool) -> Place:
    if child not in call.args:
        return Place("other")
    index, callee = call.args.index(child), label_of(call.func)
    owner = label_of(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    if callee in QUESTIONS and isinstance(call.func, ast.Attribute):
        return Place("comparison", owner, alone=alone)
    if callee in OPTIONS and index > 0:
        return Place("keyword", _option_name(call), alone=alone)
    if callee in LOOKUPS and index >= LOOKUPS[callee]:
        label = label_of(call.args[LOOKUPS[callee] - 1])
        return Place("keyword", "" if callee == "load" else label, alone=alone)
    return Place("positional", owner if callee in OF_THE_OWNER else "", callee, index, alone)


def _entry(dictionary: ast.Dict, child: ast.AST, source: Source, alone: bool) -> Place:
    """A value goes by its key, or by what the whole dictionary goes by: `device_map={"text": "cuda"}`.

    A key is renamed only with its value: `{"cuda": "cuda:0"}`, `{"cuda": "nccl"}`. What `map_location` looks up is
    the name of the device that a checkpoint was saved from.
    """
    outer = place_of(dictionary, source).label
    key, value = _entries(dictionary)[child]
    if "location" not in outer and _names_the_same_device(key, value):
        return Place("entry")
    if child is key:
        return Place("key", outer)
    label = label_of(key) if isinstance(key, ast.Constant) else ""
    whole = says_device(outer) and not says_text(outer)
    return Place("value", outer if whole and not says_device(label) else label, alone=alone)


def _names_the_same_device(key: ast.expr | None, value: ast.expr) -> bool:
    name, meant = _text(key), _text(value)
    if not name or not meant or not is_device(name):
        return False
    return is_backend(meant) or name.partition(":")[0] == meant.partition(":")[0]


def _statement(parent: ast.AST, child: ast.AST, source: Source, alone: bool) -> Place:
    match parent:
        case ast.Assign() if child is parent.value:
            return Place("assignment", label_of(parent.targets[0]), alone=alone)
        case ast.AnnAssign() | ast.NamedExpr() if child is parent.value:
            return Place("assignment", label_of(parent.target), alone=alone)
        case ast.For() | ast.comprehension() if child is parent.iter:
            return Place("assignment", label_of(parent.target), alone=alone)
        case ast.arguments():
            return Place("default", _parameter(parent, child), alone=alone)
        case ast.Compare():
            others = [part for part in (parent.left, *parent.comparators) if part is not child]
            label = next((label for part in others if (label := label_of(part))), "")
            sliced = any(isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Slice) for part in others)
            return Place("slice" if sliced else "comparison", label, alone=alone)
        case ast.MatchValue() | ast.MatchOr():
            return Place("comparison", _subject(parent, source))
        case ast.Lambda():
            return Place("return", alone=alone)
        case ast.Return() | ast.Yield():
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            around = next((a for a in source.ancestors(parent) if isinstance(a, functions)), None)
            return Place("return", around.name if around else "", alone=alone)
        case ast.Subscript() if label_of(parent.value) == "Literal":
            return Place("choice", alone=alone)
        case _:
            return Place("other")


def _parameter(arguments: ast.arguments, default: ast.AST) -> str:
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return next((parameter.arg for parameter, value in pairs if value is default), "")


def _subject(pattern: ast.AST, source: Source) -> str:
    match = next((node for node in source.ancestors(pattern) if isinstance(node, ast.Match)), None)
    return label_of(match.subject) if match else ""
