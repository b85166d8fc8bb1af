"""From a pattern that was found to a finding: the fused call in the program's own names, and the statements it spares.

What is replaced is the outermost expression of the pattern; statements of the same block that only the pattern used go.
Where a name that the call needs means something else by then, the finding is a report and nothing is rewritten.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from porter.analysis.flow import Block, Place, Term, conditional, flows
from porter.findings import Edit
from porter.rules.rule import Rule
from porter.unit import Found, Unit

#: What a finding says of numbers where only the rounding differs; tests hold every pattern to it. Relative to the
#: largest value of the result: four roundings in float16 (2**-11 each) and bfloat16 (2**-8), and 1e-5 in float32.
ROUNDING = "differs by rounding only: at most 1e-5 of the largest value in float32, 2e-3 in float16, 1.6e-2 in bfloat16"
BOUNDS = {"float32": 1e-5, "float16": 4 * 2**-11, "bfloat16": 4 * 2**-8}

_SHOWN = 160
_LINTERS = re.compile(r"#\s*(?:noqa|type:|pyright:|pylint:|fmt:|ruff:|mypy:|nosec)")


class Fused(NamedTuple):
    """What a pattern becomes. `call` is a text with {0}, {1}, ... where the `terms` go.

    `blocked` says why it is only reported; `inner` are values that must have no other use, or nothing is won;
    `needs` is the module that the call is in.
    """

    title: str
    call: str
    terms: tuple[Term, ...]
    numbers: str = ROUNDING
    blocked: str = ""
    inner: tuple[Term, ...] = ()
    needs: str = "torch_npu"


#: Why no fused form is surely the same.
ROUNDS = "the fused form rounds otherwise"

Match = Callable[[Term], Fused | None]


def patterns(
    rule: Rule,
    unit: Unit,
    match: Match,
    kinds: tuple[type[ast.expr], ...],
    beside: Iterable[str],
    words: frozenset[str],
) -> Iterator[Found]:
    """Every place in a file where a pattern begins, outermost first.

    A function that names any of `beside` has the fused form already, or chooses by itself. Without any of `words`, in
    it or its class, nothing begins there.
    """
    chooses = frozenset(("torch_npu", "is_npu_available", "is_torch_npu_available", *beside))
    for flow in flows(unit):
        if not chooses.isdisjoint(flow.names) or words.isdisjoint(flow.names_nearby):
            continue
        for block in flow.blocks:
            taken: set[int] = set()
            for index in reversed(range(len(block.statements))):
                if index not in taken:
                    for root, fused in _outermost(Place(block, index), kinds, match):
                        yield from _found(rule, unit, root, fused, taken)


def _outermost(place: Place, kinds: tuple[type[ast.expr], ...], match: Match) -> Iterator[tuple[Term, Fused]]:
    """The expressions of a statement's own that match, and none within one of them."""
    statement = place.block.statements[place.at]
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return
    stack: list[ast.AST] = [value for _, value in ast.iter_fields(statement) if isinstance(value, ast.expr)]
    while stack:
        node = stack.pop(0)
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        if isinstance(node, kinds) and (fused := match(Term(node, place))) is not None:
            yield Term(node, place), fused
        else:
            stack += ast.iter_child_nodes(node)


def _found(rule: Rule, unit: Unit, root: Term, fused: Fused, taken: set[int]) -> Iterator[Found]:
    block = root.place.block
    reached = _reached(root)
    spared = _spared(root, fused.terms, reached)
    if not all(_is_spared(inner, block, spared) for inner in fused.inner):
        return
    taken |= reached
    before = [_unparsed(block.statements[at]) for at in sorted(spared)]
    before.append(_unparsed(root.node))
    values = [expressed(term, root, spared) for term in fused.terms]
    shown = [_shown(term if value is None else value) for value, term in zip(values, fused.terms, strict=True)]
    after = fused.call.format(*shown)
    message = f"{fused.title}: {_shortened('; '.join(before))}"
    blocked = fused.blocked or ("a name in it means something else by then" if None in values else "")
    way_out = f"{after}; {fused.numbers}" + (f"; {blocked}: rewrite it by hand" if blocked else "")
    edits = None
    if not blocked:
        parts = tuple(_parts(fused.call, [value for value in values if value is not None]))
        edits = _edits(unit, root, spared, parts, fused.needs)
    if not unit.applies or edits is None:
        yield unit.propose(rule.code, root.node, message, way_out, *(edits or ()))
        return
    found = unit.fix(rule.code, root.node, f"{message} becomes {after}; {fused.numbers}", *edits, doubt=ROUNDS)
    first = min((block.statements[at].lineno for at in spared), default=found.finding.line)
    yield found._replace(finding=found.finding._replace(line=first, column=1)) if spared else found


