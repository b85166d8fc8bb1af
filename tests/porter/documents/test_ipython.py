"""What IPython adds to Python is overwritten, character for character."""

from __future__ import annotations

import ast

import pytest

from porter.documents.ipython import as_python

OVERWRITTEN = {
    "line magic": ("%matplotlib inline\nx = 1", "0#################\nx = 1"),
    "indented": ("if x:\n    %cd folder\n    y", "if x:\n    0#########\n    y"),
    "shell": ("!pip install it's\r\nx", "0################\r\nx"),
    "shell over two lines": ("!ls \\\n  *.png\nx", "0####\n#######\nx"),
    "two marks": ("!!ls", "0###"),
    "assigned shell": ("files = !ls *.png\nx", "files = 0########\nx"),
    "assigned to several": ("a, b[1] = !ls", "a, b[1] = 0##"),
    "assigned magic": ("here = %pwd", "here = 0###"),
    "help before": ("?torch.cuda", "0##########"),
    "help after": ("torch.cuda?", "0##########"),
    "source after": ("if x:\n  model.to??  \nx", "if x:\n  0#########  \nx"),
    "autocall": ("/print 1\n,f a b\n;f a b", "0#######\n0#####\n0#####"),
    "time": ("%time x = f(1)", "0    ;x = f(1)"),
    "timeit with options": ("%timeit -n 10 -r3 f(x)", "0                ;f(x)"),
    "assigned time": ("y = %time f(x)", "y =       f(x)"),
    "time of nothing": ("%time", "0####"),
    "time of what is no Python": ("%timeit -s wide f x", "0##################"),
    "cell magic": ("%%time\nx", "0#####\nx"),
    "cell magic with Python": ("%%timeit x = 1\ny", "0       ;x = 1\ny"),
    "cell magic with options": ("%%capture out --no-stderr\nx", "0########################\nx"),
    "cell that writes a script": ("%%writefile 'run.py'\nx", "0###################\nx"),
    "one character": ("?\n!\n%", "0\n0\n0"),
    "after a statement over lines": ("f(\n  1)\n%pwd", "f(\n  1)\n0###"),
    "after a string over lines": ("'''\n%no\n'''\n%pwd", "'''\n%no\n'''\n0###"),
}

PYTHON = [
    "x = 5 % 3",
    "x %= 3",
    "x = ('%d'\n     %3)",
    "x = 5 \\\n  %3",
    "s = '''\n%cd folder\n!ls\nwhat?\n'''",
    's = """\\"""\n%no\n"""',
    "x = [\n!r\n]",
    "# what?",
    "x = 1  # what?",
    "'what?'",
    "assert x != 1",
    "def f(a, /): pass",
    "x = 'a' ; y = 1",
    "",
]


@pytest.mark.parametrize(("cell", "python"), OVERWRITTEN.values(), ids=OVERWRITTEN)
def test_overwritten(cell: str, python: str) -> None:
    assert as_python(cell) == python
    assert len(cell) == len(python)
    ast.parse(python)


@pytest.mark.parametrize("cell", PYTHON)
def test_python_stays(cell: str) -> None:
    assert as_python(cell) == cell


@pytest.mark.parametrize(
    "cell",
    ["%%bash\nls", "\n %%html\n<p>", "%%writefile notes.txt\nx", "%%latex", "%%unknown\nx", "%%sql result <<\nx"],
)
def test_a_cell_in_another_language_is_no_python(cell: str) -> None:
    assert as_python(cell) is None
