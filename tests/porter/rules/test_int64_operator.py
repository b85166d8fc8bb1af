"""DP310: an operator that runs on the AI CPU for int64."""

from __future__ import annotations

import pytest

from tests.porter.rules.cases import check_reported, check_silent

CODE = "DP310"


@pytest.mark.parametrize(
    "text",
    [
        "mask.long().cumsum(-1)",
        "mask.to(torch.int64).cumsum(dim=0)",
        "torch.cumsum(mask.long(), 0)",
        "torch.cumsum(mask, 0, dtype=torch.int64)",
        "mask.cumsum(0, dtype=torch.long)",
        "ids.long().argsort()",
    ],
)
def test_reported_where_the_expression_says_int64(text: str) -> None:
    check_reported(text, CODE, "note")


@pytest.mark.parametrize(
    "text",
    [
        "mask.cumsum(-1)",
        "mask.int().cumsum(-1)",
        "mask.to(torch.int32).cumsum(0)",
        "torch.cumsum(mask, 0, dtype=torch.float32)",
        "names.sort()",
        "frame.long().mean()",
        "table.long(2).cumsum(0)",
    ],
)
def test_left_alone(text: str) -> None:
    check_silent(text, CODE)
