"""DP101: a device named by a string, wherever a device is meant."""

from __future__ import annotations

import pytest

from tests.porter.rules.rewriting import (
    befores,
    check_noop,
    check_reported,
    check_text_for_people,
    check_transformed,
    ported,
)

ARGUMENTS = [
    pytest.param('load(device="cuda")', 'load(device="npu")', id="keyword"),
    pytest.param("load(device='cuda')", "load(device='npu')", id="single-quotes"),
    pytest.param('load(device="""cuda""")', 'load(device="""npu""")', id="triple-quotes"),
    pytest.param('load(device=u"cuda")', 'load(device=u"npu")', id="u-prefix"),
    pytest.param('load(device=R"cuda:1")', 'load(device=R"npu:1")', id="raw-prefix"),
    pytest.param('pipe.to("cuda")', 'pipe.to("npu")', id="positional"),
    pytest.param('text_encoder.to("cuda")', 'text_encoder.to("npu")', id="positional-of-a-text-encoder"),
    pytest.param('torch.device("cuda", 0)', 'torch.device("npu", 0)', id="torch-device"),
    pytest.param('torch.device(type="cuda")', 'torch.device(type="npu")', id="torch-device-type"),
    pytest.param('torch.Generator("cuda").manual_seed(0)', 'torch.Generator("npu").manual_seed(0)', id="generator"),
    pytest.param('with torch.autocast("cuda"): pass', 'with torch.autocast("npu"): pass', id="autocast"),
    pytest.param('GradScaler("cuda")', 'GradScaler("npu")', id="grad-scaler"),
    pytest.param('init_device_mesh("cuda", (8,))', 'init_device_mesh("npu", (8,))', id="device-mesh"),
    pytest.param('partial(autocast, "cuda")', 'partial(autocast, "npu")', id="partial"),
    pytest.param('custom_fwd(device_type="cuda")', 'custom_fwd(device_type="npu")', id="device-type-keyword"),
    pytest.param('torch.load(p, map_location="cuda")', 'torch.load(p, map_location="npu")', id="map-location"),
    pytest.param('torch.load(p, "cuda:0")', 'torch.load(p, "npu:0")', id="map-location-by-position"),
    pytest.param('pipe(rand_device="cuda")', 'pipe(rand_device="npu")', id="rand-device"),
    pytest.param('from_pretrained(device_map="cuda")', 'from_pretrained(device_map="npu")', id="device-map"),
    pytest.param('x.to(dtype=d, device="cuda:3")', 'x.to(dtype=d, device="npu:3")', id="number"),
    pytest.param('f(name="x", device="cuda")', 'f(name="x", device="npu")', id="beside-a-text"),
    pytest.param('f(device_name="cuda")', 'f(device_name="npu")', id="device-wins-over-name"),
    pytest.param('Thread(target=f, args=("a", "cuda"))', 'Thread(target=f, args=("a", "npu"))', id="handed-on"),
    pytest.param('f(*["cuda"])', 'f(*["npu"])', id="starred"),
    pytest.param('await f("cuda")', 'await f("npu")', id="awaited-call"),
    pytest.param('x = f("a")("cuda")', 'x = f("a")("npu")', id="call-of-a-call"),
    pytest.param('x.to("%s:%d" % ("cuda", i))', 'x.to("%s:%d" % ("npu", i))', id="put-in-by-percent"),
    pytest.param('x.to("{}:{}".format("cuda", i))', 'x.to("{}:{}".format("npu", i))', id="put-in-by-format"),
    pytest.param('load(device="cuda,cpu")', 'load(device="npu,cpu")', id="several"),
    pytest.param('devices = "cuda:0,cuda:1"', 'devices = "npu:0,npu:1"', id="several-numbers"),
]


