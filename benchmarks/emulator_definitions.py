"""Holds what the emulated NPU refuses against the vendor's operator definitions.

Every operator and overload of torch that the definitions know is called on npu tensors, each argument in each type in
turn, the others in types that they take. A call is refused, or it is not; whether it then runs to its end does not
matter. What the definitions say is read from the facts here, plainly, and not from the table that the emulator reads.

    python -m benchmarks.emulator_definitions FACTS [--hardware atlas-a2]... [--out results.json]

FACTS is a folder with ascend_ops.json. The definition of an argument is clear where a function of the operator has a
parameter of its name, with a list of types, the function is on the line, and no report nor the code that was read says
otherwise (these win, and are counted apart).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRODUCTS = {"atlas-a2": "atlas-a2", "atlas-a3": "atlas-a3", "ascend-950dt": "ascend-950"}
TYPES = (
    "uint8 int8 int16 int32 int64 float16 float32 float64 complex32 complex64 complex128 bool bfloat16 "
    "float8_e5m2 float8_e4m3fn uint16 uint32 uint64"
).split()
PREFERRED = ("float32", "int64", "bool", "float16", "int32", "uint8")
# Where the emulator differs from the plain reading, and why: by function, or by operator.
REASONS = {
    "aclnnCumsum": "its source casts the tensor to the result's type without a check",
    "aclnnMaxDim": "the note that takes int32 away is about the indices",
    "aclnnMinDim": "the note that takes int32 away is about the indices",
    "aclnnInplaceAsin": "the note lists what is added (bfloat16), as the function that is not in place says",
    "_thnn_fused_lstm_cell": "the emulator computes the cell by its parts, which are judged one by one",
    "_thnn_fused_lstm_cell_backward_impl": "the emulator computes the cell by its parts, which are judged one by one",
}
# The function that the definitions name for these is a step on the way: that is no definition of their types.
ONLY_A_STEP = {"_fft_c2c", "_fft_r2c", "_fft_c2r", "affine_grid_generator_backward"}
REPORTED = "a public report, or the source it links to, says so, and wins"
SCALAR_FORM = "the type is that of the form with a number, and the call has two tensors"

TORCH_NAMES = {"DT_FLOAT": "float32", "DT_DOUBLE": "float64"}

Definition = Callable[[str, str], frozenset[str] | None]


@dataclass(frozen=True)
class Pair:
    """One argument of an operator in one type."""

    operator: str
    argument: str
    type: str


def spelled(parameter: str) -> str:
    """A parameter's name as torch spells it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub(r"(Optional|Ref)+$", "", parameter)).lower()


def listed_types(function: dict[str, Any], name: str, product: str) -> frozenset[str] | None:
    """What a function lists for a parameter on a product, its notes taken at their word."""
    value, seen = function["params"][name], {name}
    while isinstance(value, str):
        match = re.match(r"as ([A-Za-z]\w*)", value, re.ASCII)
        if match is None or match[1] in seen:
            return None
        seen.add(match[1])
        value = function["params"].get(match[1])
    if not value:
        return None
    types = set(value)
    only: set[str] = set()
    for note in function.get("notes", ()):
        if product in note["products"] and name in note.get("params", [name]):
            types = (types | set(note.get("plus", ()))) - set(note.get("without", ()))
            only |= set(note.get("only", ()))
    return frozenset((types & only) if only else types)


def definition(facts: dict[str, Any], line: str) -> Definition:
    """The types that an argument of an operator takes by the definitions, or None where they are not clear."""
    product = PRODUCTS[line]

    def takes(operator: str, argument: str) -> frozenset[str] | None:
        if operator.partition(".")[0] in ONLY_A_STEP:
            return None
        union: frozenset[str] | None = None
        for name in facts["operators"][operator].get("aclnn", ()):
            function = facts["functions"].get(name, {})
            if not function.get("products", {}).get(product, False):
                continue
            for parameter in function.get("params", {}):
                if spelled(parameter) == argument:
                    types = listed_types(function, parameter, product)
                    union = union if types is None else types | (union or frozenset())
        return union

    return takes


