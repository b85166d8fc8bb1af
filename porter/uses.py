"""How a file uses a name, so that a report says the same of a file before it is ported and after.

A finding describes the file. Where the port renames what a report is about, both spellings have to be known:
`torch.cuda.memory_summary` and `torch.npu.memory_summary` are one API, `"cuda:1"` and `"npu:1"` one device.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from porter.places import label_of, place_of
from porter.source import Source
from porter.unit import Unit

_TORCH = ("torch",)

#: Functions of torch that make a tensor on the host where nobody says otherwise.
_FACTORIES = frozenset(
    """arange empty eye from_numpy frombuffer full linspace logspace ones rand randint randn randperm
    tensor tril_indices triu_indices zeros""".split()
)

#: Methods and functions that take a dtype as a bare argument: `.to(torch.float64)`.
_TAKE_A_DTYPE = frozenset({"to", "type", "view", "set_default_dtype"})


def torch_names(node: ast.AST, unit: Unit) -> Iterable[tuple[ast.AST, str]]:
    """The names below torch that a node spells out, and where: `nn.Conv3d` is `torch.nn.Conv3d`.

    A chain of attributes counts as a whole, and an import for each name that it takes. A bare name that an import
    has bound does not count: its import does.
    """
    return names_below(_TORCH, node, unit)


def names_below(packages: tuple[str, ...], node: ast.AST, unit: Unit) -> Iterable[tuple[ast.AST, str]]:
    """The same for the names below any of these packages."""
    if not isinstance(node, ast.Attribute):
        return _names_imported(packages, node)
    dotted = None if _goes_on(node, unit.source) else unit.dotted(node)
    return ((node, dotted),) if dotted and dotted.partition(".")[0] in packages else ()


def _names_imported(packages: tuple[str, ...], node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Import():
            for alias in node.names:
                package, below, _ = alias.name.partition(".")
                if package in packages and below:
                    yield alias, alias.name
        case ast.ImportFrom(module=str() as module, level=0) if module.split(".")[0] in packages:
            for alias in node.names:
                yield alias, f"{module}.{alias.name}"


def imported_as(place: ast.AST, unit: Unit) -> str | None:
    """What an import made of the first name of a chain."""
    while isinstance(place, ast.Attribute):
        place = place.value
    return unit.source.names.bound.get(place.id) if isinstance(place, ast.Name) else None


def made_by(value: ast.expr, unit: Unit) -> ast.expr | None:
    """The function or class whose call gives a value: `f` of `f()`, and of `x` or `self.x` where all `x` are `f()`."""
    if isinstance(value, ast.Call):
        return value.func
    label = label_of(value) if isinstance(value, ast.Name | ast.Attribute) else ""
    assigned = []
    for node in unit.source.walk(unit.source.lines_of({label.encode()})) if label else ():
        match node:
            case ast.Assign(targets=targets, value=given):
                pairs = [(target, given) for target in targets]
            case ast.AnnAssign(target=target, value=ast.expr() as given) | ast.NamedExpr(target=target, value=given):
                pairs = [(target, given)]
            case ast.withitem(optional_vars=ast.expr() as target) | ast.For(target=target):
                pairs = [(target, target)]
            case ast.arg(arg=name) if name == label and isinstance(value, ast.Name):
                return None
            case _:
                continue
        assigned += [given for target, given in pairs if _is_same(target, value)]
    makers = [one.func for one in assigned if isinstance(one, ast.Call)]
    same = {unit.dotted(maker) for maker in makers}
    return makers[0] if len(same) == 1 and len(makers) == len(assigned) else None


def spelled(chain: ast.expr) -> str:
    """A chain of attributes as the file spells it: `nn.Conv3d`, where an import has made `nn` of `torch.nn`."""
    names: list[str] = []
    while isinstance(chain, ast.Attribute):
        names.append(chain.attr)
        chain = chain.value
    return ".".join([chain.id if isinstance(chain, ast.Name) else "", *reversed(names)])


def cuda_name(dotted: str, unit: Unit) -> str | None:
    """`cuda.X`, below torch, for `torch.cuda.X` and for what the port makes of it; None for any other name."""
    name = unit.translation.old_name(dotted.removeprefix("torch.")) if dotted.startswith("torch.") else None
    return name if name is not None and name.startswith(f"{unit.translation.old.name}.") else None


def names_device(node: ast.AST, unit: Unit) -> bool:
    """Whether a literal names a device of either accelerator: `"cuda"`, `"npu:0"`, `f"cuda:{rank}"`."""
    text, written_out = text_of(node), isinstance(node, ast.Constant)
    if not text.startswith((unit.translation.old.name, unit.translation.new.name)):
        return False
    either = f"{unit.translation.old.name}|{unit.translation.new.name}"
    return re.fullmatch(rf"({either})(:\d+)?" if written_out else rf"({either}):\d*", text) is not None


def is_only_a_type(node: ast.AST, source: Source) -> bool:
    """Whether a class is named to say what something is, and is not used: in an annotation, `isinstance`, a comparison,
    or a list of types."""
    child = node
    for parent in source.ancestors(node):
        match parent:
            case ast.arg():
                return True
            case ast.AnnAssign():
                return child is parent.annotation
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return child is parent.returns
            case ast.Call() if child is not parent.func and label_of(parent.func) in ("isinstance", "issubclass"):
                return True
            case ast.Compare():
                return True
            case ast.Tuple() | ast.List() | ast.Set():
                return child is node
            case ast.Dict():
                return child is node
            case ast.stmt():
                return False
        child = parent
    return False


def is_dtype_of_a_tensor(node: ast.AST, source: Source) -> bool:
    """Whether a dtype is one to make or turn a tensor into, away from the CPU, rather than one to compare with."""
    call = call_around(node, source)
    if call is not None and _stays_on_the_cpu(call):
        return False
    place = place_of(node, source)
    if place.kind == "positional":
        return isinstance(call, ast.Call) and _name_of(call.func) in _TAKE_A_DTYPE
    return place.kind in ("keyword", "value", "assignment", "default") and "dtype" in place.label.lower()


def is_off_the_accelerator(node: ast.AST, unit: Unit) -> bool:
    """Whether the file itself keeps a place from the accelerator: the other branch of a question whether it is there.

    `torch.float32 if device.type == "npu" else torch.float64`, and the same with "cuda", which the port makes of it.
    And what stands in a branch of the program's own switch, `if is_npu_available():`, is meant for the accelerator.
    """
    child = node
    for parent in unit.source.ancestors(node):
        if isinstance(parent, ast.If | ast.IfExp) and child is not parent.test:
            if _is_written_for_the_accelerator(parent, child, unit):
                return True
            asks = _asks_for_the_accelerator(parent.test, unit)
            otherwise = parent.orelse if isinstance(parent.orelse, list) else [parent.orelse]
            if asks is not None and asks is not (child in otherwise):
                child = parent
                continue
            if asks is not None:
                return True
        if _has_left_before(parent, child, unit):
            return True
        child = parent
    return False


def _has_left_before(block: ast.AST, child: ast.AST, unit: Unit) -> bool:
    """Whether a statement above has left the block where the accelerator is there: `if x.is_npu: return ...`."""
    for name in ("body", "orelse"):
        statements = getattr(block, name, None)
        if isinstance(statements, list) and child in statements:
            return any(
                isinstance(one, ast.If) and _leaves(one) and _asks_for_the_accelerator(one.test, unit) is True
                for one in statements[: statements.index(child)]
            )
    return False


def _leaves(branch: ast.If) -> bool:
    return isinstance(branch.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


def _is_written_for_the_accelerator(branch: ast.If | ast.IfExp, child: ast.AST, unit: Unit) -> bool:
    """`if is_npu_available():`, `if IS_NPU:`: a name that no port makes, asked in the affirmative."""
    test = branch.test.func if isinstance(branch.test, ast.Call) and not branch.test.args else branch.test
    body = branch.body if isinstance(branch.body, list) else [branch.body]
    if child not in body or not isinstance(test, ast.Name | ast.Attribute):
        return False
    name = label_of(test) if isinstance(test, ast.Attribute) else test.id
    new = unit.translation.new
    is_own = name not in (new.flag, new.name) and not (unit.dotted(test) or "").startswith("torch.")
    return is_own and new.name in name.lower().split("_")


#: What takes a tensor out of double precision, or out of torch.
_CASTS = frozenset({"float", "half", "bfloat16", "numpy", "tolist", "item"})


def stays_on_the_host(node: ast.AST, source: Source) -> bool:
    """Whether a tensor made without a device is cast, or leaves torch, where it is made or wherever it is read."""
    call = call_around(node, source)
    if call is None or any(keyword.arg == "device" for keyword in call.keywords):
        return False
    if not (isinstance(call.func, ast.Attribute) and label_of(call.func.value) == "torch"):
        return False
    for parent in source.ancestors(call):
        match parent:
            case ast.Attribute(attr=method) if method in _CASTS:
                return True
            case ast.Attribute(attr="npu" | "cuda" | "to"):
                return False
            case ast.Assign(targets=[ast.Name(id=name)]) if parent.value is call:
                return _is_cast_wherever_it_is_read(name, parent, source)
            case ast.stmt():
                return False
    return False


def _is_cast_wherever_it_is_read(name: str, bound: ast.Assign, source: Source) -> bool:
    """Whether all that is done to a name, until the next statement beside it binds it anew, begins with a cast."""
    block = next(body for body in _blocks(source.parent[bound]) if bound in body)
    functions = (one for one in source.ancestors(bound) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    scope = next(functions, source.tree)
    over = {child: node for node in ast.walk(scope) for child in ast.iter_child_nodes(node)}
    named = [node for node in over if isinstance(node, ast.Name) and node.id == name]
    bound_again = [over[node] for node in named if isinstance(node.ctx, ast.Store) and over[node] is not bound]
    ends = [one for one in block[block.index(bound) + 1 :] if one in bound_again]
    if bound_again and not ends:
        return False
    last = ends[0].end_lineno if ends else None
    read = [node for node in named if isinstance(node.ctx, ast.Load) and node.lineno > bound.lineno]
    used = [over[node] for node in read if last is None or node.lineno <= last]
    return bool(used) and all(isinstance(one, ast.Attribute) and one.attr in _CASTS for one in used)


def _blocks(node: ast.AST) -> list[list[ast.stmt]]:
    return [body for name in ("body", "orelse", "finalbody") if isinstance(body := getattr(node, name, None), list)]


def comes_from_the_cpu(method: ast.expr) -> bool:
    """`x.cpu().double`, `x.to("cpu").double`."""
    match method:
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="cpu"))):
            return True
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="to"), args=[first, *_])):
            return text_of(first) == "cpu"
        case _:
            return False


def is_made_on_the_host(tensor: ast.expr, unit: Unit) -> bool:
    """`torch.arange(4)`, `torch.from_numpy(a) / 2`, and what methods make of it there: made without a device."""
    match tensor:
        case ast.Call(func=ast.Attribute(attr="cuda" | "npu" | "to")):
            return False
        case ast.Call(func=ast.Attribute(value=value) as function):
            if (unit.dotted(function) or "").rpartition(".")[0] == "torch":
                names_a_device = any(keyword.arg in ("device", None) for keyword in tensor.keywords)
                return function.attr in _FACTORIES and not names_a_device
            return is_made_on_the_host(value, unit)
        case ast.Subscript(value=value) | ast.UnaryOp(operand=value) | ast.BinOp(left=value, right=ast.Constant()):
            return is_made_on_the_host(value, unit)
        case _:
            return False


def _asks_for_the_accelerator(test: ast.expr, unit: Unit) -> bool | None:
    """True for `device.type == "npu"` and `is_npu()`, False for their opposites, None for any other question."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            asks = _asks_for_the_accelerator(operand, unit)
            return None if asks is None else not asks
        case ast.Compare(ops=[ast.Eq() | ast.In()], comparators=[_]):
            return True if any(names_device(node, unit) for node in ast.walk(test)) else None
        case ast.Compare(ops=[ast.NotEq() | ast.NotIn()], comparators=[_]):
            return False if any(names_device(node, unit) for node in ast.walk(test)) else None
        case ast.Name() | ast.Attribute() | ast.Call(args=[], keywords=[]):
            chain = test.func if isinstance(test, ast.Call) else test
            either = f"{unit.translation.old.name}|{unit.translation.new.name}"
            return True if re.search(either, spelled(chain), re.IGNORECASE) else None
        case _:
            return None


