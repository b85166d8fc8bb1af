"""Write the tables that know software by its release.

    --facts DIR       torch_npu_by_release.json -> accelerator_tables/torch_npu_builds.json
    --torch PATH ...  packages of torch         -> accelerator_tables/torch_minors.json

`torch_npu_builds.json` holds what some build of torch_npu has and another has not: names, parameters, keys of the
allocator's settings, environment variables. Names that every build has are left out. A row of zeros and ones says
which builds have something, in the order of `builds`: that of torch's releases. The API follows the day of the build.

`torch_minors.json` holds the public names of torch.accelerator, with the minor release of torch that each came with and
the last that has it (null: the newest does). A PATH is the folder of an installed torch, or a wheel, which is not
unpacked; for these names any platform's will do. Every minor of the table has to be given at once:

    pip download --no-deps --only-binary=:all: --platform macosx_11_0_arm64 --python-version 3.12 torch==2.6.0
"""

from __future__ import annotations

import ast
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))

from make_tables import PACKAGE, Table, file_text, read_json, write_atomically

BUILDS = "torch_npu_builds.json"
MINORS = "torch_minors.json"

#: What torch_npu's modules import for themselves; nobody's API.
INTERNAL = frozenset("ErrCode pta_error prof_error log np HAS_NUMPY PathManager TensorWeakRef OptState".split())
IMPORTED = frozenset({"random.current_device", "random.device_count", "random.is_initialized"})

#: Modules that no program names: what they define or import is torch.npu's own.
HANDS_ON = frozenset({"utils", "npu_config", "autocast_utils", "deterministic"})

#: Modules of the facts, each as the porter spells what is in them.
PREFIXES = {"torch_npu.npu.amp": "npu.amp"}


# facts -> torch_npu_builds.json


def builds_table(facts: Table) -> Table:
    """The table of torch_npu's builds."""
    order: list[str] = facts["order"]
    spans, functions = dict(_spans(facts, order)), _overloads(facts)
    return {
        "builds": {build: facts["wheels"][build]["built"] for build in order},
        "names": _grouped({name: row for name, row in spans.items() if "0" in row}),
        "parameters": _parameter_rows(functions, order),
        "by_position": _changing_counts(functions, order),
        "allocator_keys": _grouped(_key_rows(facts["alloc_conf_keys"], order)),
        "environment": _grouped(
            {
                name: row
                for name, entry in facts["environment"].items()
                if "0" in (row := _row(entry, order)) and name.startswith(("PYTORCH_", "TORCH_HCCL_"))
            }
        ),
    }


def _row(entry: Table, order: list[str]) -> str:
    return "".join("0" if build in entry["absent_in"] else "1" for build in order)


def _spans(facts: Table, order: list[str]) -> Iterator[tuple[str, str]]:
    """Every name with the builds that have it; a method also below the name that its class is exported by."""
    for name, entry in facts["torch.npu"].items():
        if not _is_internal(name, facts["torch.npu"]):
            for spelling in _spellings(name, facts["torch.npu"]):
                yield f"npu.{spelling}", _row(entry, order)
    for module, entries in facts["modules"].items():
        prefix = PREFIXES.get(module, module)
        for name, entry in entries.items():
            yield f"{prefix}.{name}", _row(entry, order)
    for name, overloads in _operators(facts).items():
        rows = [_row(entry, order) for entry in overloads]
        yield f"torch_npu.{name}", "".join(max(column) for column in zip(*rows, strict=True))


def _is_internal(name: str, exported: Table) -> bool:
    """What a module imports for itself, or defines for torch.npu, where programs take it from."""
    module, _, last = name.rpartition(".")
    return last in INTERNAL or name in IMPORTED or (module in HANDS_ON and last in exported)


def _spellings(name: str, exported: Table) -> list[str]:
    """`streams.Event.ipc_handle` is `Event.ipc_handle` too."""
    parts = name.split(".")
    return [name, ".".join(parts[1:])] if len(parts) == 3 and parts[1] in exported else [name]