def _is_spared(term: Term, block: Block, spared: frozenset[int]) -> bool:
    """Whether a value has no name, or one that goes."""
    if term.place.block is not block or not isinstance(term.node, ast.Name):
        return True
    return block.version(term.node.id, term.place.at) in spared


def _unparsed(node: ast.AST) -> str:
    return re.sub(r"\s+", " ", ast.unparse(node))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"... {text[-_SHOWN:]}"


def _reached(root: Term) -> set[int]:
    """The statements of the block whose values flow into an expression."""
    block, found = root.place.block, set[int]()
    stack: list[tuple[ast.AST, int]] = [(root.node, root.place.at)]
    while stack:
        node, index = stack.pop()
        for name in _loads(node):
            at = block.version(name, index)
            if at >= 0 and at not in found:
                found.add(at)
                stack.append((block.statements[at], at))
    return found


def _spared(root: Term, terms: Iterable[Term], reached: set[int]) -> frozenset[int]:
    """Those of them that nothing needs any more, once the pattern is one call of these terms."""
    block, index = root.place.block, root.place.at
    kept_names = {
        (name, block.version(name, term.place.at)) for term in _of_block(terms, block) for name in _loads(term.node)
    }
    statement = block.statements[index]
    removed = frozenset(map(id, ast.walk(root.node)))
    spared = {at for at in reached if _can_go(block.statements[at])}
    while True:
        needed = set(kept_names)
        for at, other in enumerate(block.statements):
            if at in spared:
                continue
            own = removed if other is statement else frozenset()
            needed |= {(name, block.version(name, at)) for name in _loads(other, own)}
        needed |= _needed_outside(block, {name for name, at in needed if at == -1})
        still = {at for at in spared if all((name, at) not in needed for name in _stored(block.statements[at]))}
        still = {at for at in still if not (_stored(block.statements[at]) & block.function.escaping)}
        if still == spared:
            return frozenset(spared)
        spared = still


def _of_block(terms: Iterable[Term], block: Block) -> Iterator[Term]:
    """The terms as the block itself has them: what a parameter of a called method stands for in place of it."""
    for term in terms:
        if term.place.block is block:
            yield term
            continue
        bound = dict(term.place.bound)
        yield from _of_block((bound[name] for name in _loads(term.node) if name in bound), block)


def _needed_outside(block: Block, from_outside: set[str]) -> set[tuple[str, int]]:
    """What is read elsewhere in the function, or when the block runs again; nothing where it is the function's body."""
    if block.statements is block.function.node.body:
        return set()
    within = frozenset(id(node) for statement in block.statements for node in ast.walk(statement))
    loads = _loads(block.function.node, within) | from_outside
    return {(name, at) for name in loads for at in block.bindings.get(name, ())}


def _can_go(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()) | ast.AugAssign(target=ast.Name()):
            return True
        case ast.Assign(targets=[ast.Tuple(elts=elements)]):
            return all(isinstance(one, ast.Name) for one in elements)
        case ast.If():
            return conditional(statement) is not None
        case _:
            return False


def _stored(statement: ast.stmt) -> set[str]:
    return {one.id for one in ast.walk(statement) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _loads(node: ast.AST, without: frozenset[int] = frozenset()) -> set[str]:
    """The names that are read; of `x += y`, x too."""
    found: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load) and id(one) not in without:
            found.add(one.id)
        elif isinstance(one, ast.AugAssign) and isinstance(one.target, ast.Name):
            found.add(one.target.id)
    return found


