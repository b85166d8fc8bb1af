"""Makes accelerator_tables/ascend_operators.json: for each operator of torch that torch_npu has a kernel for, the types
it takes on each hardware line, and which of them run on the AI CPU.

    python tools/make_operators.py FACTS [--check]

FACTS is a folder with ascend_ops.json, the vendor's definitions: the types of each parameter of each aclnn function by
product, the kernels behind a function with the types that run on the AI core, and the functions an operator calls.

An argument takes what one of the operator's functions takes for it (their union), since which of them is called
depends on the call. Forms with a scalar count only where another argument is a number. What the definitions leave open
(no parameter of that name, no list) is left out of the table, and runs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

TABLES = Path(__file__).resolve().parent.parent / "accelerator_tables"
TABLE = TABLES / "ascend_operators.json"
PAGES = TABLES / "sources" / "torch_npu_support.json"
# Names of the hardware lines, and the products of the definitions.
LINES = {
    "atlas-a2": "atlas-a2",
    "atlas-a3": "atlas-a3",
    "ascend-950dt": "ascend-950",
    "atlas-910": "atlas-training",
    "atlas-310p": "atlas-inference",
    "atlas-200i-a2": "atlas-200i-500-a2",
}
# Whose list of AI core types counts where a product has none of its own.
CORE_LISTS = {
    "atlas-a2": ("atlas-a2", "default"),
    "atlas-a3": ("atlas-a2", "default"),
    "ascend-950": ("ascend-950", "atlas-a2", "default"),
    "atlas-training": ("atlas-training", "default"),
    "atlas-inference": ("atlas-inference", "default", "atlas-training"),
    "atlas-200i-500-a2": ("atlas-inference", "default", "atlas-training"),
}
# Types of torch, the only ones that the table tells of: hifloat8, int4 and their like are torch_npu's own.
TYPES = (
    "uint8 int8 int16 int32 int64 float16 float32 float64 complex32 complex64 complex128 bool bfloat16 "
    "float8_e5m2 float8_e4m3fn uint16 uint32 uint64 float8_e8m0fnu"
).split()
INTEGRAL = frozenset("uint8 int8 int16 int32 int64 bool uint16 uint32 uint64".split())
# A half type that a kernel lacks is cast to float32 around it, not sent to the AI CPU.
HALF = frozenset({"float16", "bfloat16"})
# The same parameter under another name, tried in this order; "" stands for the first tensor of an operator.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "": ("self", "input", "x", "x1", "selfs", "tensors", "var", "vars", "params"),
    "out": ("output", "out_out", "output_out"),
    "output": ("out",),
    "grad_input": ("out", "grad_in"),
    "grad_output": ("grad_out", "gradient", "grad", "grad_y", "dy"),
    "grad": ("grad_output", "grad_out"),
    "grad_out": ("grad_output",),
    "indices": ("indices_out", "index"),
    "index": ("indices",),
    "values": ("values_out", "out"),
    "max_values": ("values", "out"),
    "min": ("clip_value_min", "min_out", "out"),
    "max": ("clip_value_max", "max_out", "out"),
    "min_indices": ("indices", "indices_out"),
    "other": ("shift_bits", "x2", "mat2"),
    "tensor1": ("x2",),
    "tensor2": ("x3",),
    "tensors1": ("x1", "x"),
    "tensors2": ("x2",),
    "weights": ("weight",),
    "exponent": ("x2",),
    "angle": ("angle",),
    "A": ("a", "input"),
    "X": ("x_out",),
    "M": ("m_out",),
    "Q": ("q",),
    "R": ("r",),
    "U": ("u",),
    "S": ("sigma",),
    "Vh": ("v",),
    "p": ("prob",),
    "count": ("counter",),
}
# The type of a result that `dtype` asks for.
RESULTS = ("dtype", "out", "self_ref", "self", "y")
# These operators call the functions of other operators, which their own source does not name.
WRITTEN_BY = {
    "sum": "aclnnReduceSum",
    "_softmax_backward_data": "aclnnSoftmaxBackward",
    "index_put": "aclnnIndexPutImpl",
    "index_put_": "aclnnIndexPutImpl",
    "_unsafe_index": "aclnnIndex",
    "argsort": "aclnnSort",
    "_adaptive_avg_pool2d": "aclnnAdaptiveAvgPool2d",
    "_native_batch_norm_legit": "aclnnBatchNorm",
    "zeros": "aclnnInplaceZero",
    "_to_copy": "aclnnCast",
    "_foreach_clamp_max": "aclnnForeachMinimumScalar",
    "_foreach_clamp_min": "aclnnForeachMaximumScalar",
    "_foreach_clamp_max_": "aclnnForeachMinimumScalar",
    "_foreach_clamp_min_": "aclnnForeachMaximumScalar",
}
# Of an operator whose schema the definitions leave out.
SCHEMAS = {"_to_copy": "_to_copy(Tensor self, *, ScalarType? dtype=None) -> Tensor"}
# Parameters that a function casts to its result's type unchecked, whatever its description lists (aclnn_cumsum.cpp).
CAST_FIRST = {("aclnnCumsum", "self")}
# Arguments that torch has renamed since.
RENAMED = {
    "_foreach_": {"tensors": "self", "tensors1": "self", "tensors2": "other", "input": "self"},
    "_scaled_mm": {"mat_a": "self", "mat_b": "mat2"},
    "isin": {"element": "elements"},
    "linalg_qr": {"self": "A"},
}
# These functions are a step of the operator: their types are not its types.
ONLY_A_STEP = {"_fft_c2c", "_fft_c2r", "_fft_r2c", "affine_grid_generator_backward"}
# A note without a parameter's name that is about one parameter.
NOTE_OF = {"aclnnMaxDim": "indices", "aclnnMinDim": "indices"}
# Notes that list what is added, though they read as the whole list.
NOT_ONLY = {"aclnnInplaceAsin"}

Facts = dict[str, Any]
Types = frozenset[str]


@dataclass(frozen=True)
class Argument:
    """One argument of an operator: ``name``, and whether it is a tensor, or the ``dtype`` of the result."""

    name: str
    is_tensor: bool


def arguments_of(schema: str) -> Iterator[Argument]:
    """The tensors of a schema, and its ``dtype``, in order."""
    for part in re.split(r",\s*(?![^(\[]*[)\]])", schema[schema.index("(") + 1 : schema.rindex(") ->")]):
        kind, _, name = part.strip().rpartition(" ")
        name = name.partition("=")[0]
        if kind.startswith("Tensor"):
            yield Argument(name, True)
        elif kind.startswith("ScalarType") and name == "dtype":
            yield Argument(name, False)


def spelled(parameter: str) -> str:
    """A parameter of an aclnn function as torch would spell it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub(r"(Optional|Ref)+$", "", parameter)).lower()


