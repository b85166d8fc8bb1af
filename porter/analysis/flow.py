"""What the names in a function stand for: a pattern is found however its steps are named and split into statements.

A term is an expression at a place. Opening a term follows a name to the expression that it was assigned, as long as
nothing else can have assigned it in between.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from porter.names import parameters_of
from porter.unit import Unit

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Module
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)

#: Methods that give the same for the same tensor, so that two calls of them are one value.
_PURE = frozenset(
    """float half bfloat16 to type type_as contiguous transpose permute view reshape unsqueeze squeeze flatten chunk
    split unbind size dim pow square mean sum sqrt rsqrt t expand detach clone real imag""".split()
)


class Place(NamedTuple):
    """Before which statement of a block; `bound` is what the parameters of a called method stand for."""

    block: Block
    at: int
    bound: tuple[tuple[str, Term], ...] = ()


class Term(NamedTuple):
    """An expression, and where it is evaluated."""

    node: ast.expr
    place: Place

    def of(self, node: ast.expr) -> Term:
        """Another expression at the same place."""
        return Term(node, self.place)


class Part(NamedTuple):
    """One of the values that a tuple was assigned: `x, gate = h.chunk(2, dim=-1)`."""

    whole: Term
    position: int
    of: int


@dataclass(frozen=True, eq=False)
class Block:
    """Statements that run one after the other, in a function; `around` are the statements that they are in."""

    statements: list[ast.stmt]
    function: FunctionFlow
    around: tuple[ast.stmt, ...] = ()

    @cached_property
    def bindings(self) -> dict[str, list[int]]:
        """By name, the statements that may bind it."""
        found: dict[str, list[int]] = {}
        for index, statement in enumerate(self.statements):
            for name in _bound_in(statement):
                found.setdefault(name, []).append(index)
        return found

    def version(self, name: str, index: int, without: frozenset[int] = frozenset()) -> int:
        """The statement that has bound a name last, before one; -1 for what comes from outside the block."""
        return max((at for at in self.bindings.get(name, ()) if at < index and at not in without), default=-1)


@dataclass(eq=False)
class FunctionFlow:
    """One function, and the class around it if any; or what a module does itself."""

    node: Function
    unit: Unit
    owner: ast.ClassDef | None = None
    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        stack: list[tuple[list[ast.stmt], tuple[ast.stmt, ...]]] = [(self.node.body, ())]
        while stack:
            body, around = stack.pop()
            self.blocks.append(Block(body, self, around))
            for statement in body:
                if not isinstance(statement, _SCOPES):
                    stack += [(inner, (*around, statement)) for inner in _bodies(statement)]

    @cached_property
    def escaping(self) -> frozenset[str]:
        """Names that other scopes may change or see: `global`, `nonlocal`, and those used in functions within."""
        found: set[str] = set()
        for node in ast.walk(self.node):
            if isinstance(node, ast.Global | ast.Nonlocal):
                found.update(node.names)
            elif node is not self.node and isinstance(node, _SCOPES):
                found.update(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
        return frozenset(found)

    @cached_property
    def parameters(self) -> list[str]:
        return [] if isinstance(self.node, ast.Module) else parameters_of(self.node)

    @property
    def name(self) -> str:
        return "" if isinstance(self.node, ast.Module) else self.node.name

    @cached_property
    def annotations(self) -> dict[str, ast.expr]:
        """By parameter."""
        if isinstance(self.node, ast.Module):
            return {}
        every = self.node.args
        named = (*every.posonlyargs, *every.args, *every.kwonlyargs)
        return {one.arg: one.annotation for one in named if one.annotation is not None}

    @cached_property
    def methods(self) -> dict[str, ast.FunctionDef]:
        body = self.owner.body if self.owner is not None else []
        return {one.name: one for one in body if isinstance(one, ast.FunctionDef)}

    @cached_property
    def attributes(self) -> dict[str, list[ast.expr]]:
        """What the methods of the class assign to `self.NAME`."""
        found: dict[str, list[ast.expr]] = {}
        pairs: list[tuple[ast.expr, ast.expr]]
        for node in ast.walk(self.owner) if self.owner is not None else ():
            match node:
                case ast.Assign(targets=targets, value=value):
                    pairs = [(target, value) for target in targets]
                case ast.AnnAssign(target=annotated, value=ast.expr() as value):
                    pairs = [(annotated, value)]
                case ast.AugAssign(target=changed):
                    pairs = [(changed, ast.Constant(None))]
                case _:
                    continue
            for target, value in pairs:
                match target:
                    case ast.Attribute(value=ast.Name(id="self"), attr=name):
                        found.setdefault(name, []).append(value)
        return found

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name in it, those of attributes and imports too."""
        return frozenset(_names_in(self.node))

    @cached_property
    def names_nearby(self) -> frozenset[str]:
        """Those of the class around it too, whose methods may be read through."""
        return self.names if self.owner is None else _names_of_class(self.owner)


