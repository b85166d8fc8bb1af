"""Rebuild the JSON tables of accelerator_tables.

Data flows one way:

    facts folder -> sources/{torch_npu_support,torch_npu_api,device_surface}.json      (with --facts)
    sources/*.json + the installed torch -> targets/*.json, ascend_unsupported.json, versions.json

torch_npu_builds.json, which make_build_tables.py writes, adds names that only some builds have.

sources/targets.json is the one file written by hand: what identifies a target, its irregular names, and
the way out of every name it lacks. The xpu and mps tables ask the installed torch which names exist, so they
are only rebuilt and checked under the version of torch that sources/device_surface.json describes.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import click

PACKAGE = Path(__file__).resolve().parent.parent / "accelerator_tables"
LINE_LENGTH = 110

Table = dict[str, Any]

SUPPORT_VERSION = "2.13.0"
"""The set of vendor support pages the tables are built from."""

HARDWARE = ("atlas-a2", "atlas-a3", "ascend-950dt")
"""The hardware lines, in the order of the flags ("110" is Atlas A2 and A3 but not 950DT)."""

API_KEYS = (
    "torch_npu_version",
    "torch_npu.npu",
    "torch_npu.npu.amp",
    "torch_npu.npu.graphs",
    "torch_npu.npu.memory",
    "torch_npu.npu.streams",
    "torch_npu.npu.submodules",
    "privateuse1_methods",
    "device_params",
    "name_map",
    "alloc_conf_keys_npu",
    "env_pairs",
    "versions",
)
SURFACE_KEYS = (
    "torch",
    "torch.cuda",
    "torch._C_cuda",
    "accelerator",
    "backends",
    "profiler",
    "distributed_backend_map",
    "device_constructors",
    "aten_device_reachable",
    "schemas_with_device",
    "tensor_methods_device",
    "nn_modules_device_kwarg",
    "python_defs_with_device",
    "defaults_cuda",
    "npu_missing_action",
)

IDENTITY_KEYS = (
    "name",
    "title",
    "module",
    "method",
    "flag",
    "backend",
    "profiler_activity",
    "indexed",
    "verified",
    "packages",
    "registered_by",
    "wheels",
    "frameworks",
    "tools",
    "handles",
    "hardware",
    "default_hardware",
    "environment",
    "alloc_conf_keys",
)

DOCUMENTED_PRIVATE = {
    "_sanitizer.enable_cuda_sanitizer",
    "memory._dump_snapshot",
    "memory._record_memory_history",
    "memory._snapshot",
}
"""Names below torch.cuda that begin with an underscore and yet stand in torch's documentation."""

UNCHANGED = ["AcceleratorError", "OutOfMemoryError"]
"""Classes torch.cuda only re-exports from torch: the same object whatever the accelerator."""


# facts -> sources


