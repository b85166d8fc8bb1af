"""The least for a tool that changes files and may be killed: each is written anew beside it, then takes its place."""

import os
import sys
from pathlib import Path

for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    beside = path.with_suffix(".new")
    beside.write_bytes(path.read_bytes())
    os.replace(beside, path)