@lru_cache(maxsize=64)
def _names_of_class(owner: ast.ClassDef) -> frozenset[str]:
    return frozenset(_names_in(owner))


def _names_in(top: ast.AST) -> Iterator[str]:
    for node in ast.walk(top):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name


@lru_cache(maxsize=1)  # asked by every rule for the same file
def flows(unit: Unit) -> tuple[FunctionFlow, ...]:
    """Every function of a file, and the file itself."""
    functions = [FunctionFlow(node, unit, owner) for node, owner in _functions(unit.source.tree, None)]
    return (*functions, FunctionFlow(unit.source.tree, unit))


def _functions(node: ast.AST, owner: ast.ClassDef | None) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield child, owner
                yield from _functions(child, None)
            case ast.ClassDef():
                yield from _functions(child, child)
            case ast.stmt() | ast.ExceptHandler() | ast.match_case():
                yield from _functions(child, owner)


def opened(term: Term) -> Term:
    """What an expression is, names followed as far as they can be."""
    for _ in range(64):
        following = _followed(term)
        if following is None:
            return term
        term = following
    return term


def part_of(term: Term) -> Part | None:
    """The tuple that a name is one value of; `x[0]` of a name counts too."""
    for _ in range(64):
        if isinstance(term.node, ast.Subscript) and isinstance(term.node.slice, ast.Constant):
            index = term.node.slice.value
            return Part(term.of(term.node.value), index, 0) if isinstance(index, int) else None
        if not isinstance(term.node, ast.Name):
            return None
        definition = _definition(term)
        if isinstance(definition, Part):
            return definition
        if definition is None:
            return None
        term = definition
    return None


def key(term: Term) -> object:
    """Equal for terms that are the same value."""
    node = term.node
    if isinstance(node, ast.Name):
        bound = dict(term.place.bound)
        if node.id in bound and term.place.block.version(node.id, term.place.at) == -1:
            return key(bound[node.id])
        definition = _definition(term)
        if isinstance(definition, Term) and isinstance(definition.node, ast.Name | ast.Attribute):
            return key(definition)
        version = term.place.block.version(node.id, term.place.at)
        return "name", id(term.place.block), node.id, version
    if isinstance(node, ast.Constant):
        return "constant", type(node.value).__name__, repr(node.value)
    if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Attribute) and node.func.attr in _PURE):
        return "call", id(node)
    parts: list[object] = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.expr):
                parts.append(key(term.of(one)))
            elif isinstance(one, ast.keyword):
                parts.append((one.arg, key(term.of(one.value))))
            elif isinstance(one, ast.AST):
                parts.append(type(one).__name__)
            else:
                parts.append((name, one))
    return tuple(parts)


def same(one: Term, other: Term) -> bool:
    return key(one) == key(other)


def _followed(term: Term) -> Term | None:
    if isinstance(term.node, ast.Name):
        bound = dict(term.place.bound)
        if term.node.id in bound and term.place.block.version(term.node.id, term.place.at) == -1:
            return bound[term.node.id]
        definition = _definition(term)
        return definition if isinstance(definition, Term) else None
    if isinstance(term.node, ast.Call):
        return _returned(term)
    return None


