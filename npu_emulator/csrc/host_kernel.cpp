#include "host_kernel.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/boxing/BoxedKernel.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include <unordered_set>

#include "device.h"
#include "generator.h"
#include "memory.h"
#include "refusals.h"
#include "same_device.h"
#include "tensor_alias.h"

namespace npu_emulator {
namespace {

// The host has no kernels of these for float16 and bfloat16, and of histc none for integers; the hardware has.
const std::unordered_set<std::string> kWidened = {
    "aten::avg_pool3d",       "aten::avg_pool3d_backward", "aten::_cdist_forward", "aten::_cdist_backward",
    "aten::rrelu_with_noise", "aten::rrelu_with_noise_",   "aten::histc"};

// These take int32 indices on hardware, and only int64 ones on the host.
const std::unordered_set<std::string> kTakeShortIndices = {"aten::max_pool3d_with_indices_backward",
                                                           "aten::adaptive_max_pool3d_backward", "aten::max_unpool2d",
                                                           "aten::max_unpool3d"};

std::optional<at::ScalarType> wider(at::ScalarType type) {
  if (type == at::kHalf || type == at::kBFloat16) return at::kFloat;
  if (c10::isIntegralType(type, /*includeBool=*/false)) return at::kDouble;
  return std::nullopt;
}

// What the schema says about an op, worked out once.
struct Plan {
  explicit Plan(const c10::OperatorHandle& op) : same_device(op), watch(watch_of(op.operator_name())) {
    const auto& schema = op.schema();
    for (const auto& argument : schema.arguments()) {
      if (argument.name() == "dtype") dtype_argument = static_cast<int>(writes.size());
      const auto* alias = argument.alias_info();
      writes.push_back(alias != nullptr && alias->isWrite());
      generator_arguments.push_back(names_a_generator(argument));
      takes_generator = takes_generator || generator_arguments.back();
    }
    results = schema.returns().size();
    widens = kWidened.count(op.operator_name().name) > 0 && op.operator_name().overload_name.empty();
    makes_indices = results == 2 && op.operator_name().overload_name.empty();
    if (kTakeShortIndices.count(op.operator_name().name) > 0)
      indices_argument = schema.argumentIndexWithName("indices").value_or(-1);
    draws_random = !takes_generator && op.hasTag(at::Tag::nondeterministic_seeded);
  }

  SameDevice same_device;
  const Watch& watch;
  std::vector<bool> writes;
  std::vector<bool> generator_arguments;
  size_t results = 0;
  int dtype_argument = -1;
  bool takes_generator = false;
  bool draws_random = false;
  bool widens = false;
  bool makes_indices = false;
  int indices_argument = -1;
};

class Call {
 public:
  Call(const c10::OperatorHandle& op, const Plan& plan, c10::DispatchKey host_key, torch::jit::Stack& stack)
      : op_(op), plan_(plan), host_key_(host_key), stack_(stack), first_(stack.size() - plan.writes.size()) {}

  void run() {
    Question question(op_, plan_.watch);
    // The table speaks of dense tensors.
    bool ask = !plan_.watch.ask.empty() && host_key_ == c10::DispatchKey::CPU && asking();
    survey(ask ? &question : nullptr);
    if (ask && runs_on_npu_) question.put(stack_, first_);
    AliasTable aliases(device_);
    relabel_arguments(aliases);
    {
      std::optional<EngineLoan> loan;
      if (plan_.draws_random) loan.emplace(device_);
      ChargeTo charge(device_);
      at::AutoDispatchBelowADInplaceOrView below_autograd;
      c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
      if (plan_.widens) widen_arguments();
      if (plan_.indices_argument >= 0) lengthen_indices();
      op_.redispatchBoxed(c10::DispatchKeySet(host_key_), &stack_);
      if (plan_.watch.short_indices && plan_.makes_indices) shorten_indices();
      if (widened_.has_value()) narrow_results();
    }
    for (const auto& [tensor, alias] : written_) aliases.write_back(tensor, alias);
    relabel_results(aliases);
  }

 private:
  template <class Visitor>
  void each_tensor(Visitor visit) const {
    for (size_t i = 0; i < plan_.writes.size(); ++i) {
      const auto& value = stack_[first_ + i];
      if (value.isTensor()) {
        visit(value.toTensor(), i);
      } else if (value.isTensorList()) {
        for (const at::Tensor& tensor : value.toTensorVector()) visit(tensor, i);
      } else if (value.isOptionalTensorList()) {
        for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
          if (tensor.has_value()) visit(*tensor, i);
      }
    }
  }