class Function:
    """An aclnn function: what its parameters take on a product, and the kernels that run."""

    def __init__(self, name: str, facts: Facts) -> None:
        self.name = name
        self._entry = facts["functions"].get(name, {})
        kernels = {kernel: facts["kernels"].get(kernel, {}) for kernel in self._entry.get("kernels", ())}
        # Kernels of other names are steps around it, such as casts.
        main = [entry for kernel, entry in kernels.items() if entry.get("ai_core") and self._resembles(kernel)]
        self._cores = [entry["ai_core"] for entry in main] if any(entry["ai_cpu"] for entry in main) else []

    def _resembles(self, kernel: str) -> bool:
        stem = re.sub(r"(Tensor|Scalar|V\d+|s)+$", "", self.name.removeprefix("aclnn").removeprefix("Inplace")).lower()
        return kernel.lower().startswith(stem) or (len(kernel) > 2 and stem.startswith(kernel.lower()))

    @property
    def is_known(self) -> bool:
        return "products" in self._entry

    def is_on(self, product: str) -> bool:
        return bool(self._entry.get("products", {}).get(product, True))

    def takes(self, argument: str, product: str) -> Types | None:
        """The types of the parameter of that name; None where there is none, or its types are not told."""
        if (self.name, argument) in CAST_FIRST:
            return frozenset(TYPES)
        parameters = {spelled(name): name for name in self._entry.get("params", {})}
        name = parameters.get(argument)
        listed = self._listed(name) if name else None
        # Notes that leave nothing are about something else: then nothing is known.
        return (self._with_notes(listed, name, product) or None) if listed and name else None

    def _listed(self, name: str) -> Types | None:
        """A parameter's list, or that of the parameter that it follows (\"as self\")."""
        types = self._entry["params"].get(name)
        seen = {name}
        while isinstance(types, str):
            match = re.match(r"as ([A-Za-z]\w*)", types, re.ASCII)
            followed = match[1] if match else ""
            if followed in seen:
                return None
            seen.add(followed)
            types = self._entry["params"].get(followed)
        return frozenset(types) if types else None

    def _with_notes(self, types: Types, name: str, product: str) -> Types:
        only: set[str] = set()
        for note in self._notes(name, product):
            types = (types | set(note.get("plus", ()))) - set(note.get("without", ()))
            only |= set(note.get("only", ()))
        # A list of indices or flags is about another parameter than one of numbers.
        if only and not (types - INTEGRAL and not only - INTEGRAL):
            types = (types & only) or types
        return types

    def _notes(self, name: str, product: str) -> Iterator[Facts]:
        for note in self._entry.get("notes", ()):
            about = note.get("params") or ([NOTE_OF[self.name]] if self.name in NOTE_OF else [])
            if product not in note["products"] or (about and name not in about):
                continue
            if "only" in note and self.name in NOT_ONLY:
                note = {**note, "plus": note["only"], "only": ()}
            yield note

    def on_ai_cpu(self, types: Types, product: str) -> Types:
        """Which of the types that it takes no kernel of it runs on the AI core."""
        cores = [next((core[key] for key in CORE_LISTS[product] if core.get(key)), None) for core in self._cores]
        on_core = {one for core in cores if core for one in core}
        if None in cores or on_core <= {"bool"}:  # unknown, or the function casts to flags
            return frozenset()
        wide = types - HALF - {"float32"} - on_core
        results = self.takes("out", product) or self.takes("self", product) or types
        # Whole numbers of a function whose results are fractions are cast to float32.
        return frozenset(one for one in wide if one not in INTEGRAL or one in results) - {"bool"}


