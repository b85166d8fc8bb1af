"""The launch scripts: their flags, configs and data sets are those that there are, and what they make is looked at."""

import re
import shlex
from types import SimpleNamespace

import pytest
import yaml

from diffsynth.core.loader.detection import load_object
from diffsynth.diffusion.training.arguments import check_arguments
from diffsynth.diffusion.training.run_task import family_parser
from tests.diffsynth.diffusion.training.driver import EXAMPLES, QWEN, WAN, path_of, script


@pytest.fixture(scope="module", params=[WAN, QWEN, "z_image"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def record(family):
    return script(family).FAMILY


@pytest.fixture(scope="module")
def launches(family, record):
    """Of each script by its path, the arguments of the launches, in their order."""
    parser = family_parser(record, "")
    found = {}
    for path in sorted((EXAMPLES / family / "model_training").rglob("*.sh")):
        lines = path.read_text().replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines]
        found[path] = [
            (line, parser.parse_args(line[line.index(name(path_of(family))) + 1 :]))
            for line in words
            if line[:2] == ["accelerate", "launch"]
        ]
    return found


def name(path):
    """As a command line in the root of the project has it."""
    return f"examples/{path.relative_to(EXAMPLES)}"


def test_there_is_a_launch_in_each(launches):
    assert len(launches) >= 10
    assert all(launches.values())


def test_the_flags_are_good(launches):
    for line, args in (launch for several in launches.values() for launch in several):
        check_arguments(args)
        if args.lora_base_model and "to_add_out" in args.lora_target_modules:
            assert "--find_unused_parameters" in line


def test_the_configs_are_there(launches):
    for line, _ in (launch for several in launches.values() for launch in several):
        if "--config_file" in line:
            path = EXAMPLES.parent / line[line.index("--config_file") + 1]
            assert yaml.safe_load(path.read_text())["distributed_type"] == "DEEPSPEED"


def test_the_data_set_is_the_one_that_is_made(record, launches, data_folder, picture_folder):
    made = picture_folder if record.makes == "image" else data_folder
    model = load_object(record.training)
    for script_path, several in launches.items():
        written = set()
        for _, args in several:
            if args.task.endswith(":train"):
                assert args.dataset_base_path in written, script_path
                continue
            written.add(args.output_path)
            args.dataset_metadata_path = made / args.dataset_metadata_path.name
            args.dataset_base_path = made
            reader = object.__new__(model)
            reader.args, reader.pipe = args, SimpleNamespace(pixels=8)
            assert len(reader.media()) == 5 * args.dataset_repeat
            assert reader.media()[0]["prompt"]


def test_what_is_validated_is_what_is_trained(family, launches):
    trained = {
        f"{args.output_path}/epoch-{args.num_epochs - 1}.safetensors"
        for several in launches.values()
        for _, args in several
    }
    scripts = list((EXAMPLES / family / "model_training").glob("validate_*/*.py"))
    assert len(scripts) >= 4
    for path in scripts:
        looked_at = set(re.findall(r'"(models/train/[^"]+)"', path.read_text()))
        assert looked_at, path
        assert looked_at <= trained, path
