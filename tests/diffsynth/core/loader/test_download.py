"""Both download clients, asked for real, against a small server on this machine that speaks as the two sites do."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from diffsynth.core import ModelConfig
from diffsynth.core.loader import ModelNotFoundError

MODEL = "Org/Model"
UNKNOWN = "Org/Unknown"
COMMIT = "a" * 40
SHARDS = ["dit-00001-of-00002.safetensors", "dit-00002-of-00002.safetensors"]
FILES = {
    "vae.pth": b"v" * 1000,
    SHARDS[0]: b"1",
    SHARDS[1]: b"2",
    "google/umt5-xxl/spiece.model": b"s",
    "google/umt5-xxl/tokenizer.json": b"{}",
    "README.md": b"r",
}

# What one process asks for, one after another: a model and a pattern, or a file to delete before the next.
STEPS = {
    "file": (MODEL, "vae.pth"),
    "shards": (MODEL, "dit*.safetensors"),
    "folder": (MODEL, "google/umt5-xxl/"),
    "nothing": (MODEL, "no*"),
    "file again": (MODEL, "vae.pth"),
    "shards again": (MODEL, "dit*.safetensors"),
    "lose a shard": (MODEL, SHARDS[1]),
    "shards after a loss": (MODEL, "dit*.safetensors"),
    "unknown model": (UNKNOWN, "vae.pth"),
    "unknown model, folder here": (UNKNOWN, "google/umt5-xxl/"),
}

# The clients read their addresses when they are imported, so this runs in a process of its own.
PROGRAM = """
import json, os, sys, urllib.request, warnings
from diffsynth.core import ModelConfig
root, site, steps = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
results = {}
for name, (model, pattern) in steps.items():
    if name.startswith("lose"):
        os.remove(os.path.join(root, model, pattern))
        continue
    urllib.request.urlopen(site + "/step/" + name.replace(" ", "%20")).read()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = ModelConfig(model_id=model, origin_file_pattern=pattern).download_if_necessary().path
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
    results[name] = [result, [str(warning.message) for warning in caught]]
