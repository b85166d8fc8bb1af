"""
# DP111 method-reference: .cuda that is named, not called

## What it does

Renames `torch.Tensor.cuda` and `torch.nn.Module.cuda` where they are handed on or called with the object, the method
that `getattr(x, "cuda")()` calls, the module of `getattr(torch, "cuda")`, and the handles of streams and events,
`.cuda_stream` and `.cuda_event`. A bare `model.cuda` that is kept or handed on is reported (warning): it may be the
method or an attribute of that name. What the target has no name for is an error. Switches such as `args.cuda` are
left alone.

## Why

The method is called later, under another name or by another function, and moves to an NVIDIA device then.

## Before

    batches = map(torch.Tensor.cuda, batches)
    launch(kernel, torch.cuda.current_stream().cuda_stream)

## After

    batches = map(torch.Tensor.npu, batches)
    launch(kernel, torch.npu.current_stream().npu_stream)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.findings import Edit
from porter.places import label_of
from porter.rules.rule import Rule
from porter.targets import CUDA, TARGETS, Translation, table, translation
from porter.unit import Found, Unit
from porter.uses import text_of

#: Classes that have the method.
_CLASSES = frozenset(
    """torch.Tensor torch.nn.Module torch.nn.Parameter torch.nn.parameter.Parameter torch.nn.utils.rnn.PackedSequence
    torch.UntypedStorage torch.TypedStorage""".split()
)

#: Every accelerator's words, CUDA's too: undoing looks for those of the others.
_ALL = (CUDA, *(translation(name).new for name in TARGETS))
_METHODS = tuple(one.method for one in _ALL if one.method)
_DEVICES = "|".join(one.name for one in _ALL)

#: What programs keep their own switches in.
_SETTINGS = frozenset(
    """args arg opt opts option options cfg config conf flags FLAGS hparams hp params parsed settings parser kwargs
    namespace env self cls""".split()
)


#: What is called otherwise outside of torch.cuda: `cudagraph_mark_step_begin`.
_RENAMED_MEMBERS = sorted(
    {name.rpartition(".")[2] for target in TARGETS for pair in table(target)["elsewhere"].items() for name in pair}
)


def _words(translation: Translation) -> frozenset[str]:
    return frozenset(filter(None, (translation.old.method, *translation.old.handles.values(), "getattr", "hasattr")))


#: The word where it is no call of the method and no module, or where it is a method of a class.
_SPELLED = r"{0}\b(?:(?<=\.{0})(?!\s*[.(])|(?<=Tensor\.{0})|(?<=Module\.{0})|(?<=ameter\.{0}))"

#: The function with the name of a method among what it is given.
_ASKED_FOR = rf"""{{0}}\s*\([\s\S]{{{{0,300}}}}?["']\w*(?i:{_DEVICES})\w*["']"""

RULE = Rule(
    "DP111",
    "method-reference",
    __doc__,
    words=_words,
    spelled={
        **{name: _SPELLED.format(name) for name in _METHODS},
        **{name: _ASKED_FOR.format(name) for name in ("getattr", "hasattr")},
    },
    beside=(*_METHODS, *(handle for one in _ALL for handle in one.handles.values()), *_RENAMED_MEMBERS),
)


@RULE.on(ast.Attribute)
def rename_the_method_of_a_class(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    old, new = unit.translation.old, unit.translation.new
    if node.attr != old.method or unit.dotted(node.value) not in _CLASSES:
        return
    if new.method:
        edit = Edit(*unit.source.span(node), "rename_method", (old.method, new.method))
        yield unit.fix(RULE.code, node, f".{old.method} becomes .{new.method}", edit)
    else:
        message = f"{new.title} has no method of its own on tensors and modules"
        yield unit.report(RULE.code, "error", node, message, f'lambda x: x.to("{new.name}")')


@RULE.on(ast.Attribute)
def report_the_kept_method(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    """`move = model.cuda`, `map(model.cuda, parts)`."""
    if node.attr != unit.translation.old.method or unit.translation.undoes or not _is_handed_on(node, unit):
        return
    if unit.dotted(node.value) in _CLASSES or (unit.dotted(node) or "").startswith("torch."):
        return
    if label_of(node.value) not in _SETTINGS and not _is_set_somewhere(node.attr, unit):
        message = f".{node.attr} is named here and not called; it was left as it is"
        way_out = f"if it is the method, write {_instead(unit)}"
        yield unit.report(RULE.code, "warning", node, message, way_out)


@RULE.on(ast.Call)
def rename_the_method_asked_for(node: ast.Call, unit: Unit) -> Iterator[Found]:
    """`getattr(x, "cuda")()`, `getattr(torch, "cuda")`, `hasattr(torch, "cuda")`."""
    old, new = unit.translation.old, unit.translation.new
    if label_of(node.func) not in ("getattr", "hasattr") or not isinstance(node.func, ast.Name) or len(node.args) < 2:
        return
    owner, name = node.args[:2]
    if not isinstance(name, ast.Constant):
        return
    yield from _renamed_member(owner, name, unit)
    if text_of(name) != (old.method or old.name):
        return
    around = unit.source.parent.get(node)
    is_module = unit.dotted(owner) == "torch"
    if is_module or (new.method and isinstance(around, ast.Call) and around.func is node):
        written = unit.translation.names[old.name] if is_module else new.method
        edit = Edit(*unit.source.span(name), "replace_start", (old.method or old.name, written))
        yield unit.fix(RULE.code, name, f'"{old.name}" becomes "{written}"', edit)
    elif not unit.translation.undoes:
        message = f'"{old.name}" is asked for by name; it was left as it is'
        yield unit.report(RULE.code, "warning", name, message, f"if it is the method, write {_instead(unit)}")


def _renamed_member(owner: ast.expr, name: ast.Constant, unit: Unit) -> Iterator[Found]:
    """`hasattr(torch.compiler, "cudagraph_mark_step_begin")`, where the member itself is called otherwise."""
    module, member = unit.dotted(owner) or "", text_of(name)
    new = unit.translation.names.get(f"{module.removeprefix('torch.')}.{member}") if module[:6] == "torch." else None
    if new is not None and (written := new.rpartition(".")[2]) != member:
        edit = Edit(*unit.source.span(name), "replace_start", (member, written))
        yield unit.fix(RULE.code, name, f'"{member}" becomes "{written}"', edit)


@RULE.on(ast.Attribute)
def rename_the_handle(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    old, new = unit.translation.old, unit.translation.new
    for handle, name in old.handles.items():
        if node.attr != name or not isinstance(node.ctx, ast.Load):
            continue
        if (written := new.handles.get(handle)) is None:
            message = f"streams and events of {new.title} have no {node.attr}"
            yield unit.report(RULE.code, "error", node, message, "hand on the stream itself, or do without it")
        else:
            edit = Edit(*unit.source.span(node), "rename_method", (node.attr, written))
            yield unit.fix(RULE.code, node, f".{node.attr} becomes .{written}", edit)


def _instead(unit: Unit) -> str:
    new = unit.translation.new
    return f".{new.method}" if new.method else f'lambda x: x.to("{new.name}")'


def _is_handed_on(node: ast.Attribute, unit: Unit) -> bool:
    """Whether the attribute itself is what is assigned or passed, rather than asked or called."""
    parent = unit.source.parent.get(node)
    match parent:
        case ast.Assign(value=value) | ast.AnnAssign(value=value) | ast.Return(value=value):
            return value is node
        case ast.Call(args=arguments):
            return node in arguments and label_of(parent.func) not in ("bool", "print", "str", "hasattr", "isinstance")
        case _:
            return False


def _is_set_somewhere(name: str, unit: Unit) -> bool:
    """Whether the file gives something an attribute or an option of that name, which is a switch then."""
    for node in unit.source.walk(unit.source.lines_of({name.encode()})):
        match node:
            case ast.Attribute(attr=attribute, ctx=ast.Store()) if attribute == name:
                return True
            case ast.Constant(value=str() as text) if text.strip("-").replace("-", "_") in (name, f"no_{name}"):
                if text.startswith("-"):
                    return True
    return False
