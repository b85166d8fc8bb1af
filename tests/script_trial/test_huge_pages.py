"""A process that is forked often keeps what it has written, whatever pages that lies in."""

from __future__ import annotations

import subprocess
import sys

MOVES = """
import os, re
from script_trial.huge_pages import use_huge_pages

def huge():
    with open("/proc/self/smaps_rollup") as told:
        return int(re.search(r"AnonHugePages: *(\\d+)", told.read())[1])

written = bytearray(os.urandom(1 << 16) * 256)
before, copy = huge(), bytes(written)
use_huge_pages()
child = os.fork()
written[::4096] = bytes(len(written) // 4096)
if child == 0:
    os._exit(int(written == copy))
copy = bytearray(copy)
copy[::4096] = bytes(len(copy) // 4096)
print(written == copy, os.waitpid(child, 0)[1], huge() >= before)
"""


def test_what_was_written_is_the_same_afterwards_here_and_in_a_fork() -> None:
    ended = subprocess.run([sys.executable, "-c", MOVES], capture_output=True, text=True, check=True)
    assert ended.stdout == "True 0 True\n"