def _operators(facts: Table) -> dict[str, list[Table]]:
    """The overloads of each operator."""
    found: dict[str, list[Table]] = {}
    for name, entry in facts["operators"].items():
        found.setdefault(name.partition(".")[0], []).append(entry)
    return found


def _overloads(facts: Table) -> dict[str, list[Table]]:
    """The facts of everything whose parameters are known, by the porter's spelling."""
    functions = {
        f"npu.{spelling}": [entry]
        for name, entry in facts["torch.npu"].items()
        if "signatures" in entry and not _is_internal(name, facts["torch.npu"])
        for spelling in _spellings(name, facts["torch.npu"])
    }
    return functions | {f"torch_npu.{name}": overloads for name, overloads in _operators(facts).items()}


def _parameters_by_build(overloads: list[Table], order: list[str]) -> dict[str, list[list[str]]]:
    """The parameters of each overload, for each build that has the function."""
    found: dict[str, list[list[str]]] = {}
    for build in order:
        here = [_parameters(_in_force(entry, build, order)) for entry in overloads if build not in entry["absent_in"]]
        if here:
            found[build] = here
    return found


def _parameter_rows(functions: dict[str, list[Table]], order: list[str]) -> dict[str, list[str]]:
    """The parameters that not every build with the function takes: a row, and `function(one other)` for each."""
    found: dict[str, list[str]] = {}
    for name, overloads in sorted(functions.items()):
        by_build = _parameters_by_build(overloads, order)
        rows: dict[str, list[str]] = {}
        for parameter in dict.fromkeys(one for every in by_build.values() for each in every for one in each):
            takes = {build for build, every in by_build.items() if any(_takes(parameter, each) for each in every)}
            if not parameter.startswith("*") and takes != by_build.keys():
                rows.setdefault("".join(str(int(build in takes)) for build in order), []).append(parameter)
        for row, parameters in rows.items():
            found.setdefault(row, []).append(f"{name}({' '.join(parameters)})")
    return dict(sorted(found.items()))


def _takes(parameter: str, listed: list[str]) -> bool:
    return parameter in listed or any(one.startswith("**") for one in listed)


def _changing_counts(functions: dict[str, list[Table]], order: list[str]) -> dict[str, list[list[Any]]]:
    """How many arguments a function takes by position, as `[from build, count]`, where it is not the same in all."""
    found: dict[str, list[list[Any]]] = {}
    for name, overloads in sorted(functions.items()):
        changes: list[list[Any]] = []
        for build, every in _parameters_by_build(overloads, order).items():
            count = max(map(_by_position, every))
            if not changes or changes[-1][1] != count:
                changes.append([build, count])
        if len(changes) > 1:
            found[name] = changes
    return found


def _by_position(listed: list[str]) -> int:
    """How many parameters come before a star."""
    for at, one in enumerate(listed):
        if one.startswith("*"):
            return at
    return len(listed)


def _in_force(entry: Table, build: str, order: list[str]) -> str:
    """The signature that holds in a build: the last one that is listed up to it."""
    text = ""
    for since, signature in entry.get("signatures") or entry["schemas"]:
        if order.index(since) <= order.index(build):
            text = signature
    return text


def _parameters(signature: str) -> list[str]:
    """The names of a signature's parameters, and its stars: `Tensor self, *, int? out=None` is `self`, `*`, `out`.

    What Python binds itself (`self` of a class, `cls`) is left out.
    """
    schema = re.match(r"[\w.]+\((.*?)\) -> ", signature)
    python = re.fullmatch(r"class\((.*)\)", signature)
    inside = schema or python
    listed = list(_split(inside[1] if inside else signature))
    if not schema and listed[:1] in (["self"], ["cls"]):
        listed = listed[1:]
    return [part.partition("=")[0].split()[-1] for part in listed if part != "="]


def _split(text: str) -> Iterator[str]:
    """What stands between commas, but for those in brackets or quotes."""
    depth, start, quote = 0, 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and not depth:
            yield text[start:at].strip()
            start = at + 1
    if text[start:].strip():
        yield text[start:].strip()