@pytest.mark.parametrize(("before", "after"), ARGUMENTS)
def test_argument(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize("state", ["offload", "onload", "preparing", "computation"])
def test_every_device_of_the_memory_settings(state: str) -> None:
    check_transformed(f'vram_config = {{"{state}_device": "cuda"}}', f'vram_config = {{"{state}_device": "npu"}}')
    check_transformed(f'ModelConfig({state}_device="cuda")', f'ModelConfig({state}_device="npu")')
    check_noop(f'vram_config = {{"{state}_device": "disk"}}')


ENTRIES = [
    pytest.param('c = {"device": "cuda", "n": 1}', 'c = {"device": "npu", "n": 1}', id="by-its-key"),
    pytest.param('c = {"": "cuda"}', 'c = {"": "npu"}', id="whole-model"),
    pytest.param('c = {True: "cuda", False: "cpu"}[gpu]', 'c = {True: "npu", False: "cpu"}[gpu]', id="table"),
    pytest.param('c = {"text_encoder": "cuda"}', 'c = {"text_encoder": "npu"}', id="part-of-a-network"),
    pytest.param('device_map = {"text": "cuda:1"}', 'device_map = {"text": "npu:1"}', id="by-the-whole"),
    pytest.param('f(device_map={"embed_tokens": "cuda"})', 'f(device_map={"embed_tokens": "npu"})', id="handed-over"),
    pytest.param('c = {n: "cuda" for n in names}', 'c = {n: "npu" for n in names}', id="comprehension"),
    pytest.param('c = {"device": ["cuda", "cpu"]}', 'c = {"device": ["npu", "cpu"]}', id="list"),
    pytest.param('c["device"] = "cuda"', 'c["device"] = "npu"', id="set-by-key"),
    pytest.param('c.setdefault("device", "cuda")', 'c.setdefault("device", "npu")', id="setdefault"),
    pytest.param('c.get("device", "cuda")', 'c.get("device", "npu")', id="get-with-default"),
    pytest.param('os.environ.get("DEVICE", "cuda")', 'os.environ.get("DEVICE", "npu")', id="environ-get"),
    pytest.param('getattr(args, "device", "cuda")', 'getattr(args, "device", "npu")', id="getattr-default"),
    pytest.param('setattr(args, "device", "cuda")', 'setattr(args, "device", "npu")', id="setattr"),
    pytest.param(
        'torch.load(p, map_location={"cpu": "cuda:0"})',
        'torch.load(p, map_location={"cpu": "npu:0"})',
        id="location",
    ),
]


@pytest.mark.parametrize(("before", "after"), ENTRIES)
def test_value_of_a_dictionary(before: str, after: str) -> None:
    check_transformed(before, after)


ASSIGNMENTS = [
    pytest.param('device = "cuda"', 'device = "npu"', id="name"),
    pytest.param('self.device = "cuda"', 'self.device = "npu"', id="attribute"),
    pytest.param('device: str = "cuda"', 'device: str = "npu"', id="annotated"),
    pytest.param('if (device := "cuda"): pass', 'if (device := "npu"): pass', id="walrus"),
    pytest.param('a = b = "cuda"', 'a = b = "npu"', id="chain"),
    pytest.param('device = "cuda" if gpu else "cpu"', 'device = "npu" if gpu else "cpu"', id="conditional"),
    pytest.param('device = "cpu" if slow else "cuda"', 'device = "cpu" if slow else "npu"', id="conditional-else"),
    pytest.param('device = a if b else c if d else "cuda"', 'device = a if b else c if d else "npu"', id="nested"),
    pytest.param('device = given or "cuda"', 'device = given or "npu"', id="or"),
    pytest.param('device, dtype = "cuda", f16', 'device, dtype = "npu", f16', id="pair"),
    pytest.param('model, device = "wan", "cuda"', 'model, device = "wan", "npu"', id="pair-with-a-text"),
    pytest.param('devices = ["cpu", "cuda", "cuda:1"]', 'devices = ["cpu", "npu", "npu:1"]', id="list"),
    pytest.param('devices = ["cuda"] * n', 'devices = ["npu"] * n', id="list-repeated"),
    pytest.param('devices = ["cpu"] + ["cuda"]', 'devices = ["cpu"] + ["npu"]', id="lists-added"),
    pytest.param(
        'devices = ["a"] + (["cuda"] if g else [])', 'devices = ["a"] + (["npu"] if g else [])', id="added-if"
    ),
    pytest.param('devices += ["cuda"]', 'devices += ["npu"]', id="list-extended"),
    pytest.param('devices.append("cuda")', 'devices.append("npu")', id="append"),
    pytest.param('devices.remove("cuda")', 'devices.remove("npu")', id="remove"),
    pytest.param('DEVICES = frozenset({"cuda", "cpu"})', 'DEVICES = frozenset({"npu", "cpu"})', id="frozenset"),
    pytest.param('device = ("cpu", "cuda")[gpu]', 'device = ("cpu", "npu")[gpu]', id="picked-by-index"),
    pytest.param('for d in ("cpu", "cuda"): pass', 'for d in ("cpu", "npu"): pass', id="loop"),
    pytest.param('x = [f(d) for d in ["cuda"]]', 'x = [f(d) for d in ["npu"]]', id="comprehension"),
    pytest.param('devices = ["cuda" for _ in r]', 'devices = ["npu" for _ in r]', id="element"),
    pytest.param('def f():\n    return "cuda"', 'def f():\n    return "npu"', id="return"),
    pytest.param('def f():\n    yield "cuda"', 'def f():\n    yield "npu"', id="yield"),
    pytest.param('async def device():\n    return "cuda"', 'async def device():\n    return "npu"', id="async-return"),
    pytest.param('f = lambda: "cuda"', 'f = lambda: "npu"', id="lambda"),
    pytest.param('D = Literal["cuda", "cpu"]', 'D = Literal["npu", "cpu"]', id="literal-type"),
    pytest.param('class C:\n    device: str = "cuda"', 'class C:\n    device: str = "npu"', id="dataclass"),
    pytest.param('x: D = field(default="cuda")', 'x: D = field(default="npu")', id="field-default"),
    pytest.param('device: str = Field("cuda")', 'device: str = Field("npu")', id="field-first"),
    pytest.param(
        'd: str = Field(default="cuda" if gpu else "cpu")',
        'd: str = Field(default="npu" if gpu else "cpu")',
        id="field-if",
    ),
    pytest.param('device = attr.ib(default="cuda")', 'device = attr.ib(default="npu")', id="attrs"),
    pytest.param('f(Field("cuda"))', 'f(Field("npu"))', id="field-of-nothing"),
]


@pytest.mark.parametrize(("before", "after"), ASSIGNMENTS)
def test_assignment_and_what_passes_a_value_on(before: str, after: str) -> None:
    check_transformed(before, after)


STRINGS = [
    pytest.param('d = f"cuda:{rank}"', 'd = f"npu:{rank}"', id="f-string"),
    pytest.param("d = f'cuda:{rank}'", "d = f'npu:{rank}'", id="f-string-single-quotes"),
    pytest.param('d = rf"cuda:{rank}"', 'd = rf"npu:{rank}"', id="raw-f-string"),
    pytest.param('d = F"cuda"', 'd = F"npu"', id="f-string-without-fields"),
    pytest.param('d = f"cuda:{rank % n:d}"', 'd = f"npu:{rank % n:d}"', id="f-string-with-format"),
    pytest.param('d = f"cuda:1{rank}"', 'd = f"npu:1{rank}"', id="f-string-with-a-digit"),
    pytest.param('d = f"cuda:{ids["a"]}"', 'd = f"npu:{ids["a"]}"', id="f-string-quotes-within"),
    pytest.param(
        """d = f"{'cuda' if gpu else 'cpu'}:{rank}\"""",
        """d = f"{'npu' if gpu else 'cpu'}:{rank}\"""",
        id="within-an-f-string",
    ),
    pytest.param('d = "cuda:" + str(i)', 'd = "npu:" + str(i)', id="sum"),
    pytest.param('d = "cuda" + ":" + str(i)', 'd = "npu" + ":" + str(i)', id="sum-of-three"),
    pytest.param('d = "cuda" + f":{i}"', 'd = "npu" + f":{i}"', id="sum-with-an-f-string"),
    pytest.param(
        'd = ("cuda" if gpu else "cpu") + ":0"', 'd = ("npu" if gpu else "cpu") + ":0"', id="sum-with-a-conditional"
    ),
    pytest.param('d = "cuda:%d" % i', 'd = "npu:%d" % i', id="percent"),
    pytest.param('d = "cuda:{}".format(i)', 'd = "npu:{}".format(i)', id="format"),
    pytest.param('d = "cuda:{0}".format(i)', 'd = "npu:{0}".format(i)', id="format-by-number"),
    pytest.param('d = "cuda:{i:d}".format(i=i)', 'd = "npu:{i:d}".format(i=i)', id="format-by-name"),
    pytest.param('template = "cuda:{}"', 'template = "npu:{}"', id="template"),
    pytest.param('d = "cuda" ":0"', 'd = "npu" ":0"', id="implicit-concatenation"),
    pytest.param('d = ("cuda"  # one\n     ":0")', 'd = ("npu"  # one\n     ":0")', id="concatenation-over-lines"),
    pytest.param('t.to(f"cuda:{i}") if i else t', 't.to(f"npu:{i}") if i else t', id="f-string-as-argument"),
    pytest.param('str(device).replace("cuda:", "")', 'str(device).replace("npu:", "")', id="number-cut-out"),
]


@pytest.mark.parametrize(("before", "after"), STRINGS)
def test_string_that_is_put_together(before: str, after: str) -> None:
    check_transformed(before, after)


OPTIONS = [
    pytest.param(
        'p.add_argument("--device", default="cuda")', 'p.add_argument("--device", default="npu")', id="default"
    ),
    pytest.param(
        'p.add_argument("-d", "--device", default="cuda", choices=["cuda", "cpu"], help="cuda or cpu")',
        'p.add_argument("-d", "--device", default="npu", choices=["npu", "cpu"], help="cuda or cpu")',
        id="choices",
    ),
    pytest.param(
        'p.add_argument("--device", choices=("cuda", "fast"))',
        'p.add_argument("--device", choices=("npu", "fast"))',
        id="choices-beside-another-word",
    ),
    pytest.param('p.set_defaults(device="cuda")', 'p.set_defaults(device="npu")', id="set-defaults"),
    pytest.param(
        'p.parse_args(["--device", "cuda"])', 'p.parse_args(["--device", "npu"])', id="command-line-of-a-test"
    ),
    pytest.param(
        'run([sys.executable, "t.py", "--device", "cuda:1"])',
        'run([sys.executable, "t.py", "--device", "npu:1"])',
        id="command-line-of-a-process",
    ),
    pytest.param(
        """
        @click.option("--device", default="cuda", type=click.Choice(["cuda", "cpu"]), help="cuda")
        def main(device): ...
        """,
        """
        @click.option("--device", default="npu", type=click.Choice(["npu", "cpu"]), help="cuda")
        def main(device): ...
        """,
        id="click",
    ),
    pytest.param('d: str = typer.Option("cuda", "--device")', 'd: str = typer.Option("npu", "--device")', id="typer"),
    pytest.param(
        """
        @pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
        def test(device): ...
        """,
        """
        @pytest.mark.parametrize("device", ["cpu", pytest.param("npu", marks=gpu)])
        def test(device): ...
        """,
        id="parametrize",
    ),
    pytest.param(
        'gr.Dropdown(choices=["cuda", "cpu"], value="cuda", label="cuda")',
        'gr.Dropdown(choices=["npu", "cpu"], value="npu", label="cuda")',
        id="user-interface",
    ),
]


@pytest.mark.parametrize(("before", "after"), OPTIONS)
def test_option(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize(
    "text",
    [
        # one token away from a keyword that takes a device
        pytest.param('load(prompt="cuda")', id="prompt-keyword"),
        pytest.param('load(negative_prompt="cuda")', id="negative-prompt-keyword"),
        pytest.param('load(name="cuda")', id="name-keyword"),
        pytest.param('load(device_label="cpu", label="cuda")', id="label-keyword"),
        pytest.param('load(file_name="cuda")', id="file-name-keyword"),
        pytest.param('load(help="cuda")', id="help-keyword"),
        pytest.param('load(version="cuda")', id="version-keyword"),
        pytest.param('wandb.init(project="cuda")', id="project-keyword"),
        pytest.param('load(device=b"cuda")', id="bytes"),
        pytest.param('load(device="cuda ")', id="space"),
        pytest.param('load(device="CUDA")', id="capitals"),
        pytest.param('load(device="cuda0")', id="digit"),
        pytest.param('load(device="cuda:a")', id="no-number"),
        pytest.param('load(device="xcuda")', id="part-of-a-word"),
        pytest.param('load(device="cu118")', id="cu118"),
        pytest.param('load(device="cuda_home")', id="cuda-home"),
        pytest.param('load(device="cuda toolkit")', id="two-words"),
        pytest.param('load(device="https://nvidia.com/cuda")', id="url"),
        pytest.param('load(device="/usr/local/cuda")', id="path"),
        pytest.param('load(device="cuda.pt")', id="file"),
        pytest.param("load(device=cuda)", id="variable"),
        pytest.param("load(cuda=device)", id="keyword-itself"),
        # one token away from a call that takes a device
        pytest.param('print("cuda")', id="print"),
        pytest.param('print("cuda" if gpu else "cpu")', id="print-conditional"),
        pytest.param('print(f"cuda:{rank}")', id="print-f-string"),
        pytest.param('print("cuda:" + str(i))', id="print-sum"),
        pytest.param('logger.info("cuda")', id="log"),
        pytest.param('warnings.warn("cuda")', id="warn"),
        pytest.param('raise ValueError("cuda")', id="error"),
        pytest.param('plt.legend(["cuda", "cpu"])', id="legend"),
        pytest.param('open("cuda")', id="open"),
        pytest.param('os.path.join("cuda", x)', id="path-join"),
        pytest.param('Path("cuda")', id="pathlib"),
        pytest.param('import_module("cuda")', id="import-by-name"),
        pytest.param('hasattr(x, "cuda")', id="hasattr"),
        pytest.param('getattr(torch.version, "cuda")', id="getattr-name"),
        pytest.param('getattr(torch.version, "cuda", None)', id="getattr-name-with-default"),
        pytest.param('shutil.which("cuda")', id="which"),
        pytest.param('text.split("cuda")', id="split"),
        pytest.param('text.replace("cuda", "gpu")', id="replace"),
        pytest.param('words.remove("cuda")', id="remove-from-words"),
        pytest.param('tokenizer("cuda")', id="tokenizer"),
        pytest.param('pipe("cuda")', id="prompt-by-position"),
        pytest.param('registry.register("cuda")', id="register"),
        pytest.param('c.get("cuda")', id="look-up"),
        pytest.param('c.get("name", "cuda")', id="look-up-of-a-name"),
        pytest.param('getattr(args, "name", "cuda")', id="getattr-of-a-name"),
        pytest.param('torch.load("cuda")', id="load-of-a-file"),
        pytest.param('torch.save(x, "cuda")', id="save-to-a-file"),
        pytest.param('Image.new("RGB", (8, 8)).save("cuda")', id="save-of-a-picture"),
        pytest.param('shutil.copytree("cuda", x)', id="copy-of-a-folder"),
        pytest.param('AutoModel.from_pretrained("cuda")', id="name-of-a-model"),
        pytest.param('self.register_buffer("cuda", x)', id="name-of-a-buffer"),
        pytest.param('self.add_module("cuda", x)', id="name-of-a-module"),
        pytest.param('table.writerow(["cuda"])', id="row-of-a-table"),
        # one token away from an assignment of a device
        pytest.param('prompt = "cuda"', id="prompt"),
        pytest.param('self.title = "cuda"', id="title"),
        pytest.param('name: str = "cuda"', id="annotated-name"),
        pytest.param('prompt, device = "cuda", "cpu"', id="pair"),
        pytest.param('device = "cpu"  # or "cuda"', id="comment"),
        pytest.param('# device = "cuda"', id="commented-out"),
        pytest.param('"cuda"', id="docstring-of-the-module"),
        pytest.param('def f():\n    "cuda"', id="docstring-of-a-function"),
        pytest.param('class C:\n    """cuda"""', id="docstring-of-a-class"),
        pytest.param('x = """\npipe.to("cuda")\n"""', id="code-in-a-text"),
        pytest.param('def name():\n    return "cuda"', id="return-of-a-name"),
        pytest.param('tags = ["cuda", "video"]', id="list-of-words"),
        pytest.param('prompt: str = Field("cuda")', id="field-of-text"),
        pytest.param('framework: str = field(default="cuda")', id="field-of-a-name"),
        pytest.param('caption = attr.ib(default="cuda")', id="attrs-of-text"),
        pytest.param('label: str = Field(default="cuda", description="cuda")', id="field-with-a-description"),
        pytest.param('device: str = Field(alias="cuda")', id="alias-of-a-field"),
        pytest.param('__all__ = ["cuda"]', id="names-of-a-module"),
        pytest.param('__slots__ = ("cuda",)', id="names-of-a-class"),
        pytest.param('x = ["cuda", "video"]', id="list-beside-another-word"),
        pytest.param('f(modes=["cuda", "fast"])', id="keyword-list-beside-another-word"),
        pytest.param('x = {"a": {"cuda", "text"}}', id="set-beside-another-word"),
        pytest.param('for attr in ["cuda", "hip"]: pass', id="loop-over-attributes"),
        pytest.param('text += "cuda"', id="text-extended"),
        pytest.param('lib = "cuda" + "rt"', id="sum-of-a-name"),
        pytest.param('lib = "lib" + "cuda"', id="end-of-a-sum"),
        pytest.param('x = "%s on %s" % (m, "cuda")', id="percent-argument"),
        pytest.param('x = "{} on {}".format(m, "cuda")', id="format-argument"),
        pytest.param('x = f"on cuda:{rank}"', id="f-string-of-text"),
        pytest.param('x = f"cuda:{rank} is used"', id="f-string-that-goes-on"),
        pytest.param("""x = f"on {'cuda' if gpu else 'cpu'}\"""", id="within-an-f-string-of-text"),
        pytest.param("""x = f"{'cuda' if gpu else 'cpu'} is used\"""", id="within-an-f-string-that-goes-on"),
        pytest.param('x = f"cuda_{rank}"', id="f-string-of-an-identifier"),
        pytest.param('assert x, "cuda"', id="assert-message"),
        pytest.param('device = "cpu" if "cuda" else "mps"', id="condition"),
        # one token away from an entry
        pytest.param('c = {"prompt": "cuda"}', id="prompt-entry"),
        pytest.param('c = {"name": "cuda", "device": "cpu"}', id="name-entry"),
        pytest.param('c = {"text": "cuda"}', id="text-entry"),
        pytest.param("c = {n: cuda for n in names}", id="variable-entry"),
        # one token away from an option
        pytest.param('p.add_argument("--name", default="cuda")', id="option-of-a-name"),
        pytest.param('p.add_argument("--device", help="cuda")', id="option-help"),
        pytest.param('p.add_argument("--device", metavar="cuda")', id="option-metavar"),
        pytest.param('p.add_argument("cuda")', id="option-itself"),
        pytest.param('p.add_argument("--cuda", action="store_true")', id="option-flag"),
        pytest.param('p.add_argument("--mode", choices=["cuda", "fast"])', id="option-choices-beside-another-word"),
        pytest.param('p.parse_args(["--prompt", "cuda"])', id="command-line-prompt"),
        pytest.param('run(["pip", "install", "cuda"])', id="command-line-word"),
    ],
)
def test_left_alone(text: str) -> None:
    check_noop(text)


def test_a_name_of_a_device_is_one_word_among_others_in_its_file() -> None:
    check_transformed(
        """
        # Runs on cuda; see https://developer.nvidia.com/cuda
        import torch

        prompt = "a cuda core, cuda"
        model = load("cuda.safetensors").to("cuda")  # to cuda
        print(f"cuda:{0} on cuda", "cuda")
        """,
        """
        # Runs on cuda; see https://developer.nvidia.com/cuda
        import torch

        prompt = "a cuda core, cuda"
        model = load("cuda.safetensors").to("npu")  # to cuda
        print(f"cuda:{0} on cuda", "cuda")
        """,
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param('f(\r\n    "cuda",\r\n)\r\n', 'f(\r\n    "npu",\r\n)\r\n', id="crlf"),
        pytest.param('f("cuda")\rg("cuda")\r', 'f("npu")\rg("npu")\r', id="lone-cr"),
        pytest.param('f("cuda")', 'f("npu")', id="no-final-newline"),
        pytest.param('\x0cf("cuda")\n', '\x0cf("npu")\n', id="form-feed"),
        pytest.param('画 = "é"; f("é", "cuda")\n', '画 = "é"; f("é", "npu")\n', id="beyond-ascii"),
        pytest.param('x = "\u2028"; f("cuda")\n', 'x = "\u2028"; f("npu")\n', id="line-separator-in-a-string"),
        pytest.param('if x:\n\tf( "cuda" ,)\n', 'if x:\n\tf( "npu" ,)\n', id="tabs-and-spaces"),
        pytest.param('f("cuda"); g("cuda")', 'f("npu"); g("npu")', id="one-line"),
        pytest.param('f("cuda", \\\n  "cuda:1")', 'f("npu", \\\n  "npu:1")', id="backslash"),
    ],
)
def test_every_other_byte_stays(before: str, after: str) -> None:
    check_transformed(before, after)


@pytest.mark.parametrize("text", ['f("\\x63uda", device="cuda")', 'f("cu" "da", device="cuda")'])
def test_a_device_that_is_not_written_as_such_is_for_a_person(text: str) -> None:
    errors = [finding for finding in ported(text).findings if finding.severity == "error"]
    assert ["does not begin with" in error.message for error in errors] == [True]


def test_a_target_with_one_device_has_no_second() -> None:
    check_transformed('f("cuda:0")', 'f("mps:0")', "mps")
    finding = check_reported('f("cuda:1")', "DP101", "error", "mps")
    assert finding.way_out == 'use "mps"'


@pytest.mark.parametrize("arguments", ['"cuda", 1', '"cuda", index=1', 'type="cuda", index=1', '"cuda:1"'])
def test_nor_has_it_one_by_a_number_of_its_own(arguments: str) -> None:
    check_reported(f"d = torch.device({arguments})", "DP101", "error", "mps")
    check_transformed(f"d = torch.device({arguments})", f"d = torch.device({arguments.replace('cuda', 'xpu')})", "xpu")


@pytest.mark.parametrize(
    "call", ['torch.device("{0}", 0)', 'torch.device("{0}", rank)', 'f("{0}", 1)', 'my.device("{0}", 1)']
)
def test_other_numbers_beside_a_device_are_none_of_one(call: str) -> None:
    check_transformed(call.format("cuda"), call.format("mps"), "mps")


@pytest.mark.parametrize(
    "text",
    [
        'choices = ["cpu", "cuda", "npu"]',
        'f(devices=("npu", "cuda"))',
        'p.add_argument("--device", choices={"cuda", "npu"})',
    ],
)
def test_a_list_that_holds_the_target_serves_both(text: str) -> None:
    assert "stands beside" in check_reported(text, "DP101", "note").message


def test_a_list_of_other_devices_does_not() -> None:
    check_transformed(
        'f(devices=("cuda", "cpu"), other="npu")', 'f(devices=("npu", "cpu"), other="npu")', one_way="both"
    )


@pytest.mark.parametrize("before", befores(ARGUMENTS, ENTRIES, ASSIGNMENTS, STRINGS, OPTIONS))
def test_left_alone_as_text_for_people(before: str) -> None:
    check_text_for_people(before)


@pytest.mark.parametrize(
    "text",
    [
        'print("%s:%d" % ("cuda", i))',
        'x = "%s-%d" % ("cuda", i)',
        'x = "{}/{}".format("cuda", i)',
        'devices = "cuda:0,disk:1"',
        'devices = "cuda;cuda:1"',
        'prompt = "cuda:0,cuda:1"',
        'prompt: str = Field("cuda")',
        'framework: str = field(default="cuda")',
    ],
)
def test_what_is_put_together_into_something_else(text: str) -> None:
    check_noop(text)


def test_several_on_a_target_with_one_device() -> None:
    check_reported('f(devices="cuda:0,cuda:1")', "DP101", "error", "mps")
    check_reported('torch.device("cuda", 1)', "DP101", "error", "mps")
