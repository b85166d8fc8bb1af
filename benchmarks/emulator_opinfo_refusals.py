"""How many samples of torch's own operator database the emulated NPU refuses, by type and hardware line.

Every entry is called with its first samples in each type that it has on the CPU, refusals on. A sample counts as run
where nothing is refused, as refused where the emulator refuses it, and as failed where something else is raised, which
has nothing to do with refusals (see benchmarks/emulator_opinfo.py).

    python -m benchmarks.emulator_opinfo_refusals [--samples 2] [--hardware atlas-a2]... [--out results.md]
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

LINES = ("atlas-a2", "atlas-a3", "ascend-950dt", "atlas-910", "atlas-310p", "atlas-200i-a2")


def counts_of(line: str, count: int) -> dict[str, dict[str, int]]:
    """By type: samples run, refused and failed, in this process."""
    import npu_emulator

    npu_emulator.enable(devices=1, memory="8GiB", hardware=line)
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts: dict[str, dict[str, int]] = collections.defaultdict(lambda: dict.fromkeys(("run", "refused", "failed"), 0))
    for op in op_db:
        for type_name, outcome in in_a_child(op, count):
            counts[type_name][outcome] += 1
    return counts


def in_a_child(op: Any, count: int) -> list[list[str]]:
    """Type and outcome of every sample of an entry, called in a child: some kernels of the host crash on some types.

    What comes after a crash is lost.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for dtype in sorted(op.dtypes, key=str):
            name = str(dtype).removeprefix("torch.")
            rows = [json.dumps([name, outcome]) + "\n" for outcome in outcomes(op, dtype, count)]
            os.write(writer, "".join(rows).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        told = [json.loads(line) for line in pipe]
    os.waitpid(child, 0)
    return told


def outcomes(op: Any, dtype: Any, count: int) -> list[str]:
    """What became of the first samples of an entry in a type."""
    found = []
    with contextlib.suppress(Exception):  # an entry that makes no sample in a type
        for sample in itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=False), count):
            found.append(outcome_of(op, sample))
    return found


def outcome_of(op: Any, sample: Any) -> str:
    import torch
    from torch.utils._pytree import tree_map

    from npu_emulator import RefusedOnNpu

    def move(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.to("npu")
        return torch.device("npu") if isinstance(leaf, torch.device) or leaf == "cpu" else leaf

    moved = tree_map(move, (sample.input, sample.args, sample.kwargs))
    try:
        op(moved[0], *moved[1], **moved[2])
    except RefusedOnNpu:
        return "refused"
    except NotImplementedError as error:
        return "refused" if "is not supported on a" in str(error) else "failed"
    except Exception as error:  # a refusal within torch's own Python may be wrapped
        return "refused" if "not implemented for DT_" in str(error) else "failed"
    return "run"


def table_of(results: dict[str, dict[str, dict[str, int]]]) -> str:
    """Refused of all samples that ran or were refused, by type and line."""
    types = sorted({name for counts in results.values() for name in counts})
    rows = ["| type | " + " | ".join(results) + " |", "|---|" + "---|" * len(results)]
    for name in [*types, "all"]:
        cells = []
        for counts in results.values():
            chosen = counts.values() if name == "all" else [counts.get(name, {})]
            refused = sum(one.get("refused", 0) for one in chosen)
            total = refused + sum(one.get("run", 0) for one in chosen)
            cells.append(f"{refused:,} of {total:,}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2, help="samples of each entry and type (default: 2)")
    parser.add_argument("--hardware", action="append", choices=LINES, help="default: Atlas A2, A3 and Ascend 950")
    parser.add_argument("--out", type=Path, help="write the table to a file")
    parser.add_argument("--one-line", action="store_true", help=argparse.SUPPRESS)  # a line is for a process's life
    options = parser.parse_args()
    lines = options.hardware or list(LINES[:3])
    if options.one_line:
        print(json.dumps(counts_of(lines[0], options.samples)))
        return 0
    results = {line: in_a_process(line, options.samples) for line in lines}
    table = table_of(results)
    print(table, end="")
    if options.out:
        options.out.write_text(table, encoding="utf-8")
    return 0


def in_a_process(line: str, count: int) -> dict[str, dict[str, int]]:
    command = [sys.executable, "-m", "benchmarks.emulator_opinfo_refusals", "--samples", str(count)]
    output = subprocess.run([*command, "--hardware", line, "--one-line"], capture_output=True, text=True, check=False)
    if output.returncode:
        raise SystemExit(f"{line}: ended early:\n{output.stderr[-2000:]}")
    result: dict[str, dict[str, int]] = json.loads(output.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    sys.exit(main())
