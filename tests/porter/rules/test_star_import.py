"""DP213: a module that `from torch import *` does not bring."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP213"


def test_a_module_from_no_other_import() -> None:
    check_reported("from torch import *\ncuda.empty_cache()", CODE, "error", 2)


@pytest.mark.parametrize(
    "text",
    [
        "from torch import *\nfrom torch import cuda\ncuda.empty_cache()",
        "from torch import *\nfrom numba import cuda\ncuda.jit()",
        "from torch.nn import *\ncuda.empty_cache()",
        "from torch import *\ncuda = Backend()\ncuda.empty_cache()",
        "from torch import *\ndef f(cuda):\n    cuda.empty_cache()",
        "from torch import *\nx.cuda.empty_cache()",
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)