def read_json(path: Path) -> Table:
    """The object in a JSON file; a clear one-line error when it is missing or is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise click.UsageError(f"{path}: no such file") from None
    except ValueError as error:
        raise click.UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.UsageError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def sources_from_facts(folder: Path) -> dict[str, Table]:
    """The three generated sources, by file name, from the facts files of the same names."""
    support = read_json(folder / "torch_npu_support.json")
    api = read_json(folder / "torch_npu_api.json")
    surface = read_json(folder / "device_surface.json")
    try:
        return {
            "torch_npu_support.json": support_source(support),
            "torch_npu_api.json": api_source(api),
            "device_surface.json": {key: surface[key] for key in SURFACE_KEYS},
        }
    except KeyError as error:
        raise click.UsageError(f"{folder}: the facts have no entry {error}") from None


def support_source(facts: Table) -> Table:
    """The support pages of one version: per API its flags and limits."""
    entries = facts["versions"][SUPPORT_VERSION]
    # One page is headed torch.torch.default_generator.
    entries = {name.replace("torch.torch.", "torch."): entry for name, entry in entries.items()}
    return {
        "source": facts["source"],
        "schema": facts["schema"],
        "hardware": list(HARDWARE),
        "irregular_npu_names": facts["irregular_npu_names"],
        "versions": {SUPPORT_VERSION: dict(sorted(entries.items()))},
    }


def api_source(facts: Table) -> Table:
    """The public names of torch_npu, and the environment variables whose meaning is known."""
    meanings = {name: entry["mean"] for name, entry in sorted(facts["env"].items()) if "mean" in entry}
    return {**{key: facts[key] for key in API_KEYS}, "env": meanings}


# sources -> tables


def cuda_names(surface: Table) -> set[str]:
    """Every dotted public name below torch.cuda, submodules included."""
    names = set(surface["torch.cuda"]["__all__"]) | DOCUMENTED_PRIVATE
    for module, content in surface["torch.cuda"]["modules"].items():
        path = module.removeprefix("torch.cuda.")
        if not any(part.startswith("_") for part in path.split(".")):
            names |= {path, *(f"{path}.{name}" for name in content["public"])}
    return names


def name_on_target(name: str, renamed: dict[str, str]) -> str:
    """What `name` would be called below the target's module; `renamed` holds whole names and single parts."""
    return renamed.get(name) or ".".join(renamed.get(part, part) for part in name.split("."))


def is_below(name: str, modules: Iterable[str]) -> bool:
    """Whether one of `modules` is an ancestor of the dotted `name`."""
    return any(name.startswith(f"{module}.") for module in modules)


def split_names(
    public: set[str], private: set[str], target: Table, exists: Callable[[str], bool]
) -> tuple[Table, list[str]]:
    """The names the target has, each with its dotted name below torch, and the public ones it lacks.

    `exists` answers for a dotted name below the target's module. A lacking module stands for all below it.
    """
    found = {}
    for name in sorted(public | private):
        there = name_on_target(name, target["renamed"])
        if exists(there):
            found[name] = f"{target['module']}.{there}"
    missing = public - found.keys()
    return found, sorted(name for name in missing if not is_below(name, missing))


def ways_out(lacking: list[str], target: Table, common: dict[str, str]) -> dict[str, str]:
    """The way out of each lacking name: the target's own sentence, else the common one, its names filled in.

    memory.memory_cached has the sentence of memory_cached.
    """
    sentences = common | target["ways_out"]
    keys = {name: name if name in sentences else name.rpartition(".")[2] for name in lacking}
    unwritten = [name for name, key in keys.items() if key not in sentences]
    if unwritten:
        raise click.UsageError(
            f"sources/targets.json: {target['name']} lacks {', '.join(unwritten)}: add a way out to ways_out"
        )
    fields = {"device": target["name"], "module": f"torch.{target['module']}", "backend": target["backend"]}
    return {name: sentences[key].format(**fields) for name, key in keys.items()}


def target_table(sources: dict[str, Table], name: str, exists: Callable[[str], bool], **identity: Any) -> Table:
    """The table of one target; `identity` replaces what is written by hand."""
    surface, by_hand = sources["device_surface.json"], sources["targets.json"]
    target = {"name": name, **by_hand["targets"][name], **identity}
    names, lacking = split_names(
        cuda_names(surface), set(surface["torch.cuda"]["private_in_namespace"]), target, exists
    )
    former, former_lacking = split_names(set(by_hand["former"]), set(), target, exists)
    return {
        **{key: target[key] for key in IDENTITY_KEYS},
        "torch": torch_version(surface),
        "keywords": target.get("keywords", {}),
        "names": names,
        "unchanged": UNCHANGED,
        "lacking": ways_out(lacking, target, by_hand["ways_out"]),
        "unsupported": refused_names(names, sources["torch_npu_support.json"]) if target["hardware"] else {},
        "drops_device_argument": [],
        "elsewhere": target["elsewhere"],
        "former": {"names": former, "lacking": ways_out(former_lacking, target, by_hand["ways_out"])},
    }