def _key_rows(by_build: Table, order: list[str]) -> dict[str, str]:
    keys = sorted({key for listed in by_build.values() for key in listed})
    return {key: "".join("1" if key in by_build[build] else "0" for build in order) for key in keys}


def _grouped(rows: dict[str, str]) -> dict[str, list[str]]:
    """The names of each row, so that it stands there once."""
    found: dict[str, list[str]] = {}
    for name, row in sorted(rows.items()):
        found.setdefault(row, []).append(name)
    return dict(sorted(found.items()))


# packages of torch -> torch_minors.json


def minors_table(packages: Iterable[Path]) -> Table:
    """The table of the minor releases of torch."""
    by_minor = {_minor(path): _names(path) for path in packages}
    minors = sorted(by_minor, key=lambda minor: [int(part) for part in minor.split(".")])
    names: dict[str, list[str | None]] = {}
    for name in sorted(set().union(*by_minor.values())):
        there = [minor for minor in minors if name in by_minor[minor]]
        names[name] = [there[0], None if there[-1] == minors[-1] else there[-1]]
    return {"minors": minors, "names": names}


def _names(package: Path) -> set[str]:
    """Names below torch whose release matters to a port."""
    found = set()
    if (text := _read(package, "accelerator/__init__.py")) is not None:
        names = {*_listed(text, "__all__"), *_modules(package, "accelerator")}
        found = {"accelerator", *(f"accelerator.{name}" for name in names)}
    if "setattr(ProfilerActivity, " in (_read(package, "utils/backend_registration.py") or ""):
        found.add("profiler.ProfilerActivity.NPU")  # renaming PrivateUse1 renames its activity
    return found


def _minor(package: Path) -> str:
    version = re.search(r"__version__ = '(\d+\.\d+)\.", _read(package, "version.py") or "")
    if version is None:
        raise click.UsageError(f"{package}: expected the folder of an installed torch, or a wheel of it")
    return version[1]


def _read(package: Path, file: str) -> str | None:
    """The text of a file of the package, or None."""
    try:
        if package.is_dir():
            return (package / file).read_text(encoding="utf-8")
        with zipfile.ZipFile(package) as wheel:
            return wheel.read(f"torch/{file}").decode("utf-8")
    except (FileNotFoundError, KeyError):
        return None
    except zipfile.BadZipFile:
        raise click.UsageError(f"{package}: not a wheel") from None


def _modules(package: Path, folder: str) -> set[str]:
    """The public modules in a folder of the package."""
    if package.is_dir():
        files = {path.name for path in (package / folder).glob("*.py")}
    else:
        with zipfile.ZipFile(package) as wheel:
            inside = f"torch/{folder}/"
            files = {name.removeprefix(inside) for name in wheel.namelist() if name.startswith(inside)}
    return {name.removesuffix(".py") for name in files if name.endswith(".py") and name[0] != "_" and "/" not in name}


def _listed(text: str, variable: str) -> list[str]:
    """The texts in a list that a module assigns."""
    for statement in ast.parse(text).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=elements)) if name == variable:
                return [element.value for element in elements if isinstance(element, ast.Constant)]
    return []


@click.command()
@click.option(
    "--facts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write torch_npu_builds.json from the facts file in DIR.",
)
@click.option(
    "--torch",
    "packages",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Write torch_minors.json from these packages of torch, one for each minor release.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file differs.")
def main(facts: Path | None, packages: tuple[Path, ...], check: bool) -> None:
    """Write the tables that know software by its release."""
    tables: dict[str, Table] = {}
    if facts is not None:
        file = facts / "torch_npu_by_release.json"
        try:
            tables[BUILDS] = builds_table(read_json(file))
        except KeyError as error:
            raise click.UsageError(f"{file}: the facts have no entry {error}") from None
    if packages:
        tables[MINORS] = minors_table(packages)
    if not tables:
        raise click.UsageError("nothing to do; name --facts DIR, or --torch PATH for each minor release of torch")
    stale = 0
    for name, table in tables.items():
        text, path = file_text(name, table), PACKAGE / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        click.echo(f"{name}: {'differs' if check else 'written'}")
        if not check:
            write_atomically(path, text)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