class Caller:
    """Calls operators of torch with arguments made by their schemas."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._tensors: dict[str, Any] = {}

    def tensor(self, type_name: str) -> Any:
        """Two by two, on the npu."""
        if type_name not in self._tensors:
            dtype = getattr(self._torch, type_name)
            self._tensors[type_name] = self._torch.zeros(2, 2, dtype=dtype).to("npu")
        return self._tensors[type_name]

    def schema(self, operator: str) -> Any:
        """The operator's schema, or None if this torch has it not, or it has arguments that cannot be made."""
        base, _, overload = operator.partition(".")
        try:
            schema = self._torch._C._get_schema(f"aten::{base}", overload)
        except RuntimeError:
            return None
        return None if any("Dimname" in str(argument.type) for argument in schema.arguments) else schema

    def refuses(self, operator: str, schema: Any, argument: str, types: dict[str, str]) -> bool | None:
        """Whether the emulator refuses ``argument`` in its type, whatever else it refuses; None if it cannot run.

        Where it refuses another argument, that one is given a type that the refusal lists, and the call made again.
        """
        for _ in range(len(schema.arguments) + 1):
            message = self._refusal(operator, schema, types)
            if message is None or "Could not run" in message:
                return None if message else False
            refused = re.search(
                r"Tensor (\w+) not implemented for (\w+), should be in dtype support list \[(\w*)", message
            )
            if refused is None or refused[1] == argument or not refused[3]:
                return True
            types = {**types, refused[1]: TORCH_NAMES.get(refused[3], refused[3].removeprefix("DT_").lower())}
        return True

    def _refusal(self, operator: str, schema: Any, types: dict[str, str]) -> str | None:
        from npu_emulator import RefusedOnNpu

        base, _, overload = operator.partition(".")
        call = getattr(getattr(self._torch.ops.aten, base), overload or "default")
        values = {argument.name: self._value(argument, types) for argument in schema.arguments}
        named = {argument.name: values.pop(argument.name) for argument in schema.arguments if argument.kwarg_only}
        try:
            call(*values.values(), **named)
        except RefusedOnNpu as error:
            return str(error)
        except NotImplementedError as error:
            # Missing on the line, or on the host; or a type that the host's kernel lacks, which is no refusal.
            return str(error) if re.search(r"is not supported on (atlas|ascend)-|Could not run", str(error)) else None
        except Exception:  # shapes that do not fit: it was not refused
            return None
        return None

    def _value(self, argument: Any, types: dict[str, str]) -> Any:
        kind = str(argument.type)
        if argument.name == "dtype" and "dtype" not in types and not argument.has_default_value():
            return self._torch.float32
        if argument.name == "dtype" and "dtype" in types:
            return getattr(self._torch, types["dtype"])
        if "Tensor" in kind:
            tensor = self.tensor(types.get(argument.name, "float32"))
            return [tensor] if "List" in kind else tensor
        if argument.name == "device":
            return self._torch.device("npu")
        if argument.has_default_value():
            return argument.default_value
        if kind.startswith("Optional"):
            return None
        plain = {"int": 1, "float": 1.0, "bool": False, "number": 1, "Scalar": 1, "str": "sum"}
        if kind in plain:
            return plain[kind]
        lists = {"List[int]": [1], "List[bool]": [True]}
        return lists.get(kind, [1.0]) * (argument.N or 2)


def pairs(operator: str, takes: Definition, caller: Caller) -> Iterator[tuple[Pair, bool, Callable[[], bool | None]]]:
    """An operator's pairs with a clear definition: whether it takes the type, and a call that tells what is refused."""
    schema = caller.schema(operator)
    if schema is None:
        return
    known = {argument.name: takes(operator, argument.name) for argument in schema.arguments}
    quiet = {
        name: next((one for one in PREFERRED if one in types), "float32")
        for name, types in known.items()
        if types and name != "dtype"
    }
    for argument in schema.arguments:
        types = known[argument.name]
        if types is None or ("Tensor" not in str(argument.type) and argument.name != "dtype"):
            continue
        for one in TYPES:
            chosen = {**quiet, argument.name: one}
            call = functools.partial(caller.refuses, operator, schema, argument.name, chosen)
            yield Pair(operator, argument.name, one), one in types, call


ANSWERS = {True: b"1", False: b"0", None: b"-"}


def answers(asked: list[tuple[Pair, bool, Callable[[], bool | None]]]) -> list[bool | None]:
    """Which of the calls are refused, each made in a child of this process: kernels of the host crash on some shapes.

    A call that crashes was not refused.
    """
    found: list[bool | None] = []
    while len(found) < len(asked):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            for _, _, call in asked[len(found) :]:
                os.write(writer, ANSWERS[call()])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        found += [{ord("1"): True, ord("0"): False}.get(byte) for byte in told]
        if len(found) < len(asked):
            found.append(False)
    return found


