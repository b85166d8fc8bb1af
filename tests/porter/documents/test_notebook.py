"""Notebooks: the sources of code cells change, and not a byte besides."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest

from porter.documents import port_bytes
from porter.documents.document import CannotPort
from porter.port import Plan
from tests.porter.documents.bytes_in_out import NPU, check_ported, check_unchanged

HELPER = "from diffsynth.core.device.npu_compatible_device import get_device_name"


def notebook(*sources: str | list[str], **more: Any) -> dict[str, Any]:
    cells = [
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
        for source in sources
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5} | more


#: How programs lay out JSON.
STYLES = {
    "Jupyter": lambda content: json.dumps(content, indent=1, ensure_ascii=False) + "\n",
    "escaped": lambda content: json.dumps(content, indent=2),
    "tabs": lambda content: json.dumps(content, indent="\t"),
    "one line": lambda content: json.dumps(content),
    "compact": lambda content: json.dumps(content, separators=(",", ":")),
    "sorted": lambda content: json.dumps(content, sort_keys=True, indent=1),
    "CRLF": lambda content: json.dumps(content, indent=1).replace("\n", "\r\n"),
    "byte order mark": lambda content: "\ufeff" + json.dumps(content),
}


def check(style: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    check_ported("a.ipynb", STYLES[style](before).encode(), STYLES[style](after).encode())


@pytest.mark.parametrize("style", STYLES)
def test_only_the_device_changes(style: str) -> None:
    before = notebook(
        ["import torch\n", "s = '显存 \\n \\\\ / \u2028 \U0001f680 \"'\n", "x.to('cuda')  # é"],
        "y = 'é \\t'\nz = f(\n  'cuda',\n  'é',\n).cuda()\n",
        [],
        "",
        [""],
    )
    before["cells"].insert(1, {"cell_type": "markdown", "metadata": {"source": ["'cuda'"]}, "source": ["x.to('cuda')"]})
    before["cells"][0]["outputs"] = [
        {"text": ["x.to('cuda')"], "data": {"source": "x.to('cuda')", "a": [1e5, None, True]}}
    ]
    after = json.loads(json.dumps(before))
    after["cells"][0]["source"][2] = "x.to('npu')  # é"
    after["cells"][2]["source"] = "y = 'é \\t'\nz = f(\n  'npu',\n  'é',\n).npu()\n"
    check(style, before, after)


@pytest.mark.parametrize("style", STYLES)
def test_an_import_in_the_first_cell_counts_in_the_last(style: str) -> None:
    query = "x = th.{}.mem_get_info({})"
    for last in "", "\n":
        before = notebook(["import torch as th\n", "from diffsynth import Pipe" + last], query.format("cuda", '"cuda"'))
        lines = ["import torch as th\n", "from diffsynth import Pipe\n", HELPER + last]
        check(style, before, notebook(lines, query.format("npu", "get_device_name()")))


@pytest.mark.parametrize("style", STYLES)
def test_the_import_is_added_within_a_cell(style: str) -> None:
    before = notebook(["from diffsynth import Pipe\n", 'torch.cuda.mem_get_info("cuda")'])
    after = notebook(["from diffsynth import Pipe\n", HELPER + "\n", "torch.npu.mem_get_info(get_device_name())"])
    check(style, before, after)


def test_the_import_is_added_to_a_source_that_is_one_string() -> None:
    before = notebook("from diffsynth import Pipe", 'torch.cuda.mem_get_info("cuda")')
    check(
        "one line",
        before,
        notebook(f"from diffsynth import Pipe\n{HELPER}", "torch.npu.mem_get_info(get_device_name())"),
    )


def test_the_import_is_added_to_a_list_of_one_line() -> None:
    before = notebook(["from diffsynth import Pipe"], 'torch.cuda.mem_get_info("cuda")')
    after = notebook(["from diffsynth import Pipe\n", HELPER], "torch.npu.mem_get_info(get_device_name())")
    for style in "Jupyter", "tabs", "one line":
        check(style, before, after)


def test_the_import_comes_before_the_first_query_though_later_cells_import_more() -> None:
    before = notebook(
        "from diffsynth import Pipe", 'torch.cuda.mem_get_info("cuda")', "from diffsynth import save_video"
    )
    after = notebook(
        f"from diffsynth import Pipe\n{HELPER}",
        "torch.npu.mem_get_info(get_device_name())",
        "from diffsynth import save_video",
    )
    check("Jupyter", before, after)


def test_lines_that_end_in_crlf() -> None:
    before = notebook(
        "from diffsynth import Pipe\r\nimport torch",
        "a\r\nfrom diffsynth import Pipe",
        'torch.cuda.mem_get_info("cuda")',
    )
    after = notebook(
        "from diffsynth import Pipe\r\nimport torch",
        f"a\r\nfrom diffsynth import Pipe\r\n{HELPER}",
        "torch.npu.mem_get_info(get_device_name())",
    )
    check("one line", before, after)


def test_a_list_that_holds_no_lines_keeps_its_parts() -> None:
    before = notebook(
        ["x.to('cu", "da')\ny.to(", "", "'cuda')\nfrom diffsynth import Pipe\ntorch.cuda.mem_get_info('cuda')"]
    )
    ported = port_bytes("a.ipynb", json.dumps(before).encode(), NPU)
    assert json.loads(ported.data)["cells"][0]["source"] == [
        "x.to('npu",
        "')\ny.to(",
        "",
        f"'npu')\nfrom diffsynth import Pipe\n{HELPER}\ntorch.npu.mem_get_info(get_device_name())",
    ]


def test_escapes_stay_as_they_are() -> None:
    source = r'"s = \"\u00e9 \u4E2D \ud83d\ude80 \/ \t\";x.to(\u0027cuda\u0027) # é"'
    data = json.dumps(notebook("")).replace('"source": ""', f'"source": {source}').encode()
    check_ported("a.ipynb", data, data.replace(b"cuda", b"npu"))


def test_ipython_is_left_as_it_is() -> None:
    before = notebook(
        "%pip install diffsynth\n!echo \"it's\" 'cuda'\nx.cuda()\nx.cuda?",
        "%%bash\npython run.py --device 'cuda' && x.cuda()",
        "%%time\nx.cuda()\nfiles = !ls 'cuda'",
        "%time x.cuda()",
        "    y = 1\n    x.cuda()",
        "if y:\n    z = %timeit -o x.cuda()\n    %cd cuda",
    )
    after = json.loads(json.dumps(before).replace("x.cuda()", "x.npu()"))
    after["cells"][1] = before["cells"][1]
    check("Jupyter", before, after)


def test_places_are_those_of_the_cell() -> None:
    content = notebook("%%bash\n\n", ["import torch\n", "\n", "    \n", "é = 'cuda'"], "if 1:\n    x.cuda()")
    content["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": "# Title"})
    findings = port_bytes("a.ipynb", json.dumps(content).encode(), NPU).findings
    assert [(f.cell, f.line, f.column, f.end_line, f.end_column) for f in findings] == [
        (3, 4, 5, 4, 11),
        (4, 2, 5, 2, 13),
    ]


UNCHANGED = {
    "no cells": notebook(),
    "no code": {"cells": [{"cell_type": "markdown", "source": "x.to('cuda')"}]},
    "no device": notebook("x.to('cpu')", ["# 'cuda'"]),
    "R": notebook("x <- 'cuda'", metadata={"kernelspec": {"language": "R"}}),
    "Julia": notebook("x = 'cuda'", metadata={"language_info": {"name": "julia"}}),
    "metadata that say nothing": notebook("x", metadata={"kernelspec": None, "language_info": {"name": 3}}),
    "a key twice where it does no harm": '{"cells": [], "a": 1, "a": 2}',
    "thousands of digits": '{"cells": [], "a": ' + "1" * 5000 + "}",
    "deep but not too deep": '{"cells": [], "a": ' + "[" * 500 + "]" * 500 + "}",
    "spaces": ' {"cells" : [ { "cell_type":"code" , "source" : [ "a\\n" , "b" ] } ] } \n\n',
}


@pytest.mark.parametrize("content", UNCHANGED.values(), ids=UNCHANGED)
@pytest.mark.parametrize("style", STYLES)
def test_with_nothing_to_do_the_same_bytes_come_back(content: dict[str, Any] | str, style: str) -> None:
    check_unchanged("a.ipynb", (content if isinstance(content, str) else STYLES[style](content)).encode())


def cell(**entries: Any) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": "x"}, entries]})


NO_SOURCE = 'cell 2 has no "source" that is a string or a list of strings'
CANNOT = {
    "empty": ("", "not a notebook: Expecting value at column 1 of its JSON", 1),
    "cut short": ('{"cells": [\n', "not a notebook: Expecting value at column 1 of its JSON", 2),
    "two values": ("{} {}", "not a notebook: Extra data at column 4 of its JSON", 1),
    "newline in a string": (
        '{"cells": "\n"}',
        "not a notebook: Invalid control character at at column 12 of its JSON",
        1,
    ),
    "list": ("[]", "not a notebook: its JSON is a list, not an object", None),
    "null": ("null", "not a notebook: its JSON is null, not an object", None),
    "too deep": ("[" * 100_000, "not a notebook: its JSON nests too deeply", None),
    "no cells": ("{}", 'not a notebook: it has no "cells"', None),
    "cells of a wrong type": ('{"cells": {}}', 'not a notebook: its "cells" are an object, not a list', None),
    "format 3": (
        '{"worksheets": [{"cells": []}]}',
        "a notebook of format 3 or older; open and save it in Jupyter, which makes it format 4",
        None,
    ),
    "cell of a wrong type": ('{"cells": ["x"]}', "cell 1 is a string, not an object", None),
    "no type": (cell(source="x"), 'cell 2 has no "cell_type", or one that is not a string', None),
    "type of a wrong type": (cell(cell_type=1), 'cell 2 has no "cell_type", or one that is not a string', None),
    "no source": (cell(cell_type="code"), NO_SOURCE, None),
    "source that is a number": (cell(cell_type="code", source=3), NO_SOURCE, None),
    "source that holds a number": (cell(cell_type="markdown", source=["x", 3]), NO_SOURCE, None),
    "cells twice": ('{"cells": [], "cells": []}', 'not a notebook: "cells" stands twice in its JSON', None),
    "source twice": (
        '{"cells": [{"cell_type": "code", "source": "x", "sourc\\u0065": ["y"]}]}',
        'not a notebook: the "source" of cell 1 stands twice in its JSON',
        None,
    ),
    "syntax": (
        json.dumps(notebook("x.cuda()", "\n\ny = (")),
        "cell 2, line 3: syntax error: '(' was never closed",
        None,
    ),
    "a block without a body": (
        json.dumps(notebook("%%bash", "x.cuda()\nif x:", "y")),
        "cell 2, line 2: syntax error: expected an indented block after 'if' statement on line 2",
        None,
    ),
    "brackets": (
        json.dumps(notebook("x.cuda()", "[" * 300 + "]" * 300)),
        "cell 2, line 1: brackets nest more than 200 deep, which no Python accepts",
        None,
    ),
    "UTF-16": ('{"cells": []}'.encode("utf-16"), "it is in UTF-16; save it as UTF-8", None),
    "not UTF-8": (b'{"cells":\n["\xe9"]}', "byte 0xe9 at offset 12 (line 2) is not UTF-8; save the file as UTF-8", 2),
    "NUL": (b'{"cells": []}\0', "it holds a NUL byte at offset 13 (line 1), so it is no text", 1),
}


@pytest.mark.parametrize(("data", "message", "line"), CANNOT.values(), ids=CANNOT)
def test_one_clear_sentence(data: str | bytes, message: str, line: int | None) -> None:
    with pytest.raises(CannotPort) as caught:
        port_bytes("a.ipynb", data if isinstance(data, bytes) else data.encode(), NPU)
    assert (str(caught.value), caught.value.line) == (message, line)


def test_half_of_a_surrogate_pair_names_its_cell() -> None:
    data = json.dumps(notebook("x", "y = '\ud800'")).encode()
    with pytest.raises(CannotPort, match=r"^cell 2: .*surrogates not allowed$"):
        port_bytes("a.ipynb", data, NPU)


@pytest.mark.parametrize(
    "sources", [("x = f(", "y.cuda())"), ("x = f(y.cuda(),", ")"), ('s = """', "x.cuda()", '"""; y.cuda()')]
)
def test_cells_that_only_parse_together_are_refused(sources: tuple[str, ...]) -> None:
    with pytest.raises(CannotPort, match=r"^cell [123], line 1: syntax error: "):
        port_bytes("a.ipynb", json.dumps(notebook(*sources)).encode(), NPU)


@pytest.mark.parametrize("first", ["a = 'npu'", "  a = 'npu'"])
def test_undo_of_two_accelerators_is_refused(first: str) -> None:
    data = json.dumps(notebook(first, "b = 'cuda'")).encode()
    ported = port_bytes("a.ipynb", data, Plan("cuda"))
    assert ported.data is data
    assert [(f.code, f.cell, f.line) for f in ported.findings] == [("DP109", 1, 1)]


def test_the_mark_is_no_part_of_the_json() -> None:
    data = codecs.BOM_UTF8 + json.dumps(notebook("x.to('cuda')")).encode()
    check_ported("a.IPYNB", data, data.replace(b"cuda", b"npu"))
