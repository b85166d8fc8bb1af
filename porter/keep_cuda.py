"""Port so that the program still runs on CUDA: which device there is, it asks torch, in one place.

    DEVICE = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"

    "cuda"                     ->  DEVICE                            x.cuda()    ->  x.to(DEVICE)
    f"cuda:{rank}"             ->  f"{DEVICE}:{rank}"
    x.is_cuda                  ->  (DEVICE != "cpu" and x.device.type == DEVICE)
    d.type == "cuda"           ->  (DEVICE != "cpu" and d.type == DEVICE)
    torch.cuda.synchronize()   ->  torch.get_device_module().synchronize()
    torch.cuda.empty_cache()   ->  torch.accelerator.is_available() and torch.get_device_module().empty_cache()
    torch.cuda.is_available()  ->  torch.accelerator.is_available()
    "nccl"                     ->  torch.distributed.get_default_backend_for_device(DEVICE)

Where there is no accelerator, DEVICE is "cpu": what then asks for CUDA gets the answer that it had, and what torch.cuda
takes without a device, it takes still. The rules port to an accelerator whose words are marks, and the marks become
these expressions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from porter.both_devices import COMPARES
from porter.changes import Change
from porter.findings import SAFE, Edit, Finding
from porter.names import Names
from porter.places import label_of
from porter.targets import Translation
from porter.unit import Found, Unit

#: What stands for the device, its backend and its profiler activity until the text is put together.
_DEVICE, _BACKEND, _ACTIVITY = "keptcudadevice", "keptcudabackend", "KEPTCUDAACTIVITY"
#: What is said of a name that is called otherwise on the other accelerator.
_CALLED = "it is called"

#: Rules about names in places where no expression can stand.
_NAMED_BY_TEXT = frozenset({"DP111", "DP112", "DP113", "DP115"})

_MODULE, _ASKED = "keptcudamodule", "get_device_module()"

#: A chain that is made into a call: without blanks, comments or parentheses within.
_CHAIN = re.compile(r"[\w.]+")

#: What torch.cuda does, or says, without a device as well, and torch.cpu has not.
_NEEDS_NO_DEVICE = re.compile(
    r"\b(?:empty_cache|ipc_collect|(?:manual_)?seed(?:_all)?|is_initialized|memory_stats|[gs]et_rng_state_all"
    r"|(?:max_)?memory_(?:allocated|reserved|cached))\b"
)
_IS_THERE_ONE = "torch.accelerator.is_available()"

#: What its functions give then, by a part of their name.
_NOTHING = {"stats": "{}", "memory_": "0", "initialized": "False", "rng_state": "[]"}

#: What is asked of torch.accelerator: without one, the module of the device is torch.cpu, which is always available.
_ASKS_WHETHER_THERE_IS_ONE = {
    "cuda.is_available": "accelerator.is_available",
    "cuda.device_count": "accelerator.device_count",
}

_LITERAL = re.compile(
    rf"""(?P<prefix>[fFuUrR]{{0,2}}) (?P<quote>\"{{3}}|'{{3}}|\"|')
         (?P<text>(?:(?!(?P=quote))[^\\]|\\.)*? (?:{_DEVICE}|{_BACKEND}) (?:(?!(?P=quote))[^\\]|\\.)*) (?P=quote)""",
    re.VERBOSE | re.DOTALL,
)
_NAMES = ("DEVICE", "ACCELERATOR", "DEVICE_TYPE")


@cache
def keeping_cuda(wanted: Translation) -> Translation:
    """The translation to an accelerator of which the program asks torch; where names differ, it cannot."""
    names = {old: new for old, new in wanted.names.items() if old.startswith("cuda") and _is_namesake(old, new, wanted)}
    cuda = {old: new for old, new in wanted.names.items() if old.startswith("cuda") and old not in names}
    other = {old: f"{_CALLED} torch.{new} there: choose by the device" for old, new in cuda.items()}
    device = replace(
        wanted.new, name=_DEVICE, method=None, flag=None, backend=wanted.new.backend and _BACKEND,
        profiler_activity=wanted.new.profiler_activity and _ACTIVITY,
    )  # fmt: skip
    module = {old: _MODULE + old.removeprefix("cuda") for old in names} | _ASKS_WHETHER_THERE_IS_ONE
    return replace(wanted, new=device, names=module, lacking=wanted.lacking | other, keeps_cuda=True)


def kept(found: list[Found], unit: Unit) -> list[Found]:
    """What the rules have found by the marks, as far as it can be an expression, and the line that finds the device."""
    kept = [_kept(one, unit) for one in found if one.finding.code.startswith("DP1") or _is_called_otherwise(one)]
    if any(one.edits for one in kept):
        kept += _defined(kept, unit)
    return kept


def expressions(changes: list[Change], text: str) -> list[Change]:
    """The changes with expressions in the place of marks; `text` is what they are made to."""
    name, torch = _name_in(text), _torch_in(text)
    return [change._replace(new=_expression(change.new, name, torch)) for change in changes]


def _is_called_otherwise(one: Found) -> bool:
    return one.finding.way_out.startswith(_CALLED)


def _kept(one: Found, unit: Unit) -> Found:
    finding = one.finding._replace(message=_said(one.finding.message), way_out=_said(one.finding.way_out))
    if not one.edits:
        return Found(finding)
    if finding.code in _NAMED_BY_TEXT:
        return _reported(finding, "it is called otherwise on the other accelerator", "choose by the device")
    if finding.code == "DP107":
        return _reported(finding, "the other accelerator reads its own", "set that one as well")
    if any(_is_import(edit, unit) for edit in one.edits):
        return _imported(finding, one.edits[0], unit)
    if any(edit.change == "rename_chain" and not _begins_with_torch(edit, unit) for edit in one.edits):
        return _reported(finding, "this name was imported from torch.cuda", f"torch.{_ASKED} in its place")
    if any(edit.arguments[1:] == ((_ACTIVITY,),) and not _CHAIN.fullmatch(_text_of(edit, unit)) for edit in one.edits):
        return _reported(finding, "it is not written in one piece", "getattr(ProfilerActivity, the device's name)")
    is_type = any(edit.change == "replace_start" and _MODULE in str(edit.arguments) for edit in one.edits)
    if is_type or any(_has_to_be_written_out(edit, unit) for edit in one.edits):
        return _reported(finding, "a pattern or type has to be written out", "add one for the other accelerator")
    return Found(finding, (*one.edits, *_without_an_accelerator(finding, one.edits, unit)))


def _without_an_accelerator(finding: Finding, edits: tuple[Edit, ...], unit: Unit) -> Iterator[Edit]:
    """What is put around an edit, so that the program goes on as it did where there is no accelerator."""
    for edit in edits:
        needs_none = any(
            str(one)[2:].startswith(_MODULE) and _NEEDS_NO_DEVICE.search(str(one)) for one in edit.arguments
        )
        if not needs_none and (finding.code != COMPARES or edit.change != "replace_start"):
            continue
        node = next(
            (one for one in unit.source.parent if isinstance(one, ast.expr) and _stands_at(one, edit, unit)), None
        )
        parent = unit.source.parent.get(node) if node is not None else None
        if needs_none and isinstance(parent, ast.Call) and parent.func is node and not _is_asked_for(parent, unit):
            yield _called_where_there_is_one(parent, label_of(parent.func), unit)
        elif not needs_none and isinstance(parent, ast.Compare) and isinstance(parent.ops[0], ast.Eq | ast.NotEq):
            asks = '== "cpu" or' if isinstance(parent.ops[0], ast.NotEq) else '!= "cpu" and'
            yield _around(parent, f"({_DEVICE} {asks} ", ")", unit)
        elif not needs_none and isinstance(parent, ast.Call) and label_of(parent.func) == "startswith":
            yield _around(parent, f'({_DEVICE} != "cpu" and ', ")", unit)


def _called_where_there_is_one(call: ast.Call, name: str, unit: Unit) -> Edit:
    if isinstance(unit.source.parent.get(call), ast.Expr):
        return _around(call, f"{_IS_THERE_ONE} and ", "", unit)
    nothing = next((value for part, value in _NOTHING.items() if part in name), "None")
    return _around(call, "(", f" if {_IS_THERE_ONE} else {nothing})", unit)


def _around(node: ast.AST, before: str, behind: str, unit: Unit) -> Edit:
    start, end = unit.source.span(node)
    return Edit(start, end, "", (before, (start, end), behind))


def _stands_at(node: ast.AST, edit: Edit, unit: Unit) -> bool:
    return unit.source.span(node) == (edit.start, edit.end)


def _is_asked_for(node: ast.AST, unit: Unit) -> bool:
    """Whether the program asks first: `if torch.cuda.is_available():`."""
    tests = (one.test for one in unit.source.ancestors(node) if isinstance(one, ast.If | ast.IfExp))
    named = (one for test in tests for one in ast.walk(test) if isinstance(one, ast.Attribute | ast.Name))
    return any(unit.dotted(one) == "torch.cuda.is_available" for one in named)


def _reported(finding: Finding, why: str, way_out: str) -> Found:
    message = f"{finding.message.partition(' becomes ')[0]} stays as it is: {why}"
    return Found(finding._replace(severity="warning", message=message, way_out=way_out, applicability=""))


def _said(text: str) -> str:
    text = text.replace(f'"{_DEVICE}"', "DEVICE").replace(f'"{_BACKEND}"', "its default backend")
    text = text.replace(_MODULE, _ASKED)
    return text.replace(_DEVICE, "DEVICE").replace(_BACKEND, "its backend").replace(_ACTIVITY, "DEVICE")


# imports


def _is_import(edit: Edit, unit: Unit) -> bool:
    return edit.change == "change_import"


def _imported(finding: Finding, edit: Edit, unit: Unit) -> Found:
    """`from torch.cuda.amp import autocast` asks the module of the device for it: `autocast = torch....autocast`."""
    statement = next(one for one in unit.source.names.imports if unit.source.span(one)[0] == edit.start)
    torch = _torch_above(statement, unit.source.names)
    module = getattr(statement, "module", None) or ""
    if torch is None or not module.startswith("torch.cuda"):
        return _reported(finding, "it imports CUDA's module", f"torch.{_ASKED} in its place")
    below = module.removeprefix("torch.")
    bound = ", ".join(alias.asname or alias.name for alias in statement.names)
    values = ", ".join(f"{torch}.{_asked_for(f'{below}.{alias.name}')}" for alias in statement.names)
    message = f"{bound} {'are' if ',' in bound else 'is'} asked of torch.{_ASKED}"
    return Found(finding._replace(message=message), (Edit(edit.start, edit.end, "", (f"{bound} = {values}",)),))


def _asked_for(name: str) -> str:
    """What stands for a name below torch: `cuda.synchronize` is asked of the module of the device."""
    return _ASKS_WHETHER_THERE_IS_ONE.get(name, _ASKED + name.removeprefix("cuda"))


def _torch_above(statement: ast.Import | ast.ImportFrom, names: Names) -> str | None:
    """What torch is called, where a line above has imported it."""
    for other in names.imports:
        if other.lineno < statement.lineno and isinstance(other, ast.Import):
            for alias in other.names:
                if alias.name == "torch":
                    return alias.asname or "torch"
    return None


def _text_of(edit: Edit, unit: Unit) -> str:
    return unit.source.data[edit.start : edit.end].decode("utf-8")


def _begins_with_torch(edit: Edit, unit: Unit) -> bool:
    if edit.arguments[1] == (_ACTIVITY,):
        return True
    found = re.search(r"\w+", _text_of(edit, unit))
    first = found[0] if found else ""
    return unit.source.names.bound.get(first, first) == "torch"


def _has_to_be_written_out(edit: Edit, unit: Unit) -> bool:
    """In a `match` pattern and in `Literal["cuda"]`, there can be no expression, nor as the default of the latter."""
    for node, parent in unit.source.parent.items():
        if isinstance(node, ast.expr) and unit.source.span(node) == (edit.start, edit.end):
            around = [parent, *unit.source.ancestors(parent)][:3]
            return any(isinstance(one, ast.pattern) or _is_literal_type(one) for one in around) or any(
                map(_is_literal_type, ast.walk(annotation)) if (annotation := _annotation_of(node, parent)) else ()
            )
    return False


def _is_literal_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and label_of(node.value) == "Literal"


def _annotation_of(value: ast.expr, parent: ast.AST) -> ast.expr | None:
    """The type that is declared for a value: of the parameter whose default it is, or of the variable."""
    if isinstance(parent, ast.AnnAssign):
        return parent.annotation
    if not isinstance(parent, ast.arguments):
        return None
    by_place = [*parent.posonlyargs, *parent.args]
    with_default = by_place[len(by_place) - len(parent.defaults) :]
    arguments = [*with_default, *parent.kwonlyargs]
    declared = zip(arguments, [*parent.defaults, *parent.kw_defaults], strict=True)
    return next((argument.annotation for argument, default in declared if default is value), None)


# the device


def _defined(kept: list[Found], unit: Unit) -> list[Found]:
    """The line that asks torch for the device, below the imports that the file begins with, and above what uses it."""
    name = _name_in(unit.source.text)
    if not _uses_device(kept):
        return []
    if imports := _imports_within_functions(kept, unit):
        return [_defined_behind(statement, name, unit) for statement in imports]
    if _definition("torch", name) in unit.source.text:
        return []
    first_use = min(edit.start for one in kept for edit in one.edits)
    at, torch, line = _place_of_definition(first_use, unit)
    newline = "\r\n" if b"\r\n" in unit.source.data else "\n"
    text = f"{newline}{_definition(torch or 'torch', name)}{newline}"
    if torch is None:
        text = f"import torch{newline}{text}{newline}"
    finding = Finding("DP101", "fix", f"{name} is the device that torch finds", line, 1, line, 1, applicability=SAFE)
    return [Found(finding, (Edit(at, at, "", (text,)),))]


def _imports_within_functions(kept: list[Found], unit: Unit) -> list[ast.Import]:
    """Where a program imports torch in its functions alone, the imports above all that asks for the device.

    None where something outside of them asks for it too.
    """
    torch = [
        one for one in unit.source.names.imports
        if isinstance(one, ast.Import) and any(alias.name == "torch" and not alias.asname for alias in one.names)
    ]  # fmt: skip
    for _ in unit.source.walk(sorted({one.lineno for one in torch})):
        pass  # so that it knows what is around each
    bodies = [_functions_body(one, unit) for one in torch]
    if not torch or None in bodies:
        return []
    found: dict[ast.Import, None] = {}
    for edit in (edit for one in kept if _uses_device([one]) for edit in one.edits):
        own = [
            (span[1] - span[0], statement)
            for statement, span in zip(torch, bodies, strict=True)
            if span and unit.source.span(statement)[1] <= edit.start and edit.end <= span[1]
        ]
        if not own:
            return []
        found[min(own, key=lambda one: one[0])[1]] = None
    return list(found)


def _functions_body(statement: ast.Import, unit: Unit) -> tuple[int, int] | None:
    """The bytes of the function whose own statement this is; None where it is another's, such as a condition's."""
    parent = unit.source.parent.get(statement)
    if not isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) or len(parent.body) < 2:
        return None
    return unit.source.span(parent) if statement.lineno > parent.lineno else None


def _defined_behind(statement: ast.Import, name: str, unit: Unit) -> Found:
    source = unit.source
    at = source.line_starts[statement.end_lineno or statement.lineno]
    newline = "\r\n" if b"\r\n" in source.data else "\n"
    line = source.line_text(statement.lineno)
    indent = line[: len(line) - len(line.lstrip())]
    finding = Finding(
        "DP101", "fix", f"{name} is the device that torch finds", statement.lineno, 1, statement.lineno, 1
    )
    return Found(finding, (Edit(at, at, "", (f"{indent}{_definition('torch', name)}{newline}",)),))


def _uses_device(kept: list[Found]) -> bool:
    """Whether a mark of a device, backend or activity stands in some edit; asking for the module needs none."""
    marks = (_DEVICE, _BACKEND, _ACTIVITY)
    texts = (str(edit.arguments) for one in kept for edit in one.edits)
    return any(mark in text for text in texts for mark in marks)


def _definition(torch: str, name: str) -> str:
    asked = f"{torch}.accelerator"
    return f'{name} = {asked}.current_accelerator().type if {asked}.is_available() else "cpu"'


def _place_of_definition(first_use: int, unit: Unit) -> tuple[int, str | None, int]:
    """Where the line goes, what torch is called there (None: it is not imported above), and the line's number."""
    source, torch, top, after = unit.source, None, 0, 0
    for statement in source.tree.body:
        is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not is_text and not isinstance(statement, ast.Import | ast.ImportFrom):
            break
        end = statement.end_lineno or statement.lineno
        behind = source.line_starts[end] if end < len(source.line_starts) else len(source.data)
        if behind > first_use:
            break
        after = behind
        if is_text or (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            top = after
        if isinstance(statement, ast.Import):
            torch = next((alias.asname or "torch" for alias in statement.names if alias.name == "torch"), torch)
    at = after if torch is not None else top
    return at, torch, source.place(at)[0]


def _name_in(text: str) -> str:
    """What the device is called: a name that the file has no other use for."""
    for name in _NAMES:
        if _definition("torch", name) in text or not re.search(rf"\b{name}\b", text):
            return name
    return "PORTED_DEVICE"


# marks into expressions


def _torch_in(text: str) -> str:
    """What a file calls torch."""
    alias = re.search(r"^[ \t]*import torch as (\w+)", text, re.MULTILINE)
    return alias[1] if alias and not re.search(r"^[ \t]*import torch\b(?! as)", text, re.MULTILINE) else "torch"


def _expression(text: str, name: str, torch: str) -> str:
    text = _LITERAL.sub(lambda found: _without_marks(found, name, torch), text)
    text = text.replace(_MODULE, _ASKED).replace(_IS_THERE_ONE, f"{torch}{_IS_THERE_ONE.removeprefix('torch')}")
    return re.sub(rf"([\w.]+)\.{_ACTIVITY}\b", rf"getattr(\1, {name}.upper())", text).replace(_DEVICE, name)


def _without_marks(found: re.Match[str], name: str, torch: str) -> str:
    prefix, quote, text = found["prefix"], found["quote"], found["text"]
    backend = f"{torch}.distributed.get_default_backend_for_device({name})"
    if text in (_DEVICE, _BACKEND) and "f" not in prefix.lower():
        return name if text == _DEVICE else backend
    if "f" not in prefix.lower():
        prefix, text = f"f{prefix.strip('uU')}", text.replace("{", "{{").replace("}", "}}")
    text = text.replace(_DEVICE, f"{{{name}}}").replace(_BACKEND, f"{{{backend}}}")
    return f"{prefix}{quote}{text}{quote}"


def _is_namesake(old: str, new: str, wanted: Translation) -> bool:
    module = wanted.names["cuda"]
    return new == module + old.removeprefix("cuda")
