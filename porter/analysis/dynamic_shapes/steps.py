"""Where a program comes by at every step, and which of the values there are tensors of the accelerator.

Steps are a module's `forward` and what it calls in the same file, and the bodies of loops that train, denoise or go
through batches. A branch that is only taken now and then (`if step % 100 == 0:`) is none. What is not evidently a
tensor on the accelerator counts as a value of the host.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from porter.analysis.flow import Block, Place, Term, flows, opened, part_of
from porter.analysis.terms import dotted
from porter.places import label_of
from porter.unit import Unit
from porter.uses import text_of

_FACTORIES = frozenset(
    """torch.tensor torch.arange torch.ones torch.zeros torch.empty torch.full torch.rand torch.randn torch.randint
    torch.linspace torch.eye torch.randperm torch.from_numpy torch.as_tensor torch.logspace torch.Tensor torch.load
    torch.LongTensor torch.FloatTensor""".split()
)
_NO_TENSORS = re.compile(
    r"torch\.(?:cuda|npu|backends|distributed|utils|device|finfo|iinfo|Size|Generator|is_\w+|get_\w+|set_\w+|jit|compile"
    r"|autocast|no_grad|manual_seed|nn\.(?!functional)|optim|profiler|float\w*|int\w*|equal|allclose|version|__version__)"
)
_OFF = frozenset("cpu numpy tolist item".split())
_META = frozenset(
    "size dim numel stride element_size data_ptr shape ndim device dtype is_contiguous get_device".split()
)
_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_NETWORK = re.compile(r"Module|Model|Layer|Block|Net$|Encoder|Decoder|Attention|Transformer|Embedding")
_SELDOM = re.compile(r"debug|verbose|is_(?:logging|exporting|tracing|scripting)|log_")
_BATCHES = re.compile(r"loader|timesteps", re.IGNORECASE)
_BOOLEAN = frozenset("bool eq ne gt ge lt le isnan isinf isfinite logical_and logical_or logical_not isin".split())


class Step(NamedTuple):
    """A node that is come by at every step, evaluated at a place; `loop` is the innermost loop of steps around it."""

    term: Term
    loop: ast.For | ast.While | ast.AsyncFor | None

    @property
    def node(self) -> ast.expr:
        return self.term.node


@lru_cache(maxsize=1)  # asked by every rule for the same file
def steps(unit: Unit) -> tuple[Step, ...]:
    """Every expression of a file that is worked out at every step."""
    return tuple(_steps(unit))


def _steps(unit: Unit) -> Iterator[Step]:
    hot = _run_by_forward(unit)
    for flow in flows(unit):
        for block in flow.blocks:
            loop = next((one for one in reversed(block.around) if isinstance(one, _LOOPS) and _is_of_steps(one)), None)
            if (loop is None and flow.name not in hot) or _is_now_and_then(block):
                continue
            for index, statement in enumerate(block.statements):
                for node in _own(statement):
                    yield Step(Term(node, Place(block, index)), loop)


def is_tensor(term: Term, depth: int = 12) -> bool:
    """Whether a value is a tensor of the accelerator, beyond doubt."""
    if depth == 0:
        return False
    if isinstance(term.node, ast.Name) and _is_a_loss(term.node.id, term):
        return True
    term = opened(term)
    match term.node:
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if not (dotted(term.of(term.node.func)) or ""):
            return name not in _OFF | _META and is_tensor(term.of(owner), depth - 1) and not _goes_to_the_cpu(term.node)
        case ast.Call(func=function):
            return _gives_a_tensor(dotted(term.of(function)) or "", term, depth)
        case ast.BinOp(left=left, right=right):
            return is_tensor(term.of(left), depth - 1) or is_tensor(term.of(right), depth - 1)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq() | ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE()]):
            return is_tensor(term.of(left), depth - 1) or is_tensor(term.of(term.node.comparators[0]), depth - 1)
        case ast.UnaryOp(op=ast.Invert() | ast.USub(), operand=operand):
            return is_tensor(term.of(operand), depth - 1)
        case ast.Subscript(value=owner):
            return is_tensor(term.of(owner), depth - 1)
        case ast.Attribute(value=owner, attr="data" | "grad" | "T" | "mT"):
            return is_tensor(term.of(owner), depth - 1)
        case ast.Name(id=name):
            part = part_of(term)
            if part is not None and part.of:
                return is_tensor(part.whole, depth - 1)
            return _is_annotated(name, term)
        case _:
            return False


def is_boolean(term: Term) -> bool:
    """Whether a tensor is one of truths: a comparison, or what is made of comparisons."""
    term = opened(term)
    match term.node:
        case ast.Compare():
            return True
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return is_boolean(term.of(operand))
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr(), right=right):
            return is_boolean(term.of(left)) or is_boolean(term.of(right))
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in _BOOLEAN
        case _:
            return False


def _gives_a_tensor(name: str, term: Term, depth: int) -> bool:
    if not name.startswith("torch.") or _NO_TENSORS.match(name):
        return False
    assert isinstance(term.node, ast.Call)
    if name in _FACTORIES:
        devices = [keyword.value for keyword in term.node.keywords if keyword.arg == "device"]
        return bool(devices) and text_of(devices[0]) != "cpu"
    given = [*term.node.args, *(keyword.value for keyword in term.node.keywords)]
    flat = [part for one in given for part in (one.elts if isinstance(one, ast.Tuple | ast.List) else [one])]
    return any(is_tensor(term.of(one), depth - 1) for one in flat)


def _goes_to_the_cpu(call: ast.Call) -> bool:
    return label_of(call.func) == "to" and any(text_of(one) == "cpu" for one in call.args)


def _is_annotated(name: str, term: Term) -> bool:
    if term.place.block.version(name, term.place.at) >= 0 or term.place.bound:
        return False
    annotation = term.place.block.function.annotations.get(name)
    return annotation is not None and re.search(r"\b(?:torch\.)?\w*Tensor\b", ast.unparse(annotation)) is not None


def _is_a_loss(name: str, term: Term) -> bool:
    """What `backward` is called on is a tensor of the accelerator, as far as there is one."""
    for node in ast.walk(term.place.block.function.node):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=found), attr="backward")) if found == name:
                return True
            case ast.Call(func=ast.Attribute(attr="backward"), args=[ast.Name(id=found)]) if found == name:
                return True
    return False


def _run_by_forward(unit: Unit) -> frozenset[str]:
    """The names of `forward` methods and of what they call in the same file, and so on."""
    by_name = {flow.name: flow for flow in flows(unit)}
    found = {flow.name for flow in flows(unit) if flow.name == "forward" and _is_network(flow.owner)}
    waiting = list(found)
    while waiting:
        flow = by_name[waiting.pop()]
        for node in ast.walk(flow.node):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name)):
                    if name in by_name and name not in found and not name.startswith("__"):
                        found.add(name)
                        waiting.append(name)
    return frozenset(found)


def _is_network(owner: ast.ClassDef | None) -> bool:
    """Whether a class is a module of torch, as far as its bases tell: engines of other kinds have a `forward` too."""
    return owner is not None and any(_NETWORK.search(label_of(base)) for base in owner.bases)


@lru_cache(maxsize=256)
def _is_of_steps(loop: ast.For | ast.While | ast.AsyncFor) -> bool:
    if not isinstance(loop, ast.While) and _BATCHES.search(ast.unparse(loop.iter)):
        return True
    calls = [node for one in loop.body for node in ast.walk(one) if isinstance(node, ast.Call)]
    trains = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
    return "backward" in trains or any(
        isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and re.search(r"optim|sched", ast.unparse(node.func.value), re.IGNORECASE)
        for node in calls
    )


def _is_now_and_then(block: Block) -> bool:
    """Whether a block is below a question that is seldom answered in the affirmative, or that ends the program."""
    inner = (*block.around[1:], None)
    for one, within in zip(block.around, inner, strict=False):
        if isinstance(one, ast.If) and (within in one.body or (within is None and block.statements is one.body)):
            if any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.Mod) for part in ast.walk(one.test)):
                return True
            if _SELDOM.search(ast.unparse(one.test)):
                return True
    return any(isinstance(one, ast.Raise) for one in block.statements)


def _own(statement: ast.stmt) -> Iterator[ast.expr]:
    """The expressions of a statement itself, not of those within it."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Raise | ast.Assert):
        return
    stack: list[ast.AST] = []
    for _, value in ast.iter_fields(statement):
        stack += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, ast.expr)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.expr):
            yield node
        stack += ast.iter_child_nodes(node)
