#include "casts.h"

#include <ATen/core/Tensor.h>

namespace npu_emulator {
namespace {

// Places of the arguments of _to_copy.
constexpr size_t kType = 1, kLayout = 2, kDevice = 3;

at::ScalarType type_of(const torch::jit::Stack& stack, size_t first) { return stack[first].toTensor().scalar_type(); }

}  // namespace

bool is_cast(const c10::OperatorHandle& op) { return op.operator_name().name == "aten::_to_copy"; }

bool casts_nothing(const torch::jit::Stack& stack, size_t first) {
  const auto& dtype = stack[first + kType];
  const auto& device = stack[first + kDevice];
  return !dtype.isInt() || static_cast<at::ScalarType>(dtype.toInt()) == type_of(stack, first) ||
         (device.isDevice() && !device.toDevice().is_privateuseone());
}

void cast_as_torch_npu_does(const c10::OperatorHandle& op, torch::jit::Stack& stack) {
  auto first = stack.size() - op.schema().arguments().size();
  if (casts_nothing(stack, first) || !stack[first + kLayout].isNone() || !stack[first + kDevice].isNone()) return;
  if (static_cast<at::ScalarType>(stack[first + kType].toInt()) != at::kDouble) return;
  TORCH_WARN_ONCE("Device do not support double dtype now, dtype cast replace with float.");
  stack[first + kType] = static_cast<int64_t>(at::kFloat);
}

}  // namespace npu_emulator
