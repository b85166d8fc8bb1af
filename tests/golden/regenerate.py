"""Write the expected outputs anew, for review: every example that the porter changes, as it now ports it to the NPU.

Run from anywhere: python tests/golden/regenerate.py. The outputs named in BY_HAND.txt are the porter's measure, written
by hand; they are never touched. An output whose example is gone, or is no longer changed, is removed. The NPU
launch scripts in the examples are written anew too. Prints one line for each change.
"""

from __future__ import annotations

import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent
ROOT = GOLDEN.parents[1]
EXAMPLES = ROOT / "examples"
ENDINGS = (".py", ".sh", ".yaml")


def main() -> int:
    from porter.documents import port_bytes
    from porter.port import Plan
    from porter.shell.npu_script import is_npu_script, npu_script_of

    by_hand = set((GOLDEN / "BY_HAND.txt").read_text("utf-8").split())
    wanted = set(by_hand)
    for example in sorted(path for path in EXAMPLES.rglob("*") if path.suffix in ENDINGS):
        name, data = example.relative_to(EXAMPLES).as_posix(), example.read_bytes()
        new = port_bytes(str(example), data, Plan("npu")).data
        if name in by_hand or new == data or is_npu_script(str(example)):
            continue
        wanted.add(name)
        write(GOLDEN / name, new, name)
        if example.suffix == ".sh":
            form = Path(npu_script_of(str(example)))
            write(form, new, f"examples/{form.relative_to(EXAMPLES).as_posix()}")
    for golden in sorted(path for path in GOLDEN.glob("*/**/*") if path.suffix in ENDINGS):
        if (name := golden.relative_to(GOLDEN).as_posix()) not in wanted:
            print(f"removed: {name}")
            golden.unlink()
    return 0


def write(path: Path, data: bytes, name: str) -> None:
    """Say what changes, and make it so."""
    if not path.exists() or path.read_bytes() != data:
        print(f"{'changed' if path.exists() else 'new'}: {name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