  // Finds the device of the call, refusing a mixture of devices, and shows `question` the types.
  void survey(Question* question) {
    SameDevice::Seen seen;
    each_tensor([&](const at::Tensor& tensor, size_t i) {
      plan_.same_device.see(tensor, i, seen);
      if (question == nullptr) return;
      if (on_npu(tensor))
        question->see(tensor, i);
      else if (tensor.defined() && tensor.dim() == 0)
        question->see_number();
    });
    if (question != nullptr) show_result_type(*question);
    runs_on_npu_ = seen.npu;
    if (seen.npu) {
      device_ = seen.index;
      return;
    }
    for (size_t i = 0; i < plan_.writes.size(); ++i) {
      const auto& value = stack_[first_ + i];
      if (!value.isDevice() || !value.toDevice().is_privateuseone()) continue;
      runs_on_npu_ = true;
      device_ = resolve(value.toDevice().index());
      check_device(device_);
    }
  }

  void show_result_type(Question& question) const {
    if (plan_.dtype_argument < 0) return;
    auto position = static_cast<size_t>(plan_.dtype_argument);
    const auto& value = stack_[first_ + position];
    if (value.isInt()) question.see_type(static_cast<at::ScalarType>(value.toInt()), position);
  }

  void relabel_arguments(AliasTable& aliases) {
    for (size_t i = 0; i < plan_.writes.size(); ++i) {
      auto& value = stack_[first_ + i];
      if (value.isTensor()) {
        value = relabel(value.toTensor(), i, aliases);
      } else if (value.isTensorList()) {
        auto list = value.toTensorVector();
        for (auto& tensor : list) tensor = relabel(tensor, i, aliases);
        value = c10::List<at::Tensor>(std::move(list));
      } else if (value.isOptionalTensorList()) {
        c10::List<std::optional<at::Tensor>> list;
        for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
          list.push_back(tensor.has_value() ? std::optional(relabel(*tensor, i, aliases)) : std::nullopt);
        value = std::move(list);
      } else if (value.isDevice() && value.toDevice().is_privateuseone()) {
        value = c10::Device(at::kCPU);
      } else if (plan_.generator_arguments[i]) {
        value = relabel_generator(value);
      }
    }
  }

  at::Tensor relabel(const at::Tensor& tensor, size_t argument, AliasTable& aliases) {
    if (!on_npu(tensor)) return tensor;
    auto alias = aliases.add(tensor);
    if (plan_.writes[argument]) written_.push_back({tensor, alias});
    return alias;
  }

  c10::IValue relabel_generator(const c10::IValue& value) const {
    if (value.isNone()) return runs_on_npu_ ? c10::IValue(host_engine(default_generator(device_))) : value;
    TORCH_CHECK(runs_on_npu_, "Expected a 'cpu' device type for generator but found 'npu'");
    return host_engine(value.toGenerator());
  }

  void widen_arguments() {
    for (size_t i = first_; i < stack_.size(); ++i) {
      if (!stack_[i].isTensor() || !stack_[i].toTensor().defined()) continue;
      auto tensor = stack_[i].toTensor();
      auto type = wider(tensor.scalar_type());
      if (!type.has_value()) continue;
      widened_ = tensor.scalar_type();
      auto wide = tensor.to(*type);
      if (plan_.writes[i - first_]) written_wide_.push_back({tensor, wide});
      stack_[i] = std::move(wide);
    }
  }

  void narrow_results() {
    for (const auto& [tensor, wide] : written_wide_) tensor.copy_(wide);
    for (size_t i = stack_.size() - plan_.results; i < stack_.size(); ++i)
      if (stack_[i].isTensor()) stack_[i] = narrowed(stack_[i].toTensor());
  }

  at::Tensor narrowed(const at::Tensor& result) const {
    for (const auto& [tensor, wide] : written_wide_)
      if (result.is_same(wide)) return tensor;
    return result.to(*widened_);
  }

  void lengthen_indices() {
    auto& indices = stack_[first_ + static_cast<size_t>(plan_.indices_argument)];
    if (indices.toTensor().scalar_type() == at::kInt) indices = indices.toTensor().to(at::kLong);
  }

  // float64 falls back to the host on hardware too, and keeps the host's indices.
  void shorten_indices() {
    if (stack_[stack_.size() - 2].toTensor().scalar_type() == at::kDouble) return;
    stack_.back() = stack_.back().toTensor().to(at::kInt);
  }

  void relabel_results(AliasTable& aliases) {
    for (size_t i = stack_.size() - plan_.results; i < stack_.size(); ++i) {
      auto& value = stack_[i];
      if (value.isTensor()) {
        value = aliases.to_npu(value.toTensor());
      } else if (value.isTensorList()) {
        auto list = value.toTensorVector();
        for (auto& tensor : list) tensor = aliases.to_npu(tensor);
        value = c10::List<at::Tensor>(std::move(list));
      }
    }
  }