def is_docstring(node: ast.AST, source: Source) -> bool:
    return isinstance(source.parent.get(node), ast.Expr)


def text_of(node: ast.AST) -> str:
    """The text of a string literal; of an f-string the part before its first field. Empty for anything else."""
    match node:
        case ast.Constant(value=str() as text) | ast.JoinedStr(values=[ast.Constant(value=str() as text), *_]):
            return text
        case _:
            return ""


def _is_same(one: ast.expr, other: ast.expr) -> bool:
    """Whether two expressions are the same name, or the same attribute of it."""
    match one, other:
        case ast.Name(), ast.Name():
            return one.id == other.id
        case ast.Attribute(), ast.Attribute():
            return one.attr == other.attr and _is_same(one.value, other.value)
        case _:
            return False


def _goes_on(node: ast.AST, source: Source) -> bool:
    parent = source.parent.get(node)
    return isinstance(parent, ast.Attribute) and parent.value is node


def _name_of(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def call_around(node: ast.AST, source: Source) -> ast.Call | None:
    """The innermost call, within a statement, that a node is an argument of."""
    child = node
    for parent in source.ancestors(node):
        if isinstance(parent, ast.stmt):
            return None
        if isinstance(parent, ast.Call) and child is not parent.func:
            return parent
        child = parent
    return None


def _stays_on_the_cpu(call: ast.Call) -> bool:
    """`torch.arange(4, device="cpu")`, `x.to("cpu", torch.float64)`, `x.cpu().to(torch.float64)`."""
    devices = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "device")]
    return any(text_of(device) == "cpu" for device in devices) or comes_from_the_cpu(call.func)
