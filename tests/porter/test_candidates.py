"""Which texts call for a rule by their words alone, and which never get as far as a parser."""

from __future__ import annotations

import pytest

from porter.candidates import called_for
from porter.rules import languages, rules_for
from porter.targets import translation


def is_called_for(text: str, code: str) -> bool:
    return bool(called_for(text, translation("npu"), frozenset({code})).checks)


@pytest.mark.parametrize(
    "text",
    [
        "torch.accelerator.get_device_name()",
        "torch \\\n    .accelerator.get_device_name()",
        "torch. accelerator.get_device_name()",
        "import torch.accelerator",
        "import torch.accelerator as torch_accelerator",
        "from torch import accelerator",
        "from torch import accelerator as device",
        "from torch import nn, accelerator",
        "from torch import nn, \\\n    accelerator\n",
        "from torch import \\\naccelerator",
        "from torch import (\n    accelerator,\n)",
        "from torch import (\n    nn,  # layers\n    accelerator\n)",
        "from torch import (nn,\r\naccelerator)",
        "from torch import nn,  accelerator; accelerator.seed()",
        "from torch import nn,  accelerator # seeds",
        "from torch import nn,  accelerator as seeds",
        "from torch.accelerator import get_device_name",
        "from torch.accelerator.graphs import Graph",
        "self.accelerator.get_device_name()",
    ],
)
def test_accelerator_calls_for_a_parser_where_it_may_be_the_module(text):
    assert is_called_for(text, "DP201")


@pytest.mark.parametrize(
    "text",
    [
        "accelerator = Accelerator()",
        "def main():\n    accelerator = Accelerator()\n    accelerator.seed()",
        "model = accelerator.prepare(model)",
        "return accelerator, model",
        "if not accelerator.is_main_process:\n    return",
        "from accelerate import Accelerator",
        "my_accelerator.seed()",
        "torch.accelerators",
    ],
)
def test_accelerator_calls_for_none_where_it_is_an_object(text):
    assert not is_called_for(text, "DP201")


def test_memory_calls_for_a_parser_beside_out_only():
    assert is_called_for('if "CUDA out of memory" in str(error): pass', "DP308")
    assert not is_called_for('"""Keep the network in host memory."""', "DP308")


def test_a_text_without_a_word_of_the_rules_calls_for_nothing():
    assert called_for("import json\nprint(json.dumps({}))", translation("npu"), None) == ({}, frozenset())


@pytest.mark.parametrize("language", languages())
def test_a_rule_is_found_where_those_of_its_language_are(language):
    assert {rule.language for rule in rules_for(language)} == {language}
