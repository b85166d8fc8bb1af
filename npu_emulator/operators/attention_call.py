"""One call of attention for training: its arguments checked, cut into sequences, and run in either direction."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from npu_emulator.operators import attention_core as core
from npu_emulator.operators import dropout
from npu_emulator.operators.attention_masks import Masking, check, keep_of
from npu_emulator.operators.limits import (
    FLOATS,
    MASKS,
    dimensions,
    limit,
    newest_line,
    one_of,
    require,
    same_type,
    types,
)

LAYOUTS = ("BSH", "SBH", "BSND", "BNSD", "TND")
EVERYTHING = 2147483647
# The last rows that a compressed ALiBi bias holds.
ALIBI_ROWS = 1024
Parts = tuple[Tensor, Tensor, Tensor, Tensor, int, int, int]
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def to_heads(tensor: Tensor, layout: str, heads: int) -> Tensor:
    """[B, N, S, D] of any layout but TND; a view."""
    if layout == "SBH":
        tensor = tensor.transpose(0, 1)
    if layout in ("SBH", "BSH"):
        tensor = torch.unflatten(tensor, -1, (heads, -1))
    return tensor if layout == "BNSD" else tensor.transpose(1, 2)


def from_heads(tensor: Tensor, layout: str) -> Tensor:
    """[B, N, S, D] in the layout."""
    if layout == "BNSD":
        return tensor
    tensor = tensor.transpose(1, 2)
    if layout in ("SBH", "BSH"):
        tensor = tensor.flatten(2)
    return (tensor.transpose(0, 1) if layout == "SBH" else tensor).contiguous()


def bounds(cumulated: Sequence[int]) -> list[tuple[int, int]]:
    """First and last token of each sequence, from the sums of their lengths; zeros at the end are left out."""
    ends = list(cumulated)
    while len(ends) > 1 and ends[-1] == 0:
        ends.pop()
    return list(zip([0, *ends[:-1]], ends, strict=True))


@dataclass
class Call:
    """One call, in words that both directions understand."""

    operator: str
    query: Tensor
    key: Tensor
    value: Tensor
    head_num: int
    layout: str
    pse: Tensor | None = None
    padding_mask: Tensor | None = None
    atten_mask: Tensor | None = None
    query_rope: Tensor | None = None
    key_rope: Tensor | None = None
    scale: float = 1.0
    keep_prob: float = 1.0
    pre: int = EVERYTHING
    next: int = EVERYTHING
    prefix: Sequence[int] | None = None
    q_lengths: Sequence[int] | None = None
    kv_lengths: Sequence[int] | None = None
    sparse_mode: int = 0
    pse_type: int = 1
    q_start: Sequence[int] | None = None
    kv_start: Sequence[int] | None = None
    softmax_layout: str = ""
    sink: Tensor | None = None
    dropout_bits: Tensor | None = None
    segments: list[core.Segment] = field(default_factory=list)
    biases: list[_Bias] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layout = self.layout.upper()
        _check_layout(self)
        self.masking = Masking(self.operator, self.sparse_mode, self.atten_mask, self.pre, self.next, self.prefix)
        _check(self)

    @property
    def packed(self) -> bool:
        """Sequences of differing lengths lie behind each other."""
        return self.layout == "TND"

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        if self.packed:
            return self.key.shape[1]
        if self.layout in ("BSH", "SBH"):
            return self.key.shape[-1] // (self.query.shape[-1] // self.head_num)
        return self.key.shape[2 if self.layout == "BSND" else 1]

    def split(self, tensor: Tensor, heads: int, lengths: Sequence[int] | None) -> list[Tensor]:
        """[heads, S, D] of each sequence, as views."""
        if self.packed:
            assert lengths is not None
            return [tensor[first:last].transpose(0, 1) for first, last in bounds(lengths)]
        return list(to_heads(tensor, self.layout, heads).unbind(0))

    def whole(self, parts: list[Tensor], like: Tensor) -> Tensor:
        """The results of all sequences in the layout; tokens of none are zero."""
        if self.packed:
            joined = torch.cat([part.transpose(0, 1) for part in parts])
            missing = like.shape[0] - joined.shape[0]
            return torch.cat((joined, joined.new_zeros(missing, *joined.shape[1:]))) if missing else joined
        return from_heads(torch.stack(parts), self.layout)

    @property
    def scores(self) -> int:
        """Number of scores of all sequences and heads, which is how many random bits dropout takes."""
        if self.packed:
            assert self.q_lengths is not None
            assert self.kv_lengths is not None
            pairs = zip(bounds(self.q_lengths), bounds(self.kv_lengths), strict=True)
            return self.head_num * sum((last - first) * (end - start) for (first, last), (start, end) in pairs)
        q, k = to_heads(self.query, self.layout, self.head_num), to_heads(self.key, self.layout, self.kv_heads)
        return q.shape[0] * self.head_num * q.shape[2] * k.shape[2]

    def build(self) -> None:
        """Fills in the segments."""
        queries = self.split(self.query, self.head_num, self.q_lengths)
        keys = self.split(self.key, self.kv_heads, self.kv_lengths)
        values = self.split(self.value, self.kv_heads, self.kv_lengths)
        if self.query_rope is not None and self.key_rope is not None:
            ropes = self.split(self.query_rope, self.head_num, self.q_lengths)
            key_ropes = self.split(self.key_rope, self.key_rope.shape[1], self.kv_lengths)
            queries = [torch.cat(parts, -1) for parts in zip(queries, ropes, strict=True)]
            keys = [torch.cat(parts, -1) for parts in zip(keys, key_ropes, strict=True)]
        start = 0
        for index, (q, k, v) in enumerate(zip(queries, keys, values, strict=True)):
            rows, columns = q.shape[1], k.shape[1]
            count = self.head_num * rows * columns
            keeps = None if self.dropout_bits is None else self.dropout_bits[start : start + count]
            self.biases.append(_Bias(self, index, rows, columns, start))
            self.segments.append(
                core.Segment(
                    q,
                    k,
                    v,
                    self.scale,
                    keep_of(self.masking, index, len(queries), rows, columns),
                    self.biases[-1].read,
                    self.pse_type == 1,
                    self.sink,
                    None if keeps is None else keeps.view(self.head_num, rows, columns),
                    self.keep_prob,
                )
            )
            start += count

    def statistics(self, parts: list[Tensor]) -> Tensor:
        """Row statistics [heads, S] of each sequence, each eight times: [B, N, S, 8], or [T, N, 8].

        By default the rows of a packed sequence lie head by head within that shape, by ``softmax_layout="TND"`` token
        by token.
        """
        if not self.packed:
            return torch.stack(parts)[..., None].expand(-1, -1, -1, 8).float().contiguous()
        by_token = self.softmax_layout == "TND"
        rows = torch.cat([(part.t() if by_token else part).reshape(-1) for part in parts])
        filled = rows.new_zeros(self.query.shape[0] * self.head_num)
        filled[: rows.numel()] = rows
        return filled.view(-1, self.head_num, 1).expand(-1, -1, 8).float().contiguous()

    def statistics_of(self, tensor: Tensor) -> list[Tensor]:
        """The reverse of :meth:`statistics`."""
        if not self.packed:
            return list(tensor[..., 0].unbind(0))
        flat, start, parts = tensor[..., 0].reshape(-1), 0, []
        for segment in self.segments:
            heads, rows = segment.q.shape[:2]
            part = flat[start : start + heads * rows]
            parts.append(part.view(rows, heads).t() if self.softmax_layout == "TND" else part.view(heads, rows))
            start += heads * rows
        return parts


def _check_layout(call: Call) -> None:
    one_of(call.operator, "input_layout", call.layout, LAYOUTS)
    wanted = 4 if call.layout in ("BSND", "BNSD") else 3
    for name in ("query", "key", "value"):
        tensor = getattr(call, name)
        require(tensor.dim() == wanted, call.operator, name, f"{tensor.dim()}-dimensional", f"{call.layout} ({wanted})")
    if call.layout in ("BSH", "SBH"):
        fits = call.head_num > 0 and call.query.shape[-1] % call.head_num == 0
        require(fits, call.operator, "head_num", call.head_num, f"a divisor of {call.query.shape[-1]}")
    else:
        axis = 1 if call.layout in ("BNSD", "TND") else 2
        heads = call.query.shape[axis]
        require(call.head_num == heads, call.operator, "head_num", call.head_num, f"{heads}, as query has")


def _check(call: Call) -> None:
    operator = call.operator
    types(operator, FLOATS, query=call.query, key=call.key, value=call.value)
    same_type(operator, query=call.query, key=call.key, value=call.value)
    require(call.padding_mask is None, operator, "padding_mask", "given", "None: it is reserved")
    limit(0 < call.keep_prob <= 1, operator, "keep_prob", call.keep_prob, "above 0, at most 1")
    _check_heads(call)
    if call.packed:
        _check_packed(call)
    check(call.masking, (0, 1, 2, 3, 4, 6, 7, 8) if call.packed else (0, 1, 2, 3, 4, 5, 6))
    if call.atten_mask is None and (call.sparse_mode or (call.pre, call.next) != (EVERYTHING, EVERYTHING)):
        warnings.warn(
            f"{operator}: without atten_mask the hardware ignores sparse_mode={call.sparse_mode}, and pre and next "
            f"tokens {call.pre, call.next}, and computes all pairs",
            UserWarning,
            stacklevel=2,
        )
    _check_mask(call)
    _check_pse(call)
    if call.sink is not None:
        types(operator, (torch.float32,), sink=call.sink)
        require(list(call.sink.shape) == [call.head_num], operator, "sink", list(call.sink.shape), [call.head_num])
    one_of(operator, "softmax_layout", call.softmax_layout, ("", "TND"))
    if call.softmax_layout:
        limit(call.packed, operator, "softmax_layout", repr(call.softmax_layout), "'' unless input_layout is TND")
    if call.query_rope is not None or call.key_rope is not None:
        _check_rope(call)


def _check_heads(call: Call) -> None:
    operator = call.operator
    kv_heads = call.kv_heads
    fits = kv_heads > 0 and call.head_num % kv_heads == 0
    require(fits, operator, "the heads of key", kv_heads, f"a divisor of head_num, {call.head_num}")
    limit(1 <= call.head_num <= 256, operator, "head_num", call.head_num, "1 to 256")
    flat = call.layout in ("BSH", "SBH")
    width = call.query.shape[-1] // (call.head_num if flat else 1)
    value_width = call.value.shape[-1] // (kv_heads if flat else 1)
    key_width = call.key.shape[-1] // (kv_heads if flat else 1)
    require(width == key_width, operator, "the head size of key", key_width, f"{width}, as query has")
    limit(width <= 768, operator, "the head size", width, "at most 768")
    lengths_agree = call.key.shape[:-1] == call.value.shape[:-1]
    require(lengths_agree, operator, "value", list(call.value.shape), f"the shape of key, {list(call.key.shape)}")
    same = value_width == key_width or (newest_line() and value_width < key_width)
    limit(same, operator, "the head size of value", value_width, f"{key_width}, as key has")
    if not call.packed:
        axis = 1 if call.layout == "SBH" else 0
        batches = call.query.shape[axis], call.key.shape[axis]
        require(batches[0] == batches[1], operator, "the batch of key", batches[1], f"{batches[0]}, as query has")
        if call.prefix is not None:
            limit(batches[0] <= 32, operator, "the batch", batches[0], "at most 32 with prefix")
            require(len(call.prefix) == batches[0], operator, "prefix", list(call.prefix), f"{batches[0]} numbers")


def _check_packed(call: Call) -> None:
    operator = call.operator
    lengths = []
    for name, given, tensor in (
        ("actual_seq_qlen", call.q_lengths, call.query),
        ("actual_seq_kvlen", call.kv_lengths, call.key),
    ):
        if given is None or not len(given):
            require(False, operator, name, given, "the sums of the lengths, for input_layout TND")
        assert given is not None
        ranges = bounds(given)
        rising = all(first <= last for first, last in ranges)
        require(
            rising and ranges[-1][1] <= tensor.shape[0], operator, name, list(given), f"rising to {tensor.shape[0]}"
        )
        lengths.append(len(ranges))
        limit(len(given) <= 2048, operator, name, f"{len(given)} long", "at most 2048 sequences")
        if call.pse is not None:
            limit(all(first < last for first, last in ranges), operator, name, list(given), "no empty one with pse")
    require(lengths[0] == lengths[1], operator, "actual_seq_kvlen", f"{lengths[1]} long", f"{lengths[0]} sequences")


def _check_mask(call: Call) -> None:
    mask = call.atten_mask
    if mask is None:
        return
    operator = call.operator
    types(operator, MASKS, atten_mask=mask)
    if call.packed:
        limit(mask.dim() == 2, operator, "atten_mask", list(mask.shape), "[most queries, most keys] for TND")
        return
    if call.sparse_mode not in (0, 1, 5):
        return
    q, k = to_heads(call.query, call.layout, call.head_num), to_heads(call.key, call.layout, call.kv_heads)
    batch, heads, rows, columns = q.shape[0], call.head_num, q.shape[2], k.shape[2]
    shapes = [[batch, heads, rows, columns], [batch, 1, rows, columns], [1, 1, rows, columns], [rows, columns]]
    shapes = shapes[:2] if call.sparse_mode == 5 else shapes
    limit(list(mask.shape) in shapes, operator, "atten_mask", list(mask.shape), " or ".join(map(str, shapes)))


def _check_pse(call: Call) -> None:
    one_of(call.operator, "pse_type", call.pse_type, (0, 1, 2, 3))
    if call.pse is None:
        require(call.pse_type < 2, call.operator, "pse", None, f"the slopes, for pse_type {call.pse_type}")
        return
    limit(call.sparse_mode not in (7, 8), call.operator, "pse", "given", f"None for sparse_mode {call.sparse_mode}")
    if call.pse_type >= 2:
        types(call.operator, (torch.float32,), pse=call.pse)
        dimensions(call.operator, 1, 2, pse=call.pse)
        return
    types(call.operator, FLOATS, pse=call.pse)
    same_type(call.operator, query=call.query, pse=call.pse)
    wanted = (1, 4) if call.packed else (4,)
    require(call.pse.dim() in wanted, call.operator, "pse", list(call.pse.shape), " or ".join(f"{n}-d" for n in wanted))


def _check_rope(call: Call) -> None:
    operator = call.operator
    both = call.query_rope is not None and call.key_rope is not None
    require(both, operator, "query_rope and key_rope", "one", "both or neither")
    assert call.query_rope is not None
    limit(call.packed, operator, "query_rope", f"given with {call.layout}", "input_layout TND")
    limit(call.atten_mask is not None, operator, "atten_mask", None, "a mask, with query_rope")
    limit(call.pse is None and call.keep_prob == 1, operator, "pse or dropout", "given", "neither with query_rope")
    types(operator, FLOATS if newest_line() else (torch.bfloat16,), query_rope=call.query_rope, key_rope=call.key_rope)
    width = call.query_rope.shape[-1]
    limit(width % 8 == 0, operator, "the head size of query_rope", width, "a multiple of 8")


class _Bias:
    """The position bias of one segment: where in ``pse`` it lies, to read it and to add its gradient."""

    def __init__(self, call: Call, index: int, rows: int, columns: int, start: int) -> None:
        self.call, self.index, self.rows, self.columns, self.start = call, index, rows, columns, start

    def read(self, first: int, last: int) -> Tensor | None:
        """What is added to the scores of these rows."""
        if self.call.pse is None:
            return None
        if self.call.pse_type >= 2:
            return self._slopes(self.call.pse, first, last)
        return self._base(self.call.pse)[self._where(first, last)]

    def add_gradient(self, to: Tensor, first: int, last: int, grad: Tensor) -> None:
        """Adds the gradient of what :meth:`read` gave to that of ``pse``."""
        base, where = self._base(to), self._where(first, last)
        base.index_put_(where, grad.to(to.dtype).sum_to_size(base[where].shape), accumulate=True)

    def _base(self, pse: Tensor) -> Tensor:
        """[heads, rows, columns] of this segment, as a view."""
        if pse.dim() == 1:
            shape = self.call.head_num, self.rows, self.columns
            return pse[self.start : self.start + math.prod(shape)].view(shape)
        return pse[self.index if pse.shape[0] > 1 else 0]

    def _where(self, first: int, last: int) -> tuple[Tensor, Tensor, Tensor]:
        assert self.call.pse is not None
        device, held = self.call.pse.device, self._base(self.call.pse).shape[1]
        head = torch.arange(self.call.head_num, device=device)[:, None, None]
        row = torch.arange(first, last, device=device)[:, None]
        column = torch.arange(self.columns, device=device)[None]
        if held == 1:
            row = row[:1] * 0
        elif held == ALIBI_ROWS < self.rows:
            # The bias depends on the distance alone: a row is moved down in whole blocks to one that is held.
            down = (self.rows - 1 - row) // ALIBI_ROWS * ALIBI_ROWS
            row, column = row + down - (self.rows - ALIBI_ROWS), (column + down).clamp(max=self.columns - 1)
        return head, row, column

    def _slopes(self, pse: Tensor, first: int, last: int) -> Tensor:
        slopes = pse[self.index if pse.shape[0] > 1 else 0] if pse.dim() == 2 else pse
        row = torch.arange(first, last, device=pse.device)[:, None] + _start(self.call.q_start)
        column = torch.arange(self.columns, device=pse.device) + _start(self.call.kv_start)
        distance = (row - column).abs().float()
        return -slopes[:, None, None] * (distance.sqrt() if self.call.pse_type == 3 else distance)


def _start(indices: Sequence[int] | None) -> int:
    return indices[0] if indices else 0


def _dropout_bits(call: Call, mask: Tensor | None, seed: int, offset: int) -> tuple[Tensor | None, int, int]:
    """One element a score, with the seed and offset it can be made from again."""
    if call.keep_prob >= 1:
        return None, 0, 0
    if mask is not None:
        types(call.operator, (torch.uint8,), dropout_mask=mask)
        return dropout.unpack(mask, call.scores), seed, offset
    seed = seed or dropout.draw_seed()
    return dropout.unpack(dropout.generate(call.scores, call.keep_prob, seed, offset), call.scores), seed, offset


def run(call: Call, mask: Tensor | None = None, seed: int = 0, offset: int = 0) -> Parts:
    """Result, row maxima and sums, an empty tensor, and seed, offset and size of the dropout mask."""
    if call.query.device.type == "meta":
        return _shapes(call)
    call.dropout_bits, seed, offset = _dropout_bits(call, mask, seed, offset)
    call.build()
    results, tops, totals = zip(*(core.forward(segment) for segment in call.segments), strict=True)
    result = call.whole(list(results), call.query).to(call.query.dtype)
    empty = call.query.new_empty(0)
    return result, call.statistics(list(tops)), call.statistics(list(totals)), empty, seed, offset, call.scores


def _shapes(call: Call) -> Parts:
    size = list(call.query.shape)
    if call.layout in ("BSH", "SBH"):
        size[-1] = call.value.shape[-1] // call.kv_heads * call.head_num
    else:
        size[-1] = call.value.shape[-1]
    if call.packed:
        rows = [call.query.shape[0], call.head_num, 8]
    else:
        heads = to_heads(call.query, call.layout, call.head_num)
        rows = [*heads.shape[:3], 8]
    top, total = (call.query.new_empty(rows, dtype=torch.float32) for _ in range(2))
    return call.query.new_empty(size), top, total, call.query.new_empty(0), 0, 0, call.scores


def gradients(
    call: Call,
    grad: Tensor,
    softmax_max: Tensor | None,
    softmax_sum: Tensor | None,
    attention_in: Tensor | None,
    seed: int,
    offset: int,
) -> Gradients:
    """Of query, key, value, pse, query_rope, key_rope and sink; empty where there is none."""
    if call.query.device.type == "meta":
        return _gradient_shapes(call)
    call.dropout_bits, *_ = _dropout_bits(call, None, seed, offset)
    call.build()
    saved = None not in (softmax_max, softmax_sum, attention_in)
    outputs = None if saved else [core.forward(segment) for segment in call.segments]
    tops = [output[1] for output in outputs] if outputs else call.statistics_of(_given(softmax_max))
    totals = [output[2] for output in outputs] if outputs else call.statistics_of(_given(softmax_sum))
    results = (
        [output[0] for output in outputs]
        if outputs
        else call.split(_given(attention_in), call.head_num, call.q_lengths)
    )
    grad_pse = None if call.pse is None else torch.zeros_like(call.pse, dtype=torch.float32)
    parts = []
    for segment, bias, top, total, result, grad_result in zip(
        call.segments,
        call.biases,
        tops,
        totals,
        results,
        call.split(grad, call.head_num, call.q_lengths),
        strict=True,
    ):
        take = None
        if grad_pse is not None and call.pse_type < 2:
            take = functools.partial(bias.add_gradient, grad_pse)
        parts.append(core.backward(segment, grad_result, result, top, total, take))
    rope = 0 if call.query_rope is None else call.query_rope.shape[-1]
    grad_q, grad_q_rope = _cut([part.q for part in parts], rope)
    grad_k, grad_k_rope = _cut([part.k for part in parts], rope)
    empty = call.query.new_empty(0)
    sinks = [part.sink for part in parts if part.sink is not None]
    return (
        call.whole(grad_q, call.query).to(call.query.dtype),
        call.whole(grad_k, call.key).to(call.key.dtype),
        call.whole([part.v for part in parts], call.value).to(call.value.dtype),
        empty if grad_pse is None or call.pse is None else grad_pse.to(call.pse.dtype),
        empty if call.query_rope is None else call.whole(grad_q_rope, call.query_rope).to(call.query_rope.dtype),
        empty if call.key_rope is None else call.whole(grad_k_rope, call.key_rope).to(call.key_rope.dtype),
        torch.stack(sinks).sum(0).to(sinks[0].dtype) if sinks else empty,
    )


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _cut(parts: list[Tensor], rope: int) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of queries or keys without the rope's features, and those."""
    width = parts[0].shape[-1] - rope
    return [part[..., :width] for part in parts], [part[..., width:] for part in parts]


def _gradient_shapes(call: Call) -> Gradients:
    def like(tensor: Tensor | None) -> Tensor:
        return call.query.new_empty(0) if tensor is None else torch.empty_like(tensor)

    return (
        like(call.query),
        like(call.key),
        like(call.value),
        like(call.pse),
        like(call.query_rope),
        like(call.key_rope),
        like(call.sink),
    )