print(json.dumps(results))
"""


class Site(BaseHTTPRequestHandler):
    """One model, as huggingface_hub and modelscope ask for it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        self.server.requests.append(path)
        body = b"seen" if path.startswith("/step/") else self.huggingface(path) or self.modelscope(path, query)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("ETag", f'"{hashlib.sha1(body or b"").hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    do_HEAD = do_GET

    def huggingface(self, path: str) -> bytes | None:
        if path == f"/api/models/{MODEL}/revision/main":
            return json.dumps({"id": MODEL, "sha": COMMIT, "siblings": [{"rfilename": f} for f in FILES]}).encode()
        if path.startswith(f"/api/models/{MODEL}/tree/"):
            rows = [{"type": "file", "path": file, "size": len(body), "oid": "0"} for file, body in FILES.items()]
            return json.dumps(rows).encode()
        return FILES.get(path.removeprefix(f"/{MODEL}/resolve/{COMMIT}/"))

    def modelscope(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        if path == f"/api/v1/models/{MODEL}/repo/files":
            rows = [self.modelscope_file(file, body) for file, body in FILES.items()]
            return json.dumps({"Code": 200, "Success": True, "Data": {"Files": rows}}).encode()
        return FILES.get(query["FilePath"][0]) if path == f"/api/v1/models/{MODEL}/repo" else None

    def modelscope_file(self, file: str, body: bytes) -> dict[str, object]:
        digest = hashlib.sha256(body).hexdigest()
        return {"Name": Path(file).name, "Path": file, "Type": "blob", "Size": len(body), "Sha256": digest}

    def log_message(self, *args: object) -> None:
        pass


class Asked(NamedTuple):
    """What a process got: paths or an error, warnings, and the requests that the site saw, all by step."""

    root: Path
    source: str
    results: dict[str, str | list[str]]
    warnings: dict[str, list[str]]
    requests: dict[str, list[str]]


@pytest.fixture(scope="module", params=["modelscope", "huggingface"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    client = {"modelscope": "modelscope", "huggingface": "huggingface_hub"}[request.param]
    if importlib.util.find_spec(client) is None:
        pytest.skip(f"needs {client}")
    root = tmp_path_factory.mktemp(request.param)
    (root / UNKNOWN / "google" / "umt5-xxl").mkdir(parents=True)
    (root / UNKNOWN / "google" / "umt5-xxl" / "spiece.model").touch()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Site) as site:
        site.daemon_threads = True
        site.requests = []
        threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        results = run_steps(request.param, f"http://127.0.0.1:{site.server_address[1]}", root)
        site.shutdown()
    requests: dict[str, list[str]] = {}
    for path in site.requests:
        if path.startswith("/step/"):
            step = requests[path.removeprefix("/step/")] = []
        else:
            step.append(path)
    paths, warned = ({name: result[part] for name, result in results.items()} for part in (0, 1))
    return Asked(root, request.param, paths, warned, requests)


def run_steps(source: str, address: str, root: Path) -> dict[str, tuple[str | list[str], list[str]]]:
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    addresses = dict.fromkeys(["HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"], address)
    ours = {"DIFFSYNTH_MODEL_BASE_PATH": str(root), "DIFFSYNTH_DOWNLOAD_SOURCE": source, "DIFFSYNTH_SKIP_DOWNLOAD": "0"}
    homes = {"HOME": str(root / "home"), "HF_HOME": str(root / "home")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), address, json.dumps(STEPS)],
        env=kept | addresses | ours | homes, cwd=Path(__file__).parents[4], capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_is_missing_is_downloaded_and_nothing_else(asked: Asked) -> None:
    folder = asked.root / MODEL
    assert asked.results["file"] == str(folder / "vae.pth")
    assert asked.results["shards"] == [str(folder / shard) for shard in SHARDS]
    assert asked.results["folder"] == str(folder / "google/umt5-xxl")
    here = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    ours = {name: body for name, body in here.items() if not name.startswith(".")}
    assert ours == {name: body for name, body in FILES.items() if name != "README.md"}


def test_a_pattern_that_matches_nothing_there_either(asked: Asked) -> None:
    expected = f"ModelNotFoundError: model {MODEL}: 'no*' matches nothing in {asked.root / MODEL}, nor in {MODEL} at "
    assert asked.results["nothing"].startswith(expected + asked.source)


def test_what_is_whole_is_not_asked_for(asked: Asked) -> None:
    assert asked.requests["file"]
    assert asked.requests["file again"] == asked.requests["shards again"] == []
    assert asked.results["file again"] == asked.results["file"]
    assert asked.results["shards again"] == asked.results["shards"]


def test_a_lost_shard_is_downloaded_again(asked: Asked) -> None:
    assert asked.results["shards after a loss"] == asked.results["shards"]
    assert asked.requests["shards after a loss"]


def test_a_model_that_the_site_has_not(asked: Asked) -> None:
    error = asked.results["unknown model"]
    assert error.startswith("ModelNotFoundError: ")
    folder = str(asked.root / UNKNOWN)
    for part in (UNKNOWN, "vae.pth", asked.source, folder, "local_model_path", "DIFFSYNTH_DOWNLOAD_SOURCE"):
        assert part in error


def test_a_folder_that_is_here_is_used_where_the_site_does_not_answer_well(asked: Asked) -> None:
    assert asked.results["unknown model, folder here"] == str(asked.root / UNKNOWN / "google/umt5-xxl")
    warned = " ".join(asked.warnings["unknown model, folder here"])
    assert asked.source == "huggingface" or f"using what is in {asked.root / UNKNOWN}" in warned  # that client logs


@pytest.mark.parametrize(("source", "client"), [("modelscope", "modelscope"), ("huggingface", "huggingface_hub")])
def test_a_client_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, client: str
) -> None:
    monkeypatch.setitem(sys.modules, client, None)
    config = ModelConfig(
        model_id=MODEL,
        origin_file_pattern="vae.pth",
        local_model_path=tmp_path,
        download_source=source,
        skip_download=False,
    )
    with pytest.raises(ModelNotFoundError, match=rf"{MODEL} .*needs {client}: pip install {client}.*download_source"):
        config.download_if_necessary()
