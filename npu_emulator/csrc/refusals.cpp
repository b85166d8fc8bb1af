#include "refusals.h"

#include <ATen/core/boxing/BoxedKernel.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/library.h>

#include <mutex>
#include <unordered_map>

#include "tensor_alias.h"

namespace npu_emulator {
namespace {

thread_local int vouched = 0;

struct Vouched {
  explicit Vouched(bool active) : active_(active) { vouched += active_; }
  ~Vouched() { vouched -= active_; }
  bool active_;
};

void add_type(const at::Tensor& tensor, TypeSet& types) {
  if (on_npu(tensor)) types |= type_bit(tensor.scalar_type());
}

// Types of the npu tensors (and of a `dtype` argument) on the stack.
TypeSet types_of_call(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  TypeSet types = 0;
  const auto& arguments = op.schema().arguments();
  auto first = stack.size() - arguments.size();
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& value = stack[first + i];
    if (value.isTensor()) {
      add_type(value.toTensor(), types);
    } else if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorVector()) add_type(tensor, types);
    } else if (value.isInt() && arguments[i].name() == "dtype") {
      types |= type_bit(static_cast<at::ScalarType>(value.toInt()));
    }
  }
  return types;
}

struct WatchedComposite final : c10::OperatorKernel {
  explicit WatchedComposite(Watch& watch) : watch_(watch) {}

  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
    TypeSet types = asking() ? types_of_call(op, *stack) : 0;
    if (types & watch_.ask) ask_table(op, types & watch_.ask);
    Vouched inside((types & watch_.vouch) != 0);
    // The host entry of an op without a host kernel is its decomposition; the parts dispatch afresh.
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  }

 private:
  Watch& watch_;
};

}  // namespace

Watch& watch_of(const c10::OperatorName& name) {
  static auto* watches = new std::unordered_map<c10::OperatorName, Watch>();
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  return (*watches)[name];
}

// Backward runs the parts of an op that was asked about in forward.
bool asking() { return vouched == 0 && torch::autograd::get_current_graph_task_id() == -1; }

void ask_table(const c10::OperatorHandle& op, TypeSet types) {
  static auto question = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("npu_emulator::ask_table", "")
                             .typed<void(std::string_view, at::ScalarType)>();
  for (int type = 0; type < static_cast<int>(at::ScalarType::NumOptions); ++type) {
    auto scalar_type = static_cast<at::ScalarType>(type);
    if (types & type_bit(scalar_type)) question.call(op.operator_name().name, scalar_type);
  }
}

void watch_composite(const c10::OperatorHandle& op) {
  const auto& name = op.operator_name();
  auto& watch = watch_of(name);
  static auto* libraries = new std::vector<std::unique_ptr<torch::Library>>();
  bool below_autograd = !op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
  auto overload = name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
  for (auto key : {c10::DispatchKey::PrivateUse1, c10::DispatchKey::AutogradPrivateUse1}) {
    if (below_autograd && key == c10::DispatchKey::AutogradPrivateUse1) continue;
    auto library = std::make_unique<torch::Library>(torch::Library::IMPL, "aten", key, __FILE__, __LINE__);
    library->impl(overload.c_str(),
                  torch::CppFunction::makeFromBoxedFunctor(std::make_unique<WatchedComposite>(watch)));
    libraries->push_back(std::move(library));
  }
}

}  // namespace npu_emulator