@dataclass
class Operator:
    """An operator with its functions, best known first."""

    name: str
    arguments: list[Argument]
    functions: list[Function]
    old_path: bool  # it has a way to run that is older than the functions

    def scalar_forms(self) -> set[str]:
        """Functions that stand in only where a tensor is a number."""
        names = {function.name for function in self.functions}
        tensors = [argument for argument in self.arguments if argument.is_tensor and argument.name != "out"]
        if len(tensors) < 2:
            return set()
        return {
            name
            for name in names
            if (name.endswith("s") and name[:-1] in names)
            or ("Scalar" in name and any(other != name and "Scalar" not in other for other in names))
        }

    def takes(self, argument: Argument, product: str, without: Iterable[str] = ()) -> Types | None:
        """The union of what its functions on the product take; None where none of them tells."""
        functions = [function for function in self.functions if function.name not in without]
        for name in self._names(argument):
            lists = [function.takes(name, product) for function in functions if function.is_on(product)]
            told = [types for types in lists if types is not None]
            if told:
                return frozenset().union(*told)
        return None

    def parameter(self, function: Function, argument: Argument, product: str) -> Types | None:
        for name in self._names(argument):
            types = function.takes(name, product)
            if types is not None:
                return types
        return None

    def _names(self, argument: Argument) -> tuple[str, ...]:
        if not argument.is_tensor:
            return RESULTS
        first = next((one for one in self.arguments if one.is_tensor), None)
        others = SYNONYMS.get(argument.name, ())
        return (argument.name, *others, *(SYNONYMS[""] if argument == first else ()))

    def is_on(self, product: str) -> bool:
        """Whether one of its functions is on the product, or nothing is known of them."""
        known = [function for function in self.functions if function.is_known]
        return not known or any(function.is_on(product) for function in known)

    def on_ai_cpu(self, argument: Argument, product: str) -> Types:
        """Types that every function which takes them runs on the AI CPU; those of indices and flags tell nothing."""
        if any(word in argument.name for word in ("ind", "mask", "condition", "target", "offset")):
            return frozenset()
        slow: Types = frozenset()
        quick: Types = frozenset()
        for function in self.functions:
            types = self.parameter(function, argument, product) if function.is_on(product) else None
            if types:
                here = function.on_ai_cpu(types, product)
                slow |= here
                quick |= types - here
        return slow - quick


