"""DP502: attention that is written out, and what is none."""

from __future__ import annotations

import pytest

from tests.porter.analysis.cases import body, check_fused, check_left_alone, check_only_reported

CODE = "DP502"
PARAMETERS = "q, k, v, mask, drop, s: float"


@pytest.mark.parametrize(
    ("lines", "arguments"),
    [
        ("return torch.softmax(q @ k.transpose(-2, -1), dim=-1) @ v", "scale=1.0"),
        ("a = torch.bmm(q, k.transpose(1, 2)) * s\nreturn torch.bmm(a.softmax(-1), v)", "scale=s"),
        ("a = q @ k.mT\na = a / math.sqrt(64)\nreturn F.softmax(a, dim=-1) @ v", "scale=1 / (math.sqrt(64))"),
        ("a = q @ k.transpose(2, 3) * 0.5 + mask\na = a.softmax(dim=-1)\nreturn a @ v", "attn_mask=mask, scale=0.5"),
        ("q = q * s\na = q @ k.permute(0, 1, 3, 2)\nreturn a.softmax(-1) @ v", "scale=s"),
        (
            "a = q @ k.mT\na = a * s\nif mask is not None:\n    a = a + mask\nreturn a.softmax(-1) @ v",
            "attn_mask=mask, scale=s",
        ),
        ("a = q @ k.mT\na *= s\na += mask\nreturn F.softmax(a, -1) @ v", "attn_mask=mask, scale=s"),
        (
            "a = (q @ k.mT * s).masked_fill(mask == 0, float('-inf'))\nreturn a.softmax(-1) @ v",
            "attn_mask=mask != 0, scale=s",
        ),
        ("a = (q @ k.mT).masked_fill(~mask, -math.inf)\nreturn a.softmax(-1) @ v", "attn_mask=mask, scale=1.0"),
        ("a = (q @ k.mT).masked_fill(mask, -torch.inf)\nreturn a.softmax(-1) @ v", "attn_mask=~mask, scale=1.0"),
        ("p = F.softmax(q @ k.mT, dim=-1, dtype=torch.float32).to(q.dtype)\nreturn p @ v", "scale=1.0"),
    ],
)
def test_it_is_fused_however_it_is_written(lines, arguments):
    after = body(f"return F.scaled_dot_product_attention(q, k, v, {arguments})", PARAMETERS)
    check_fused(body(lines, PARAMETERS), after, CODE)


@pytest.mark.parametrize(
    "lines",
    [
        "return torch.softmax(q @ k.transpose(-2, -1), dim=-2) @ v",  # another axis
        "return torch.softmax(q @ k, dim=-1) @ v",
        "return torch.softmax((q @ k.mT + mask) * s, dim=-1) @ v",  # the mask is scaled too
        "return drop(torch.softmax(q @ k.mT, dim=-1)) @ v",
        "a = F.dropout(torch.softmax(q @ k.mT, dim=-1), 0.1)\nreturn a @ v",
        "return torch.softmax(q @ k.mT * mask, dim=-1) @ v",  # a learned scale, as far as one can tell
        "return torch.softmax(q @ k.mT / drop, dim=-1) @ v",
        "return torch.softmax(torch.tanh(q @ k.mT), dim=-1) @ v",
        "return torch.softmax(q @ k.mT, dim=-1, dtype=torch.float32) @ v",  # stays in float32
        "a = torch.softmax(q @ k.mT, dim=-1)\nb = a @ v\nreturn F.scaled_dot_product_attention(q, k, v)",
        "return torch.sigmoid(q @ k.mT) @ v",
        "return torch.softmax(q.mT @ k, dim=-1) @ v",
        "return torch.softmax(q @ k.mT - mask, dim=-1) @ v",
    ],
)
def test_what_is_nearly_one_is_left_alone(lines):
    check_left_alone(body(lines, PARAMETERS), CODE)


def test_weights_that_are_used_elsewhere_are_not_taken_away():
    check_left_alone(body("a = torch.softmax(q @ k.mT, dim=-1)\nreturn a @ v, a", PARAMETERS), CODE)


def test_a_mask_by_a_finite_number_is_left_to_a_person():
    lines = "a = (q @ k.mT).masked_fill(mask == 0, -1e9)\nreturn a.softmax(-1) @ v"
    assert "masked whole" in check_only_reported(body(lines, PARAMETERS), CODE).way_out