def _definition(term: Term) -> Term | Part | None:
    """What a name was assigned last, if that is beyond doubt."""
    assert isinstance(term.node, ast.Name)
    name, block = term.node.id, term.place.block
    if name in block.function.escaping:
        return None
    at = block.version(name, term.place.at)
    if at < 0:
        return None
    place = Place(block, at, term.place.bound)
    value: ast.expr | None
    match block.statements[at]:
        case (
            ast.Assign(targets=[ast.Name()], value=value) | ast.AnnAssign(target=ast.Name(), value=ast.expr() as value)
        ):
            return Term(value, place)
        case ast.AugAssign(target=ast.Name() as target, op=op, value=value):
            before = _definition(Term(ast.Name(target.id, ast.Load()), place))
            if isinstance(before, Term) and isinstance(before.node, ast.BinOp | ast.Call):
                return Term(ast.copy_location(ast.BinOp(ast.Name(target.id, ast.Load()), op, value), value), place)
        case ast.Assign(targets=[ast.Tuple(elts=elements)], value=value):
            if all(isinstance(one, ast.Name) for one in elements):
                index = next(i for i, one in enumerate(elements) if isinstance(one, ast.Name) and one.id == name)
                if isinstance(value, ast.Tuple) and len(value.elts) == len(elements):
                    return Term(value.elts[index], place)
                return Part(Term(value, place), index, len(elements))
        case ast.If() as branch if (value := conditional(branch)) is not None:
            return Term(value, place)
    return None


def conditional(branch: ast.If) -> ast.expr | None:
    """What a branch of one assignment gives where it is taken, if the value may stand for the whole.

    if mask is not None: s = s + mask
    if self.weight.dtype in [torch.float16, torch.bfloat16]: x = x.to(self.weight.dtype)
    """
    if branch.orelse or len(branch.body) != 1:
        return None
    value: ast.expr
    match branch.body[0]:
        case ast.Assign(targets=[ast.Name(id=name)], value=given):
            value = given
        case ast.AugAssign(target=ast.Name(id=name), op=ast.Add() as op, value=added):
            value = ast.copy_location(ast.BinOp(ast.Name(name, ast.Load()), op, added), added)
        case _:
            return None
    match branch.test, value:
        case (
            ast.Compare(left=ast.Name(id=asked), ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]),
            ast.BinOp(left=ast.Name(id=one), op=ast.Add(), right=ast.Name(id=other)),
        ) if {one, other} == {name, asked}:
            return value
        case (
            ast.Compare(left=ast.Attribute(value=weight, attr="dtype"), ops=[ast.In()]),
            ast.Call(func=ast.Attribute(value=ast.Name(id=one), attr="to" | "type_as"), args=[like], keywords=[]),
        ) if one == name:
            meant = like.value if isinstance(like, ast.Attribute) and like.attr == "dtype" else like
            return value if ast.dump(meant) == ast.dump(weight) else None
    return None


def _returned(term: Term) -> Term | None:
    """What a method of the same class returns, if it does nothing else than to work that out: `self._norm(x)`."""
    match term.node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name), args=arguments, keywords=[]):
            method = term.place.block.function.methods.get(name)
        case _:
            return None
    if method is None or method.decorator_list or method.name.startswith("forward"):
        return None
    parameters = parameters_of(method)[1:]
    if len(parameters) != len(arguments) or any(isinstance(one, ast.Starred) for one in arguments):
        return None
    body = [one for one in method.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    *steps, last = body or [ast.Pass()]
    if not isinstance(last, ast.Return) or last.value is None or not all(isinstance(one, ast.Assign) for one in steps):
        return None
    flow = FunctionFlow(method, term.place.block.function.unit, term.place.block.function.owner)
    block = next(one for one in flow.blocks if one.statements is method.body)
    bound = tuple(zip(parameters, (term.of(one) for one in arguments), strict=True))
    return Term(last.value, Place(block, method.body.index(last), bound))


def _bodies(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        if body := getattr(statement, name, None):
            yield body
    for handler in getattr(statement, "handlers", ()):
        yield handler.body
    for case in getattr(statement, "cases", ()):
        yield case.body


def _bound_in(statement: ast.stmt) -> set[str]:
    """The names that a statement may bind, or whose tensor it may change in place."""
    found: set[str] = set()
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
                found.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                if method.endswith("_") and not method.startswith("_"):
                    found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name.partition(".")[0])
    return found
