"""
# DP104 torch-namespace: torch.cuda and what is below it

## What it does

`torch.cuda.X` becomes `torch.npu.X`, through every form of import and alias, where the target has it by its table.
Names that differ are renamed (`torch.cuda.CUDAGraph` becomes `torch.npu.NPUGraph`). What the target does not have
stays as it is, and DP201 reports it. An imported name is renamed all over the file, unless the file calls something
else by either name: then the import keeps the old one with `as`.

## Why

`torch.cuda` asks the NVIDIA driver. Without one its functions raise, or answer silently that there is no device.

## Before

    from torch.cuda.amp import GradScaler
    torch.cuda.empty_cache()

## After

    from torch.npu.amp import GradScaler
    torch.npu.empty_cache()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.findings import Edit
from porter.places import device_is_meant, place_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit


def _words(translation: Translation) -> frozenset[str]:
    """The module's own name, names outside of it (`is_nccl_available`), and what an alias may hold (`CUDAGraph`)."""
    module = translation.old.name
    pairs = [(name, name.rpartition(".")[2], new.rpartition(".")[2]) for name, new in translation.names.items()]
    return frozenset({module} | {old for name, old, new in pairs if module not in name.split(".") or old != new})


RULE = Rule("DP104", "torch-namespace", __doc__, words=_words)


@RULE.on(ast.Attribute)
def rename_the_chain(node: ast.Attribute, unit: Unit) -> Iterator[Found]:
    """`torch.cuda.X` and `cuda.X`: one edit over the part of the chain that the table knows."""
    name = _below_torch(unit.dotted(node))
    if name is None or _goes_on(node, unit) or (known := unit.translation.known_part(name)) is None:
        return
    chain = _without_attributes(node, name.count(".") - known.count("."))
    written = _names_written(chain, unit)
    old = known.split(".")[-written:]
    new = unit.translation.names[known].split(".")
    if written < known.count(".") + 1:  # an alias stands for the first part, and its import changes that
        new = new[-written:]
    if written and old != new:
        edit = Edit(*unit.source.span(chain), "rename_chain", (tuple(old), tuple(new)))
        yield unit.fix(RULE.code, chain, f"torch.{known} becomes torch.{unit.translation.names[known]}", edit)


@RULE.on(ast.Name)
def rename_what_was_imported(node: ast.Name, unit: Unit) -> Iterator[Found]:
    """The `cuda` of `from torch import cuda`, the `CUDAGraph` of `from torch.cuda import CUDAGraph`."""
    new = _new_name(node, unit) if isinstance(node.ctx, ast.Load) else None
    if new and not _renamed_with_its_chain(node, unit):
        edit = Edit(*unit.source.span(node), "rename_chain", ((node.id,), (new,)))
        yield unit.fix(RULE.code, node, f"{node.id} becomes {new}", edit)


@RULE.on(ast.Import)
def rename_the_module(node: ast.Import, unit: Unit) -> Iterator[Found]:
    """`import torch.cuda`, `import torch.cuda.amp as amp`."""
    renamed = []
    for alias in node.names:
        name = _below_torch(alias.name)
        if name in unit.translation.names:
            renamed.append((alias.name, f"torch.{unit.translation.names[name]}"))
    if renamed:
        edit = Edit(*unit.source.span(node), "change_import", ("", tuple(renamed)))
        old, new = renamed[0]
        yield unit.fix(RULE.code, node, f"{old} becomes {new}", edit)


