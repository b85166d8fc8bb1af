"""The least that a tool for Python source has to do: read each file of a folder and parse it."""

import ast
import sys
from pathlib import Path

for path in sorted(Path(sys.argv[1]).rglob("*.py")):
    ast.parse(path.read_bytes())