def expressed(term: Term, root: Term, spared: frozenset[int] = frozenset()) -> Term | str | None:
    """What stands for a term where the root is: itself, or a text; None where a name means something else there."""
    block = root.place.block
    if term.place.block is not block:
        return _expressed_from_within(term, root, spared)
    for name in _loads(term.node):
        here = block.version(name, root.place.at, spared)
        if here != block.version(name, term.place.at):
            return None
    return term


def _expressed_from_within(term: Term, root: Term, spared: frozenset[int]) -> Term | str | None:
    """Of a called method: its parameters are what it was called with, `self` is the same, other names are its own."""
    bound = dict(term.place.bound)
    if isinstance(term.node, ast.Name) and term.node.id in bound:
        return expressed(bound[term.node.id], root, spared)
    names = _loads(term.node)
    return ast.unparse(term.node) if names <= {"self"} else None


def _shown(value: Term | str) -> str:
    return value if isinstance(value, str) else _unparsed(value.node)


def _parts(call: str, values: list[Term | str]) -> Iterator[str | tuple[int, int]]:
    """The call with the terms as the program spells them, whatever else changes in those."""
    for at, part in enumerate(re.split(r"\{(\d)\}", call)):
        if at % 2 == 0:
            yield part
            continue
        value = values[int(part)]
        if isinstance(value, str) or not hasattr(value.node, "lineno"):
            yield _shown(value)
        else:
            yield value.place.block.function.unit.source.span(value.node)


def _edits(
    unit: Unit, root: Term, spared: frozenset[int], parts: tuple[str | tuple[int, int], ...], needs: str
) -> list[Edit] | None:
    """None where the statements that go share lines with others."""
    statements = root.place.block.statements
    comments = unit.source.comments()
    if any(line in comments for line in range(root.node.lineno, root.node.end_lineno or 0)):
        return None
    if (added := import_of(needs, unit)) is None:
        return None
    edits = [Edit(*unit.source.span(root.node), "", parts), *added]
    lines_of_others = {
        line
        for at, one in enumerate(statements)
        if at not in spared
        for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)
    }
    for at in spared:
        statement = statements[at]
        last = statement.end_lineno or statement.lineno
        if lines_of_others & set(range(statement.lineno, last + 1)):
            return None
        start = unit.source.line_starts[statement.lineno - 1]
        end = unit.source.line_starts[last] if last < len(unit.source.line_starts) else len(unit.source.data)
        edits.append(Edit(start, end, "", (_comments_of(statement, comments, unit),)))
    return edits


def _comments_of(statement: ast.stmt, comments: dict[int, tuple[int, str]], unit: Unit) -> str:
    """What people wrote beside a statement that goes stays, on lines of its own."""
    newline = "\r\n" if b"\r\n" in unit.source.data else "\n"
    lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    kept = [comments[line][1] for line in lines if line in comments and not _LINTERS.match(comments[line][1])]
    first = unit.source.line_text(statement.lineno)
    indent = first[: len(first) - len(first.lstrip())]
    return "".join(f"{indent}{text.rstrip()}{newline}" for text in kept)


def import_of(module: str, unit: Unit) -> list[Edit] | None:
    """The line that imports a module, below the import of torch; nothing where it is imported; None without a place."""
    source = unit.source
    top = [one for one in source.tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
    whole = [one for one in top if isinstance(one, ast.Import)]
    if any(alias.name == module and alias.asname in (None, module) for one in whole for alias in one.names):
        return []
    torch = [one for one in whole if any(alias.name == "torch" for alias in one.names)]
    after = (torch or top[-1:] or [None])[0]
    last = (after.end_lineno or after.lineno) if after is not None else 0
    if after is None or last >= len(source.line_starts):
        return None
    newline = "\r\n" if b"\r\n" in source.data else "\n"
    at = source.line_starts[last]
    return [Edit(at, at, "", (f"import {module}{newline}",))]


def functional(unit: Unit) -> str:
    """How the file spells torch.nn.functional."""
    for name, meant in unit.source.names.bound.items():
        if meant == "torch.nn.functional":
            return name
    torch = next((name for name, meant in unit.source.names.bound.items() if meant == "torch"), "torch")
    return f"{torch}.nn.functional"
