"""A video and a picture, each shared by two processes: the quick one of the checks that other files do at length."""

from tests.diffsynth.pipelines.parallel_checks import degrees, shared
from tests.diffsynth.pipelines.shared_generation import QWEN, WAN21


def test_two_processes(models_folder, qwen_folder, tmp_path):
    cases = {
        "1,2 wan": {"model": WAN21, "folder": str(models_folder), "degrees": degrees(1, 2, 1)},
        "2,1 qwen": {
            "model": QWEN,
            "folder": str(qwen_folder),
            "degrees": degrees(2, 1, 1),
            "made_up_texts": True,
        },
    }
    shared("cpu", 2, cases, tmp_path)