def operators(facts: Facts) -> Iterator[Operator]:
    """The operators of torch that torch_npu has a kernel for."""
    for name, entry in sorted(facts["operators"].items()):
        if entry["section"] not in ("official", "torch_npu"):
            continue
        base = name.partition(".")[0]
        called = [] if base in ONLY_A_STEP else list(entry.get("aclnn", ())) or [WRITTEN_BY.get(base, "")]
        schema = entry.get("schema") or SCHEMAS.get(name, "() ->")
        likenesses = {one: likeness(name, schema, one) for one in called if one}
        best_first = sorted(likenesses, key=likenesses.__getitem__, reverse=True)
        arguments = list(arguments_of(schema))
        old_path = "acl_op" in entry or entry["section"] == "torch_npu"
        yield Operator(name, arguments, [Function(one, facts) for one in best_first], old_path)


def likeness(operator: str, schema: str, function: str) -> tuple[int, int]:
    """How well a function's name fits an operator's: the one that fits best is named in messages."""
    base, _, overload = operator.partition(".")
    want = base.strip("_").replace("_", "").lower()
    have = function.removeprefix("aclnn").lower()
    score = 4 if have == want else 2 if want in have else 0
    score += ("inplace" in have) == (base.endswith("_") and not base.startswith("_")) and want in have
    score += "tensor" in have and "Tensor" in overload
    score += "dim" in have and "dim" in overload
    # aclnnPowScalarTensor for pow.Scalar(Scalar, Tensor), aclnnForeachAddScalarList for _foreach_add.ScalarList.
    form = overload.removesuffix("_out").replace("_", "").lower()
    operands = "".join(re.findall(r"(Tensor|Scalar)\b(?!Type)", schema.partition("(")[2])[:2]).lower()
    score += 2 * (form != "" and have.partition(want)[2] in (form, operands))
    return (score, -len(have))


class Pages:
    """The vendor's pages of torch's APIs: which of them a line has. The pages know Atlas A2, A3 and 950."""

    def __init__(self, source: Facts) -> None:
        newest = max(source["versions"], key=lambda version: tuple(map(int, version.split("."))))
        self._entries = source["versions"][newest]
        self._columns = {line: column for column, line in enumerate(source["hardware"])}

    def refuse(self, operator: Operator, line: str) -> bool:
        """Whether an operator without a function on the line is not run there in an older way either.

        The definitions alone are not enough: they leave out gather and cos on 950. Lists of tensors are taken
        apart where they have no function.
        """
        if operator.name.startswith("_foreach_"):
            return False
        flags = [flag for flag in map(self._flag(line), self._apis(operator)) if flag is not None]
        return not any(flags) if flags else not operator.old_path

    def _flag(self, line: str) -> Any:
        column = self._columns.get(line)

        def flag(api: str) -> bool | None:
            entry = self._entries.get(api)
            return None if entry is None or column is None else entry["s"][column] == "1"

        return flag

    @staticmethod
    def _apis(operator: Operator) -> Iterator[str]:
        base = operator.name.partition(".")[0].strip("_")
        namespaces = ("torch", "torch.Tensor", "torch.nn.functional")
        yield from (f"{namespace}.{base}" for namespace in namespaces)
        for module in ("linalg", "special", "fft"):
            if base.startswith(f"{module}_"):
                yield f"torch.{module}.{base.removeprefix(module + '_')}"


class Sets:
    """Sets of types by number, in the order in which they come up."""

    def __init__(self) -> None:
        self.listed: list[list[str]] = []
        self._numbers: dict[Types, int] = {}

    def number(self, types: Types | None) -> int | None:
        if types is None:
            return None
        known = types & frozenset(TYPES)
        if known not in self._numbers:
            self._numbers[known] = len(self.listed)
            self.listed.append(sorted(known, key=TYPES.index))
        return self._numbers[known]


