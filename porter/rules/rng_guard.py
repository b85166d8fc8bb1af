"""
# DP309 rng-guard: random state handled for one type of device only

## What it does

Reports a condition on the type of a device (`device.type == "cuda"`, `str(device).startswith("cuda")`, ...) under which
`torch.cuda` is asked to save, restore or seed its generator, or `torch.random.fork_rng` is told which devices to save.
It is silent where the same function does so for CUDA and for the target.

## Why

The generator of any other device is left alone, and nothing tells: on Ascend it was neither saved nor restored
(sgl-project/sglang#31027). Porting renames the guard together with the call; in a file that names the target already,
the guard stays as it is.

## Before

    if device.type == "cuda":
        state = torch.cuda.get_rng_state()

## What to write instead

    if device.type != "cpu":
        state = torch.get_device_module(device).get_rng_state()
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.places import label_of
from porter.rules.rule import Rule
from porter.targets import Translation
from porter.unit import Found, Unit
from porter.uses import cuda_name, names_device, text_of
from porter.vocabulary import says_device

_FUNCTIONS = frozenset(
    "get_rng_state get_rng_state_all set_rng_state set_rng_state_all manual_seed manual_seed_all".split()
)
_FORK = "torch.random.fork_rng"
_FILL = frozenset({"append", "extend", "insert"})

Guard = ast.If | ast.IfExp


def _words(translation: Translation) -> frozenset[str]:
    """A guard names one of the two itself, and stands on that line."""
    return frozenset({translation.old.name, translation.new.name})


RULE = Rule(
    "DP309",
    "rng-guard",
    __doc__,
    words=_words,
    fixes=False,
    targets=frozenset({"npu"}),
    beside=(*sorted(_FUNCTIONS), "fork_rng"),
)


@RULE.on(ast.If, ast.IfExp)
def report_the_guard(node: Guard, unit: Unit) -> Iterator[Found]:
    if not _devices_asked_for(node.test, unit):
        return
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    scope = next((around for around in unit.source.ancestors(node) if isinstance(around, functions)), unit.source.tree)
    choices = _choices_of_devices_to_save(scope, unit) if "fork_rng" in unit.source.text else set()
    if _handles_random_state(node, choices, unit) and len(_devices_handled(scope, choices, unit)) == 1:
        message = "random state is handled for one type of device only; on another it is neither saved nor restored"
        way_out = "torch.get_device_module(device), or fork_rng(device_type=device.type)"
        yield unit.report(RULE.code, "warning", node.test, message, way_out)


def _devices_asked_for(test: ast.expr, unit: Unit) -> set[str]:
    """Which of the two accelerators a condition asks a device to be of; `!=` and `not` ask for none."""
    match test:
        case ast.BoolOp():
            return set().union(*(_devices_asked_for(value, unit) for value in test.values))
        case ast.Compare(left=left, ops=[ast.Eq() | ast.In()], comparators=[right]):
            pairs = [(left, right), (right, left)]
        case ast.Call(func=ast.Attribute(value=asked, attr="startswith"), args=[wanted]):
            pairs = [(asked, wanted)]
        case _:
            return set()
    return set().union(*(_devices_in(wanted, unit) for asked, wanted in pairs if _is_a_device(asked)))


def _is_a_device(node: ast.expr) -> bool:
    """`x.type`, `device`, `args.device_type`, `str(device)`."""
    return (isinstance(node, ast.Attribute) and node.attr == "type") or says_device(label_of(node))


def _devices_in(node: ast.expr, unit: Unit) -> set[str]:
    literals = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {text_of(literal).partition(":")[0] for literal in literals if names_device(literal, unit)}


def _handles_random_state(guard: Guard, choices: set[ast.AST], unit: Unit) -> bool:
    """By what is done where the condition holds, or because the condition itself chooses the devices to save."""
    body = guard.body if isinstance(guard.body, list) else [guard.body]
    parts = [part for statement in body for part in ast.walk(statement)]
    return guard in choices or any(part in choices or _is_about_random_state(part, unit) for part in parts)


def _is_about_random_state(node: ast.AST, unit: Unit) -> bool:
    if not isinstance(node, ast.Call):
        return False
    dotted = unit.dotted(node.func) or ""
    name = (cuda_name(dotted, unit) or "").removeprefix("cuda.").removeprefix("random.")
    return dotted == _FORK or name in _FUNCTIONS


def _devices_handled(scope: ast.AST, choices: set[ast.AST], unit: Unit) -> set[str]:
    """Which of the two accelerators the guards of a function handle the random state of, all together."""
    guards = [node for node in ast.walk(scope) if isinstance(node, Guard)]
    asked = ((guard, _devices_asked_for(guard.test, unit)) for guard in guards)
    return set().union(*(named for guard, named in asked if named and _handles_random_state(guard, choices, unit)))


def _choices_of_devices_to_save(scope: ast.AST, unit: Unit) -> set[ast.AST]:
    """What decides over the devices given to `fork_rng`: conditional expressions, and what fills a list by name."""
    forks = [node for node in ast.walk(scope) if isinstance(node, ast.Call) and unit.dotted(node.func) == _FORK]
    given = [argument for fork in forks for argument in (*fork.args, *(keyword.value for keyword in fork.keywords))]
    names = {argument.id for argument in given if isinstance(argument, ast.Name)}
    filling = {node: value for node in ast.walk(scope) for name, value in _filled(node) if name in names}
    conditions = (part for value in (*given, *filling.values()) for part in ast.walk(value))
    return {*filling, *(part for part in conditions if isinstance(part, ast.IfExp))}


def _filled(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The variable that something is put into, and what: `x = [...]`, `x += [...]`, `x.append(...)`."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=called), args=[*_, value]) if called in _FILL:
            yield name, value