def torch_version(surface: Table) -> str:
    """The release of torch the surface was taken from, without its build tag ("+cpu")."""
    return str(surface["torch"]).partition("+")[0]


def support_entries(support: Table) -> Table:
    """API name to its entry, of the version in use."""
    entries: Table = support["versions"][SUPPORT_VERSION]
    return entries


def refusing(entry: Table) -> list[str]:
    """The hardware lines whose column in the vendor's page has no tick."""
    return [line for line, flag in zip(HARDWARE, entry["s"], strict=True) if flag == "0"]


def npu_names(api: Table) -> set[str]:
    """Every dotted name that torch.npu has, private ones included."""
    top = api["torch_npu.npu"]
    names = {*top["__all__"], *top["namespace_private"], *top["namespace_public_not_in_all"]}
    for module, content in api["torch_npu.npu.submodules"].items():
        names |= {module, *(f"{module}.{name}" for name in content["__all__"] + content["defs"])}
    for module, content in api["torch_npu.npu.amp"].items():
        path = "amp" if module == "__init__" else f"amp.{module}"
        names |= {path, *(f"{path}.{name}" for name in content["__all__"] + content["names"])}
    return names


def refused_names(names: Iterable[str], support: Table) -> dict[str, list[str]]:
    """Names that exist, but that the vendor's pages refuse on some hardware line."""
    entries, refused = support_entries(support), {}
    for name in names:
        parts = name.split(".")
        # torch.cuda.memory.memory_summary is documented as torch.cuda.memory_summary.
        page = ".".join(["torch.cuda", *parts[:-2], parts[-1]])
        entry = entries.get(f"torch.cuda.{name}") or entries.get(page)
        if entry and refusing(entry):
            refused[name] = refusing(entry)
    return refused


def npu_table(sources: dict[str, Table]) -> Table:
    """The table of torch.npu: names in its public namespace or documented as supported."""
    api, support = sources["torch_npu_api.json"], sources["torch_npu_support.json"]
    renamed = sources["targets.json"]["targets"]["npu"]["renamed"]
    documented = {
        name_on_target(name.removeprefix("torch.cuda."), renamed)
        for name, entry in support_entries(support).items()
        if name.startswith("torch.cuda.") and "1" in entry["s"]
    }
    return target_table(
        sources,
        "npu",
        (npu_names(api) | documented | some_builds_have()).__contains__,
        environment=api["env_pairs"],
        alloc_conf_keys=api["alloc_conf_keys_npu"],
    )


def some_builds_have() -> set[str]:
    """The names below torch.npu that not every build of torch_npu has."""
    names = read_json(PACKAGE / "torch_npu_builds.json")["names"]
    return {name.removeprefix("npu.") for listed in names.values() for name in listed if name.startswith("npu.")}


def musa_table(sources: dict[str, Table]) -> Table:
    """The table of torch.musa, taken to mirror torch.cuda but for the names listed as absent."""
    target = sources["targets.json"]["targets"]["musa"]
    public = {name_on_target(name, target["renamed"]) for name in cuda_names(sources["device_surface.json"])}
    absent = set(target["absent"])
    return target_table(
        sources, "musa", lambda name: name in public and name not in absent and not is_below(name, absent)
    )


def installed_table(sources: dict[str, Table], name: str) -> Table:
    """The table of an accelerator that torch itself carries: names are looked up in the installed torch."""
    import torch

    root = getattr(torch, sources["targets.json"]["targets"][name]["module"])

    def exists(dotted: str) -> bool:
        return resolve(root, dotted) is not None

    table = target_table(sources, name, exists)
    table["drops_device_argument"] = [
        cuda
        for cuda, here in table["names"].items()
        if takes_device(resolve(torch.cuda, cuda)) and not takes_device(resolve(torch, here))
    ]
    return table


def resolve(root: object, dotted: str) -> object | None:
    """The object `dotted` below `root`, or None."""
    value: object | None = root
    for part in dotted.split("."):
        value = getattr(value, part, None)
    return value


