// Casts of npu tensors, `x.to(dtype)` and its kin, where torch_npu has its own mind.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace npu_emulator {

bool is_cast(const c10::OperatorHandle& op);

// One that casts nothing, or happens on the host, and so calls no function; `stack` holds its arguments from `first` on.
bool casts_nothing(const torch::jit::Stack& stack, size_t first);

// float32 where a call asks for float64 and says nothing of a device (`x.double()`), warned of once, as torch_npu has it
// (ToKernelNpu.cpp of Ascend/pytorch). With a device, `x.to("npu", torch.float64)`, it is float64.
void cast_as_torch_npu_does(const c10::OperatorHandle& op, torch::jit::Stack& stack);

}  // namespace npu_emulator
