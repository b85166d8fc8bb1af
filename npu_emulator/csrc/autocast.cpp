// Autocast for npu: one boxed kernel per policy, over torch's own lists of ops.
#include <ATen/Functions.h>
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include "tensor_alias.h"
#include "torch_compat.h"

namespace npu_emulator {
namespace {

// Named bare by torch's macros.
using at::IntArrayRef;
using at::Scalar;
using at::ScalarType;
using at::Tensor;

using at::autocast::cached_cast;
using torch::jit::Stack;

template <class Change>
void each_argument(const c10::OperatorHandle& op, Stack& stack, Change change) {
  auto count = op.schema().arguments().size();
  for (size_t i = stack.size() - count; i < stack.size(); ++i) change(stack[i]);
}

void cast_tensors(const c10::OperatorHandle& op, Stack& stack, at::ScalarType type) {
  each_argument(op, stack, [type](c10::IValue& value) {
    if (value.isTensor()) {
      if (value.toTensor().defined()) value = cached_cast(type, value.toTensor(), at::kPrivateUse1);
    } else if (value.isTensorList()) {
      // As a list: the overload for anything else hands a vector back as it is.
      value = c10::List<at::Tensor>(cached_cast(type, at::TensorList(value.toTensorVector()), at::kPrivateUse1));
    }
  });
}

using NoAutocast = c10::impl::ExcludeDispatchKeyGuard;

struct ToLowerPrecision final : c10::OperatorKernel {
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, Stack* stack) {
    NoAutocast guard(c10::DispatchKey::AutocastPrivateUse1);
    cast_tensors(op, *stack, at::autocast::get_lower_precision_fp_from_device_type(at::kPrivateUse1));
    op.callBoxed(stack);
  }
};

struct ToFloat32 final : c10::OperatorKernel {
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, Stack* stack) {
    NoAutocast guard(c10::DispatchKey::AutocastPrivateUse1);
    cast_tensors(op, *stack, at::kFloat);
    op.callBoxed(stack);
  }
};

// Reductions with a `dtype` argument accumulate and return float32, unless the caller chose a type.
struct WithFloat32Result final : c10::OperatorKernel {
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, Stack* stack) {
    NoAutocast guard(c10::DispatchKey::AutocastPrivateUse1);
    const auto& arguments = op.schema().arguments();
    auto first = stack->size() - arguments.size();
    const auto& input = (*stack)[first];
    bool eligible = input.isTensor() && on_npu(input.toTensor()) && input.toTensor().is_floating_point();
    for (size_t i = 0; eligible && i < arguments.size(); ++i) {
      auto& value = (*stack)[first + i];
      if (arguments[i].name() == "dtype" && value.isNone()) value = static_cast<int64_t>(at::kFloat);
    }
    op.callBoxed(stack);
  }
};

struct ToWidest final : c10::OperatorKernel {
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, Stack* stack) {
    NoAutocast guard(c10::DispatchKey::AutocastPrivateUse1);
    auto widest = at::autocast::get_lower_precision_fp_from_device_type(at::kPrivateUse1);
    each_argument(op, *stack, [&widest](c10::IValue& value) {
      if (value.isTensor() && value.toTensor().defined())
        widest = at::autocast::prioritize(widest, value.toTensor(), at::kPrivateUse1);
      if (value.isTensorList())
        widest = at::autocast::prioritize(widest, at::TensorList(value.toTensorVector()), at::kPrivateUse1);
    });
    cast_tensors(op, *stack, widest);
    op.callBoxed(stack);
  }
};

struct Banned final : c10::OperatorKernel {
  void operator()(const c10::OperatorHandle&, c10::DispatchKeySet, Stack*) {
    TORCH_CHECK(false,
                "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast: use "
                "binary_cross_entropy_with_logits or torch.nn.BCEWithLogitsLoss");
  }
};

template <class Policy>
void add(torch::Library& library, const char* op, const char* overload = "") {
  auto name = *overload == '\0' ? std::string(op) : std::string(op) + "." + overload;
  library.impl(name.c_str(), torch::CppFunction::makeFromBoxedFunctor(std::make_unique<Policy>()));
}

#define NAME_OF_1(op) #op
#define NAME_OF_2(op, overload) #op, #overload
#define PICK(_1, _2, chosen, ...) chosen
#define NAME_OF(...) PICK(__VA_ARGS__, NAME_OF_2, NAME_OF_1)(__VA_ARGS__)

#define LOWER_PRECISION(...) add<ToLowerPrecision>(m, NAME_OF(__VA_ARGS__));
#define FLOAT32(...) add<ToFloat32>(m, NAME_OF(__VA_ARGS__));
#define FLOAT32_RESULT(...) add<WithFloat32Result>(m, NAME_OF(__VA_ARGS__));
#define WIDEST(...) add<ToWidest>(m, NAME_OF(__VA_ARGS__));

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  AT_FORALL_LOWER_PRECISION_FP(LOWER_PRECISION)
  AT_FORALL_FP32(FLOAT32)
  AT_FORALL_FP32_SET_OPT_DTYPE(FLOAT32_RESULT)
  AT_FORALL_PROMOTE(WIDEST)
  AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE(KERNEL_DIFFERENT_REDISPATCH_SIGNATURE_PRIVATEUSEONE)
  add<ToWidest>(m, "cat");
  add<ToWidest>(m, "stack");
  add<Banned>(m, "binary_cross_entropy");
}

}  // namespace

// Ops without a policy run as they are.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

}  // namespace npu_emulator