def by_line(values: list[int | None]) -> int | list[int | None] | None:
    """One number where all lines agree."""
    return values[0] if len(set(values)) == 1 else values


def entry_of(operator: Operator, sets: Sets, pages: Pages) -> dict[str, Any]:
    """What the table says of an operator."""
    takes, scalar, ai_cpu = {}, {}, {}
    forms = operator.scalar_forms()
    renamed = next((names for prefix, names in RENAMED.items() if operator.name.startswith(prefix)), {})
    for argument in operator.arguments:
        name = renamed.get(argument.name, argument.name)
        whole = [operator.takes(argument, product) for product in LINES.values()]
        narrow = forms if argument.name != "out" else set()
        strict = [operator.takes(argument, product, narrow) for product in LINES.values()] if narrow else whole
        strict = [everything if own is None else own for own, everything in zip(strict, whole, strict=True)]
        if any(types is not None for types in whole):
            takes[name] = by_line([sets.number(types) for types in strict])
            if strict != whole:
                scalar[name] = by_line([sets.number(types) for types in whole])
        slow = [operator.on_ai_cpu(argument, product) & frozenset(TYPES) for product in LINES.values()]
        if any(slow):
            ai_cpu[name] = by_line([sets.number(types) for types in slow])
    missing = [line for line, product in LINES.items() if not operator.is_on(product) and pages.refuse(operator, line)]
    entry = {
        "aclnn": [function.name for function in operator.functions if function.is_known],
        "takes": takes,
        "with_a_number": scalar,
        "ai_cpu": ai_cpu,
        "missing": missing,
    }
    return {key: value for key, value in entry.items() if value}


SCHEMA = {
    "lines": "hardware lines, in the order of lists below; a number in place of a list holds for every line",
    "sets": "sets of types by number, from 0",
    "operators": "torch operators that torch_npu has kernels for; others decompose or fall back to the host",
    "aclnn": "functions that the kernel calls, the one that messages name first",
    "takes": "types by argument; a set's number, or null where the definitions do not tell",
    "with_a_number": "the same where another argument is a number on the host, if it differs",
    "ai_cpu": "types that are taken but run on the AI CPU",
    "missing": "lines that have none of the functions, and by the vendor's pages no other way to run it",
}


def table(facts: Facts) -> dict[str, Any]:
    """The whole table."""
    sets, pages = Sets(), Pages(json.loads(PAGES.read_text(encoding="utf-8")))
    entries = {operator.name: entry_of(operator, sets, pages) for operator in operators(facts)}
    return {
        "schema": SCHEMA,
        "sources": facts["sources"],
        "lines": list(LINES),
        "sets": sets.listed,
        "operators": entries,
    }


def text_of(value: dict[str, Any]) -> str:
    """JSON with one operator, or one set, on a line."""
    compact = {"ensure_ascii": False, "separators": (",", ":")}
    parts = []
    for key, content in value.items():
        if key in ("sets", "operators", "schema"):
            opening, closing = "[]" if isinstance(content, list) else "{}"
            lines = (
                [json.dumps(one, **compact) for one in content]
                if isinstance(content, list)
                else [f"{json.dumps(name)}:{json.dumps(one, **compact)}" for name, one in content.items()]
            )
            body = opening + "\n" + ",\n".join(lines) + "\n" + closing
        else:
            body = json.dumps(content, **compact)
        parts.append(f"{json.dumps(key)}:{body}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


@click.command()
@click.argument("facts", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the table differs from the facts.")
def main(facts: Path, check: bool) -> None:
    """Make the table of operators from the definitions in the folder FACTS."""
    source = facts / "ascend_ops.json"
    try:
        text = text_of(table(json.loads(source.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise click.UsageError(f"{source}: no such file") from None
    except (ValueError, KeyError) as error:
        raise click.UsageError(f"{source}: not the vendor's definitions: {error!r}") from None
    if TABLE.exists() and TABLE.read_text(encoding="utf-8") == text:
        return
    click.echo(f"{TABLE.name}: {'differs from its sources' if check else 'written'}")
    if not check:
        TABLE.write_text(text, encoding="utf-8", newline="\n")
    sys.exit(1 if check else 0)


if __name__ == "__main__":
    main()