def takes_device(function: object) -> bool:
    """Whether a callable has a parameter `device`; False for what has no readable signature."""
    try:
        return callable(function) and "device" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def ascend_unsupported(support: Table) -> Table:
    """Functions, classes and attributes outside torch.cuda that the vendor's pages refuse, with the lines."""
    return {
        name: refusing(entry)
        for name, entry in support_entries(support).items()
        if entry.get("k") != "m" and not name.startswith("torch.cuda.") and refusing(entry)
    }


def version_matrix(api: Table) -> Table:
    """Which releases of torch_npu, torch, CANN and Python belong together, newest first."""
    columns = ("torch_npu", "branch", "torch", "cann")
    rows = [dict(zip(columns, row, strict=True)) for row in api["versions"]["torch_npu"]]
    pythons = api["versions"]["python"]
    newest_first = sorted(pythons, key=lambda torch: [int(part) for part in torch.split(".")], reverse=True)
    return {"python": {torch: pythons[torch] for torch in newest_first}, "torch_npu": rows}


def tables(sources: dict[str, Table]) -> dict[str, Table]:
    """Every generated table by its path in the package; xpu and mps only under the torch they describe."""
    built = {
        "ascend_unsupported.json": ascend_unsupported(sources["torch_npu_support.json"]),
        "versions.json": version_matrix(sources["torch_npu_api.json"]),
        "targets/npu.json": npu_table(sources),
        "targets/musa.json": musa_table(sources),
    }
    wanted, found = torch_version(sources["device_surface.json"]), installed_torch()
    if found == wanted:
        built["targets/xpu.json"] = installed_table(sources, "xpu")
        built["targets/mps.json"] = installed_table(sources, "mps")
    else:
        click.echo(f"targets/xpu.json, targets/mps.json: left alone, need torch {wanted}, found {found}", err=True)
    return built


def installed_torch() -> str:
    """The installed release of torch without its build tag, or "none"."""
    try:
        return metadata.version("torch").partition("+")[0]
    except metadata.PackageNotFoundError:
        return "none"


# text


def to_text(value: Any, breakable: int = 99, indent: int = 0, room: int = LINE_LENGTH) -> str:
    """JSON with one entry a line; what fits in `room`, or lies deeper than `breakable`, is not broken up."""
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, dict | list) or not breakable or len(compact) <= room:
        return compact
    inner = " " * (indent + 1)
    if isinstance(value, dict):
        keys = [f"{json.dumps(key, ensure_ascii=False)}:" for key in value]
        items = list(value.values())
    else:
        keys, items = [""] * len(value), value
    lines = [
        f"{inner}{key}{to_text(item, breakable - 1, indent + 1, LINE_LENGTH - indent - len(key) - 2)}"
        for key, item in zip(keys, items, strict=True)
    ]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(lines), " " * indent + closing])


def file_text(path: str, value: Table) -> str:
    """The whole text of a table's file. A support entry stays on one line however long its limits are."""
    return to_text(value, breakable=3 if path.endswith("torch_npu_support.json") else 99, room=0) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` in one step, so that a reader sees the old text or the new."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


@click.command()
@click.option(
    "--facts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Rebuild the sources too, from the facts files in DIR.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file differs from its sources.")
def main(facts: Path | None, check: bool) -> None:
    """Rebuild the JSON tables of accelerator_tables."""
    generated = sources_from_facts(facts) if facts else {}
    committed = {path.name: read_json(path) for path in sorted((PACKAGE / "sources").glob("*.json"))}
    values = {f"sources/{name}": value for name, value in generated.items()} | tables(committed | generated)
    stale = 0
    for path, value in values.items():
        text, file = file_text(path, value), PACKAGE / path
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        click.echo(f"{path}: {'differs from its sources' if check else 'written'}")
        if not check:
            write_atomically(file, text)
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