def verdicts(operators: list[str], takes: Definition, caller: Caller) -> Iterator[tuple[Pair, bool, bool | None]]:
    """Every pair with a clear definition, whether the definition takes it, and whether the emulator refuses it.

    None where the host has no kernel either, so that the emulator can never run it.
    """
    for operator in operators:
        asked = list(pairs(operator, takes, caller))
        for (pair, taken, _), refused in zip(asked, answers(asked), strict=True):
            yield pair, taken, refused


def reason(pair: Pair, taken: bool, functions: list[str], reported: bool) -> str:
    """Why the emulator differs from the plain reading; empty if nobody knows."""
    if reported:
        return REPORTED
    for name in (pair.operator.partition(".")[0], *functions):
        if name in REASONS:
            return REASONS[name]
    if taken and any("Scalar" in name or name.endswith("s") for name in functions):
        return SCALAR_FORM
    return ""


def compare(facts: dict[str, Any], line: str) -> dict[str, Any]:
    """The comparison on one line, in this process."""
    import npu_emulator

    npu_emulator.enable(devices=1, memory="8GiB", hardware=line)
    import torch

    from npu_emulator.operator_table import OperatorTable

    reports = OperatorTable(line, None)
    torch.set_num_threads(1)  # it is forked
    warnings.simplefilter("ignore")
    operators = sorted(
        name for name, entry in facts["operators"].items() if entry["section"] in ("official", "torch_npu")
    )
    counts: collections.Counter[str] = collections.Counter()
    exceptions = []
    for pair, taken, refused in verdicts(operators, definition(facts, line), Caller()):
        if refused is None:
            counts["no kernel on the host"] += 1
            continue
        reported = reports.report(pair.operator.partition(".")[0], pair.type) is not None
        if taken == refused and reported:
            counts["overruled"] += 1
        else:
            counts["clear"] += 1
            counts["taken" if taken else "not taken"] += 1
        if taken != refused:
            counts["agree"] += 1
            continue
        why = reason(pair, taken, facts["operators"][pair.operator].get("aclnn", []), reported)
        exceptions.append([pair.operator, pair.argument, pair.type, "refused" if refused else "runs", why])
    return {"line": line, **counts, "exceptions": exceptions}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facts", type=Path, help="folder with ascend_ops.json")
    parser.add_argument("--hardware", action="append", choices=list(PRODUCTS), help="default: all three")
    parser.add_argument("--out", type=Path, help="write the counts and exceptions as JSON")
    parser.add_argument("--one-line", action="store_true", help=argparse.SUPPRESS)  # a line is for a process's life
    options = parser.parse_args()
    source = options.facts / "ascend_ops.json"
    if not source.is_file():
        parser.error(f"{source}: no such file; expected the vendor's definitions")
    lines = options.hardware or list(PRODUCTS)
    if options.one_line:
        print(json.dumps(compare(json.loads(source.read_text("utf-8")), lines[0])))
        return 0
    results = [in_a_process(options.facts, line) for line in lines]
    if options.out:
        rows = [json.dumps(row, ensure_ascii=False) for row in results]
        options.out.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
    return report(results)


def in_a_process(facts: Path, line: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.emulator_definitions", str(facts), "--hardware", line, "--one-line"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    with contextlib.suppress(IndexError, ValueError):
        result: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
        return result
    raise SystemExit(f"{line}: the comparison ended early:\n{output.stderr[-2000:]}")


def report(results: list[dict[str, Any]]) -> int:
    """Prints agreement and exceptions by reason; 1 if less than 99 percent agree or a taken type is refused."""
    failed = False
    for row in results:
        share = row["agree"] / row["clear"]
        refused = sum(1 for *_, what, why in row["exceptions"] if what == "refused" and not why)
        print(
            f"{row['line']}: {row['agree']:,} of {row['clear']:,} pairs agree ({share:.2%}); "
            f"{row.get('overruled', 0)} others are decided by a report, or by the code"
        )
        grouped = collections.defaultdict(list)
        for operator, argument, type_name, what, why in row["exceptions"]:
            grouped[what, why or "unexplained"].append(f"{operator}({argument}: {type_name})")
        for (what, why), cases in sorted(grouped.items()):
            print(f"  {len(cases)} {what}: {why}: {', '.join(cases[:6])}{' ...' if len(cases) > 6 else ''}")
        failed = failed or share < 0.99 or refused > 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