@RULE.on(ast.ImportFrom)
def rename_what_is_imported(node: ast.ImportFrom, unit: Unit) -> Iterator[Found]:
    """`from torch import cuda`, `from torch.cuda import Stream`: only if the target has all that is imported."""
    package, _, module = (node.module or "").partition(".")
    if node.level or package != "torch":
        return
    found, modules = _what_comes_from_where(node, module, unit)
    if len(modules) == 1:
        new_module = f"torch.{modules.pop()}".rstrip(".")
        renamed = tuple((old, _spelling(old, new, unit)) for old, new in found.items())
        if new_module == node.module and all(old == new for old, new in renamed):  # torch's own, the same everywhere
            return
        edit = Edit(*unit.source.span(node), "change_import", (new_module, renamed))
        old, new = renamed[0] if node.module == new_module else (node.module, new_module)
        yield unit.fix(RULE.code, node, f"{old} becomes {new}", edit)
    elif modules:
        way_out = "import what moves to another module in a statement of its own"
        message = (
            f"{unit.translation.new.title} has these in {' and '.join(f'torch.{name}' for name in sorted(modules))}"
        )
        yield unit.report(RULE.code, "error", node, message, way_out)
    elif found and not unit.translation.undoes:
        has = ", ".join(sorted(found))
        message = (
            f"{unit.translation.new.title} has {has}, but not all that this statement imports; it was left as it is"
        )
        yield unit.report(RULE.code, "error", node, message, "import what is there in a statement of its own")


@RULE.on(ast.Constant)
def rename_the_type_string(node: ast.Constant, unit: Unit) -> Iterator[Found]:
    """`tensor.type("torch.cuda.FloatTensor")`."""
    if not isinstance(node.value, str) or not node.value.endswith("Tensor"):
        return
    name = _below_torch(node.value)
    if name in unit.translation.names and device_is_meant(place_of(node, unit.source)):
        new = f"torch.{unit.translation.names[name]}"
        edit = Edit(*unit.source.span(node), "replace_start", (node.value, new))
        yield unit.fix(RULE.code, node, f"{node.value} becomes {new}", edit)


def _what_comes_from_where(node: ast.ImportFrom, module: str, unit: Unit) -> tuple[dict[str, str], set[str]]:
    """The new dotted names of what a statement imports from a module below torch, and the modules they are in."""
    names = unit.translation.names
    if node.names[0].name == "*":
        return {}, {names[module]} if module in names else set()
    prefix = f"{module}." if module else ""
    found = {alias.name: names[prefix + alias.name] for alias in node.names if prefix + alias.name in names}
    modules = {new.rpartition(".")[0] for new in found.values()}
    if len(found) < len(node.names):  # what has no new name can only stay with its module
        modules &= {module}
    return found, modules


def _spelling(old: str, found: str, unit: Unit) -> str:
    """What the import statement says for a name: the new one, or a name that the file goes on calling what it did."""
    new = found.rpartition(".")[2]
    return new if new == old or unit.may_rename(old, new) else f"{new} as {old}"


def _new_name(node: ast.expr, unit: Unit) -> str | None:
    """What a bare name is called after the port, where the import that binds it gives it another name."""
    if not isinstance(node, ast.Name) or node.id not in unit.source.names.unaliased:
        return None
    old = node.id
    new = unit.translation.names.get(_below_torch(unit.dotted(node)) or "", "").rpartition(".")[2]
    if not new or new == old or not unit.may_rename(old, new):
        return None
    for statement in unit.source.names.imports:
        if isinstance(statement, ast.ImportFrom) and any(alias.name == old for alias in statement.names):
            _, modules = _what_comes_from_where(statement, (statement.module or "").partition(".")[2], unit)
            return new if len(modules) == 1 else None
    return None


def _renamed_with_its_chain(node: ast.expr, unit: Unit) -> bool:
    parent = unit.source.parent.get(node)
    while isinstance(parent, ast.Attribute):
        node, parent = parent, unit.source.parent.get(parent)
    name = _below_torch(unit.dotted(node))
    return isinstance(node, ast.Attribute) and bool(name and unit.translation.known_part(name))


def _below_torch(dotted: str | None) -> str | None:
    return dotted[len("torch.") :] if dotted and dotted.startswith("torch.") else None


def _goes_on(node: ast.Attribute, unit: Unit) -> bool:
    parent = unit.source.parent.get(node)
    return isinstance(parent, ast.Attribute) and parent.value is node


def _without_attributes(node: ast.expr, count: int) -> ast.expr:
    for _ in range(count):
        if isinstance(node, ast.Attribute):
            node = node.value
    return node


def _names_written(node: ast.expr, unit: Unit) -> int:
    """How many names of the chain the file spells out, where an alias may stand for the first ones."""
    count = 0
    while isinstance(node, ast.Attribute):
        count, node = count + 1, node.value
    return count + 1 if _new_name(node, unit) else count
