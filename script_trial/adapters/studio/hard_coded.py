"""Numbers that a constructor has in its own code rather than as arguments, replaced by smaller ones.

    self.blocks = ModuleList([FluxJointTransformerBlock(3072, 24) for _ in range(num_blocks)])

is run as it stands with 256 for 3072 and 2 for 24: the function is compiled once more from its source, and nothing
else about it changes, neither its file nor its lines. A word stands for the number under that key of a dict.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any, cast

Numbers = Mapping[int | str, int]

_VAE_WIDTHS: Numbers = {128: 32, 256: 64, 512: 64}  # multiples of the 32 groups of its norms

# By network: the functions that build it, in the network's module, and what to replace in each.
HARD_CODED: dict[str, dict[str, Numbers]] = {
    "diffsynth.models.flux_dit.FluxDiT": {"FluxDiT.__init__": {3072: 256, 24: 2, 38: 2}},
    "diffsynth.models.flux_vae.FluxVAEEncoder": {"FluxVAEEncoder.__init__": _VAE_WIDTHS},
    "diffsynth.models.flux_vae.FluxVAEDecoder": {"FluxVAEDecoder.__init__": _VAE_WIDTHS},
    # 3584 is the width of the text encoder, which `transformers_configs` makes 256.
    "diffsynth.models.qwen_image_dit.QwenImageDiT": {"QwenImageDiT.__init__": {3072: 256, 24: 2, 3584: 256}},
    "diffsynth.models.wan_video_vae.WanVideoVAE": {"VideoVAE_.__init__": {96: 8}},
    "diffsynth.models.wan_video_vae.WanVideoVAE38": {
        "WanVideoVAE38.__init__": {160: 8},
        "VideoVAE38_.__init__": {160: 8, 256: 8},
    },
    "diffsynth.models.wan_video_image_encoder.WanImageEncoder": {
        "clip_xlm_roberta_vit_h_14": {
            32: 2,  # layers of both towers
            24: 2,
            4: 1,  # the ratio of the MLP to the width
            250002: 1024,  # vocabulary and width of the text tower, which is not used
            1024: 64,
        },
    },
    "diffsynth.models.ltx2_video_vae.LTX2VideoEncoder": {
        "LTX2VideoEncoder.__init__": {"multiplier": 1, "num_layers": 1}
    },
    "diffsynth.models.ltx2_video_vae.LTX2VideoDecoder": {"LTX2VideoDecoder.__init__": {"num_layers": 1}},
    # 3840 is the width of the text encoder, and 49 its layers and its embedding; the heads are of 128.
    "diffsynth.models.ltx2_text_encoder.LTX2TextEncoderPostModules": {
        "GemmaFeaturesExtractorProjLinear.__init__": {3840: 256, 49: 3},
        "Embeddings1DConnector.__init__": {30: 2},
    },
}


@functools.cache
def make_small(model_class: str) -> None:
    """From now on the network of this dotted name is built with smaller numbers. One with no entry stays as it is."""
    for name, numbers in HARD_CODED.get(model_class, {}).items():
        function = _function(model_class.rpartition(".")[0], name)
        function.__code__ = _with_numbers(function, numbers)
        function.__defaults__ = tuple(_replaced(value, numbers) for value in function.__defaults__ or ())


def _function(module: str, name: str) -> FunctionType:
    found: FunctionType = functools.reduce(getattr, name.split("."), cast("Any", import_module(module)))
    return found


def _replaced(value: object, numbers: Numbers) -> object:
    return numbers.get(value, value) if type(value) is int else value


class _Numbers(ast.NodeTransformer):
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        for place, (key, value) in enumerate(zip(node.keys, node.values, strict=True)):
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and key.value in self._numbers:
                node.values[place] = ast.copy_location(ast.Constant(self._numbers[key.value]), value)
            else:
                self.visit(value)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.copy_location(ast.Constant(_replaced(node.value, self._numbers)), node)  # type: ignore[arg-type]


def _with_numbers(function: FunctionType, numbers: Numbers) -> CodeType:
    """The code of the function, compiled with other numbers."""
    source = textwrap.dedent(inspect.getsource(function))
    inside = f"class _:\n{textwrap.indent(source, ' ')}"  # where super() means the same
    tree = ast.increment_lineno(ast.parse(inside), function.__code__.co_firstlineno - 2)
    compiled = compile(_Numbers(numbers).visit(tree), function.__code__.co_filename, "exec")
    code = _named(compiled, function.__name__)
    names = {name: getattr(function.__code__, name) for name in ("co_qualname",) if hasattr(code, name)}  # not in 3.10
    return code.replace(**names)


def _named(code: CodeType, name: str) -> CodeType:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return next((one for one in inner if one.co_name == name), None) or _named(inner[0], name)
