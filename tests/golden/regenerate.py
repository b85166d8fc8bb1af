"""Write the expected outputs anew, for review: every example as the porter now ports it to the NPU.

Run from anywhere: python tests/golden/regenerate.py. The outputs named in BY_HAND.txt are the porter's measure, written
by hand; they are never touched. An output whose example is gone is removed. Prints one line for each change.
"""

from __future__ import annotations

import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent
ROOT = GOLDEN.parents[1]
EXAMPLES = ROOT / "examples"


def main() -> int:
    from porter.port import Plan
    from porter.port_file import port_bytes

    by_hand = set((GOLDEN / "BY_HAND.txt").read_text("utf-8").split())
    examples = {path.relative_to(EXAMPLES).as_posix(): path for path in EXAMPLES.rglob("*.py")}
    for name, example in sorted(examples.items()):
        if name in by_hand:
            continue
        golden = GOLDEN / name
        new = port_bytes(name, example.read_bytes(), Plan("npu")).data
        if not golden.exists() or golden.read_bytes() != new:
            print(f"{'changed' if golden.exists() else 'new'}: {name}")
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_bytes(new)
    for golden in sorted(GOLDEN.glob("*/**/*.py")):
        if (name := golden.relative_to(GOLDEN).as_posix()) not in examples:
            print(f"removed: {name}")
            golden.unlink()
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