  const c10::OperatorHandle& op_;
  const Plan& plan_;
  const c10::DispatchKey host_key_;
  torch::jit::Stack& stack_;
  size_t first_;
  bool runs_on_npu_ = false;
  std::optional<at::ScalarType> widened_;
  c10::SmallVector<std::pair<at::Tensor, at::Tensor>, 2> written_wide_;
  c10::DeviceIndex device_ = current_device();
  c10::SmallVector<std::pair<at::Tensor, at::Tensor>, 4> written_;
};

// The dispatcher has chosen by layout which npu kernel to call; `host_key` is the host's of the same layout.
struct HostKernel final : c10::OperatorKernel {
  HostKernel(const c10::OperatorHandle& op, c10::DispatchKey host_key) : plan_(op), host_key_(host_key) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
    Call(op, plan_, host_key_, *stack).run();
  }

 private:
  Plan plan_;
  c10::DispatchKey host_key_;
};

// For libraries loaded later: the plan is made anew at each call.
void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      op.hasComputedKernelForDispatchKey(c10::DispatchKey::CPU), "Could not run '", op.operator_name(),
      "' with arguments from the 'npu' backend: the operator has neither an npu nor a host kernel");
  Plan plan(op);
  Call(op, plan, c10::DispatchKey::CPU, *stack).run();
}

// Handled by kernels of their own: of dense tensors, in native_ops.cpp, attention.cpp and rnn.cpp,
const std::unordered_set<std::string> kOwnKernels = {
    "aten::empty.memory_format", "aten::empty_strided", "aten::set_", "aten::set_.source_Storage",
    "aten::set_.source_Storage_storage_offset", "aten::set_.source_Tensor", "aten::resize_", "aten::_copy_from",
    "aten::_copy_from_and_resize", "aten::record_stream", "aten::_has_compatible_shallow_copy_type",
    "aten::as_strided", "aten::view",
};

// and of nested tensors, in nested.cpp.
const std::unordered_set<std::string> kOwnNestedKernels = {"aten::_to_copy", "aten::copy_", "aten::empty_like"};

// These have no host kernel, yet must not decompose on the device: torch picks another path for other devices, or
// an inner kernel by device that no npu kernel can stand in for.
bool decomposes_on_host(const c10::OperatorName& name) {
  return name.name == "aten::convolution" || name.name == "aten::convolution_backward" ||
         name.name == "aten::kaiser_window" || name.name.rfind("aten::_foreach_", 0) == 0;
}

std::string full_name(const c10::OperatorName& name) {
  return name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
}

bool has_own_kernel(const c10::OperatorName& name, c10::DispatchKey npu) {
  if (npu == c10::DispatchKey::PrivateUse1) return kOwnKernels.count(full_name(name)) > 0;
  return npu == c10::DispatchKey::NestedTensorPrivateUse1 && kOwnNestedKernels.count(full_name(name)) > 0;
}

void register_all(c10::DispatchKey host, c10::DispatchKey npu) {
  static auto* libraries = new std::vector<std::unique_ptr<torch::Library>>();
  auto library = std::make_unique<torch::Library>(torch::Library::IMPL, "aten", npu, __FILE__, __LINE__);
  auto& dispatcher = c10::Dispatcher::singleton();
  bool dense = npu == c10::DispatchKey::PrivateUse1;
  for (const auto& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0 || has_own_kernel(name, npu)) continue;
    auto op = dispatcher.findOp(name);
    if (!op.has_value() || !op->hasSchema()) continue;
    if (!op->hasKernelForDispatchKey(host) && !(dense && decomposes_on_host(name))) continue;
    library->impl(full_name(name).c_str(),
                  torch::CppFunction::makeFromBoxedFunctor(std::make_unique<HostKernel>(*op, host)));
  }
  libraries->push_back(std::move(library));
}

// For custom operators without a backward. Earlier releases leave it to the backend, later ones bring it.
void install_autograd_fallback() {
  constexpr auto key = c10::DispatchKey::AutogradPrivateUse1;
  if (c10::Dispatcher::singleton().hasBackendFallbackForDispatchKey(key)) return;
  static auto* library = new torch::Library(torch::Library::IMPL, "_", key, __FILE__, __LINE__);
  library->fallback(torch::autograd::autogradNotImplementedFallback());
}

}  // namespace

void install_host_kernels() {
  register_all(c10::DispatchKey::CPU, c10::DispatchKey::PrivateUse1);
  register_all(c10::DispatchKey::SparseCPU, c10::DispatchKey::SparsePrivateUse1);
  register_all(c10::DispatchKey::SparseCsrCPU, c10::DispatchKey::SparseCsrPrivateUse1);
  register_all(c10::DispatchKey::NestedTensorCPU, c10::DispatchKey::NestedTensorPrivateUse1);
  static auto* others = new torch::Library(torch::Library::IMPL, "_", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
  others->fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
  install_autograd_fallback();
}

}  // namespace npu_emulator
