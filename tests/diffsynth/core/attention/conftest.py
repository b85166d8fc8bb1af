"""Every test chooses anew. Kernels that cannot run on a CPU have stand-ins with the signatures they are known by."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest

# The package has the function under the same name.
choice = importlib.import_module("diffsynth.core.attention.attention")

COMPUTED = """
    from torch.nn.functional import scaled_dot_product_attention
    def computed(q, k, v, scale):
        return scaled_dot_product_attention(*(one.transpose(1, 2) for one in (q, k, v)), scale=scale).transpose(1, 2)
"""
FILES = {
    "flash_attn_interface.py": """
        def flash_attn_func(q, k, v, softmax_scale=None, causal=False):
            return computed(q, k, v, softmax_scale)
    """,
    "flash_attn/__init__.py": """
        def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False):
            return computed(q, k, v, softmax_scale)
    """,
    "flash_attn/cute.py": """
        def flash_attn_func(q, k, v, softmax_scale=None, causal=False):
            return computed(q, k, v, softmax_scale), None
    """,
    "sageattention.py": """
        def sageattn(q, k, v, tensor_layout="HND", is_causal=False, sm_scale=None, return_lse=False):
            assert tensor_layout == "NHD"
            return computed(q, k, v, sm_scale)
    """,
    "xformers/__init__.py": "",
    "xformers/ops.py": """
        def memory_efficient_attention(query, key, value, attn_bias=None, p=0.0, scale=None):
            return computed(query, key, value, scale)
    """,
    "kernels.py": """
        from types import SimpleNamespace
        def get_kernel(repo_id, revision=None, version=None):
            assert (repo_id, version) == ("someone/flash-attn", 2)
            return SimpleNamespace(flash_attn_func=lambda q, k, v, softmax_scale=None: computed(q, k, v, softmax_scale))
    """,
}
PACKAGES = {
    "flash_attention_2": ["flash_attn/__init__.py"],
    "flash_attention_3": ["flash_attn_interface.py"],
    "flash_attention_4": ["flash_attn/__init__.py", "flash_attn/cute.py"],
    "sage_attention": ["sageattention.py"],
    "xformers": ["xformers/__init__.py", "xformers/ops.py"],
    "customized_fa_kernel": ["kernels.py"],
}


@pytest.fixture(autouse=True)
def fresh_choice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    loaded = dict(choice.KERNELS)
    choice.KERNELS.clear()
    choice._choose.cache_clear()
    yield
    choice._choose.cache_clear()
    choice.KERNELS.clear()
    choice.KERNELS.update(loaded)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Callable[..., None]]:
    """``install(*implementations)``: stand-ins of exactly these, whatever the machine has."""
    before = set(sys.modules)
    roots = {path.partition("/")[0].removesuffix(".py") for path in FILES}
    for name in [name for name in sys.modules if name.partition(".")[0] in roots]:
        monkeypatch.delitem(sys.modules, name)

    def install_them(*implementations: str) -> None:
        installed = {path for name in implementations for path in PACKAGES[name]}
        for path in installed:
            file = tmp_path / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(COMPUTED) + textwrap.dedent(FILES[path]))
        for root in roots - {path.partition("/")[0].removesuffix(".py") for path in installed}:
            monkeypatch.setitem(sys.modules, root, None)  # as if not installed
        importlib.invalidate_caches()

    monkeypatch.syspath_prepend(tmp_path)
    yield install_them
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in roots:
            del sys.modules[name]
