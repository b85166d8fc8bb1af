// Counts the operators of a thread by owner and by device, on the device and on the host alike. Python could, in a
// dispatch mode, at ten times the cost of an operator of a small network.
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/library.h>

#include <map>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "device.h"
#include "memory.h"
#include "tensor_alias.h"

namespace npu_emulator {
namespace counting {

// A key that torch leaves to extensions. It lies below autograd and just above the kernels of dense tensors; a thread
// that counts includes it, and autograd hands it on to the threads of the way back.
constexpr auto kKey = c10::DispatchKey::CustomRNGKeyId;

// Owners are numbers that Python gives; these two are always there.
constexpr int64_t kOutside = 0, kBackward = 1;

struct Tally {
  int64_t operations = 0;
  int64_t bytes = 0;
};

using Tensors = c10::SmallVector<at::Tensor, 6>;

// Storages on the host. The weak references keep an address from being given to another one.
class Storages {
 public:
  void add(const at::Tensor& tensor) {
    if (!counts(tensor)) return;
    auto* storage = tensor.storage().unsafeGetStorageImpl();
    known_.try_emplace(storage, c10::weak_intrusive_ptr<c10::StorageImpl>(tensor.storage().getWeakStorageImpl()));
  }
  bool has(const at::Tensor& tensor) const {
    return counts(tensor) && known_.count(tensor.storage().unsafeGetStorageImpl()) > 0;
  }

 private:
  // Single numbers are no data.
  static bool counts(const at::Tensor& tensor) {
    return tensor.is_cpu() && tensor.layout() == at::kStrided && tensor.numel() > 1 && tensor.has_storage();
  }
  std::unordered_map<c10::StorageImpl*, c10::weak_intrusive_ptr<c10::StorageImpl>> known_;
};

// A network at work, or the way back: what is its data on the host.
struct Call {
  int64_t owner = kOutside;
  Storages data;
  bool left_to_host = false;
};

struct Thread {
  std::vector<std::shared_ptr<Call>> calls;
  std::string host_work;
  bool paused = false;
};
thread_local Thread this_thread;

struct Counts {
  std::mutex mutex;
  std::unordered_set<std::string> moves;
  std::map<std::string, Tally> tallies;  // by what `row` makes of its parts
  int graph = -1;
  std::shared_ptr<Call> way_back;
};

Counts& counts() {
  static auto* all = new Counts();
  return *all;
}

std::string row(const std::string& kind, const std::string& owner, const std::string& name) {
  return kind + "\t" + owner + "\t" + name;
}

// What there is to know about an operator before it is counted.
struct Operator {
  explicit Operator(const c10::OperatorHandle& op) : arguments(op.schema().arguments().size()) {
    name = op.operator_name().name;
    packet = name.substr(name.find("::") + 2);
    name.replace(name.find("::"), 2, ".");
    bool aliases = false;
    for (const auto& argument : op.schema().arguments()) {
      aliases = aliases || argument.alias_info() != nullptr;
      changes = changes || (argument.alias_info() != nullptr && argument.alias_info()->isWrite());
    }
    is_view = aliases && !changes;
    results = op.schema().returns().size();
  }
  size_t arguments, results = 0;
  std::string name, packet;
  bool changes = false, is_view = false;
};

// A number that Python wrote beside a tensor is none.
void add_tensors(const c10::IValue& value, Tensors& found) {
  if (value.isTensor()) {
    const auto& tensor = value.toTensor();
    if (tensor.defined() && !tensor.unsafeGetTensorImpl()->is_wrapped_number()) found.push_back(tensor);
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector())
      if (tensor.defined()) found.push_back(tensor);
  } else if (value.isOptionalTensorList()) {
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      if (tensor.has_value() && tensor->defined()) found.push_back(*tensor);
  }
}

Tensors tensors_at(const torch::jit::Stack& stack, size_t first, size_t end) {
  Tensors found;
  for (size_t i = first; i < end; ++i) add_tensors(stack[i], found);
  return found;
}

std::string type_of(const at::Tensor& tensor) { return c10::DeviceTypeName(tensor.device().type(), true); }

int64_t bytes_of(const at::Tensor& tensor) { return tensor.numel() * static_cast<int64_t>(tensor.itemsize()); }

// The accelerator if one of the tensors is there; empty where none is anywhere.
std::string device_of(const Tensors& taken, const Tensors& given) {
  std::string found;
  for (const Tensors* tensors : {&given, &taken}) {
    for (const auto& tensor : *tensors) {
      if (tensor.is_meta()) continue;
      if (!tensor.is_cpu()) return type_of(tensor);
      found = "cpu";
    }
  }
  return found;
}

// Counts one operator that has run.
class Count {
 public:
  Count(const Operator& op, const Tensors& taken, const Tensors& given) : op_(op), taken_(taken), given_(given) {}

  // The lock is held.
  void take() {
    call_ = this_thread.calls.empty() ? way_back() : this_thread.calls.back();
    owner_ = std::to_string(call_ == nullptr ? kOutside : call_->owner);
    if (counts().moves.count(op_.packet) > 0)
      take_move();
    else
      take_computing();
  }

 private:
  static std::shared_ptr<Call> way_back() {
    int graph = torch::autograd::get_current_graph_task_id();
    if (graph == -1) return nullptr;
    auto& all = counts();
    if (all.graph != graph || all.way_back == nullptr) {
      all.graph = graph;
      all.way_back = std::make_shared<Call>();
      all.way_back->owner = kBackward;
    }
    return all.way_back;
  }

  void take_move() {
    if ((op_.changes ? taken_ : given_).empty()) return;
    const auto& target = op_.changes ? taken_[0] : given_[0];
    const at::Tensor* source = nullptr;
    for (const auto& tensor : taken_)
      if (!tensor.is_same(target)) source = &tensor;
    if (source == nullptr) return;
    if (source->device().type() != target.device().type() && !source->is_meta() && !target.is_meta())
      add(row("moved", owner_, type_of(*source) + "->" + type_of(target)), bytes_of(target));
    if (call_ != nullptr && target.is_cpu() && (!source->is_cpu() || call_->data.has(*source))) call_->data.add(target);
  }

  void take_computing() {
    auto device = device_of(taken_, given_);
    if (device.empty()) return;
    if (device == "cpu" && !this_thread.host_work.empty()) {
      add(row("host_work", this_thread.host_work, op_.name), 0);
      if (call_ != nullptr) call_->left_to_host = true;
      return;
    }
    int64_t bytes = 0;
    for (const Tensors* tensors : {&taken_, &given_})
      for (const auto& tensor : *tensors) bytes += bytes_of(tensor);
    add(row("operator", device, op_.name), 0);
    add(row("computed", owner_, device), bytes);
    if (device != "cpu")
      keep_peak();
    else if (call_ != nullptr && std::any_of(taken_.begin(), taken_.end(), [&](auto& one) { return call_->data.has(one); })) {
      add(row("host_data", owner_, op_.name), 0);
      for (const auto& tensor : given_) call_->data.add(tensor);
    }
  }

  void keep_peak() {
    auto& peak = counts().tallies[row("peak", owner_, "")].bytes;
    peak = std::max(peak, allocated_bytes(current_device()));
  }

  static void add(const std::string& key, int64_t bytes) {
    auto& tally = counts().tallies[key];
    tally.operations += 1;
    tally.bytes += bytes;
  }

  const Operator& op_;
  const Tensors& taken_;
  const Tensors& given_;
  std::shared_ptr<Call> call_;
  std::string owner_;
};

void run_counted(const c10::OperatorHandle& op, const Operator& known, c10::DispatchKeySet keys,
                 torch::jit::Stack* stack) {
  constexpr auto below = c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kKey);
  c10::impl::ExcludeDispatchKeyGuard whole(kKey);  // what it calls itself is part of it
  if (known.is_view || this_thread.paused) {
    op.redispatchBoxed(keys & below, stack);
    return;
  }
  auto taken = tensors_at(*stack, stack->size() - known.arguments, stack->size());
  op.redispatchBoxed(keys & below, stack);
  auto given = tensors_at(*stack, stack->size() - known.results, stack->size());
  std::lock_guard<std::mutex> lock(counts().mutex);
  Count(known, taken, given).take();
}

struct CountingKernel final : c10::OperatorKernel {
  explicit CountingKernel(const c10::OperatorHandle& op) : known_(op) {}
  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
    run_counted(op, known_, keys, stack);
  }

 private:
  Operator known_;
};

// Of other libraries' operators.
void fallback(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  run_counted(op, Operator(op), keys, stack);
}

// Without a kernel of its own, an operator would run by a kernel that is composed of others, which the device's own
// kernels stand before. What is always composed is left to its parts.
bool has_kernel_below(const c10::OperatorHandle& op) {
  return !op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd) ||
         op.hasKernelForDispatchKey(c10::DispatchKey::CPU) ||
         op.hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1);
}

void install() {
  static bool is_installed = false;
  if (std::exchange(is_installed, true)) return;
  static auto* library = new torch::Library(torch::Library::IMPL, "aten", kKey, __FILE__, __LINE__);
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const auto& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    auto op = dispatcher.findOp(name);
    if (!op.has_value() || !op->hasSchema() || !has_kernel_below(*op)) continue;
    auto full = name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
    library->impl(full.c_str(), torch::CppFunction::makeFromBoxedFunctor(std::make_unique<CountingKernel>(*op)));
  }
  static auto* others = new torch::Library(torch::Library::IMPL, "_", kKey, __FILE__, __LINE__);
  others->fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

// Those of them that allocate or carry data, as Python names them without their namespace.
void set_moves(std::vector<std::string> moves) {
  std::lock_guard<std::mutex> lock(counts().mutex);
  counts().moves = {moves.begin(), moves.end()};
}

bool count_in_this_thread(bool counting) {
  bool before = c10::impl::tls_is_dispatch_key_included(kKey);
  c10::impl::tls_set_dispatch_key_included(kKey, counting);
  return before;
}

bool pause_counting(bool paused) { return std::exchange(this_thread.paused, paused); }

std::string name_host_work(std::string why) { return std::exchange(this_thread.host_work, std::move(why)); }

void enter_call(int64_t owner, const std::vector<at::Tensor>& data) {
  auto call = std::make_shared<Call>();
  call->owner = owner;
  for (const auto& tensor : data) call->data.add(tensor);
  this_thread.calls.push_back(std::move(call));
}

// Whether some of its work was left to the host by design.
bool leave_call() {
  TORCH_CHECK(!this_thread.calls.empty(), "no call has been entered in this thread");
  bool left = this_thread.calls.back()->left_to_host;
  this_thread.calls.pop_back();
  return left;
}

// Rows "kind, owner, name", how often, and bytes; what is told is forgotten.
std::tuple<std::vector<std::string>, std::vector<int64_t>, std::vector<int64_t>> take_counts() {
  std::lock_guard<std::mutex> lock(counts().mutex);
  std::vector<std::string> rows;
  std::vector<int64_t> operations, bytes;
  for (const auto& [key, tally] : counts().tallies) {
    rows.push_back(key);
    operations.push_back(tally.operations);
    bytes.push_back(tally.bytes);
  }
  counts().tallies.clear();
  return {rows, operations, bytes};
}

}  // namespace counting

// Fragments, so that what steers the counting stands beside it.
TORCH_LIBRARY_FRAGMENT(npu_emulator, m) {
  m.def("install_counting(str[] moves) -> ()", [](std::vector<std::string> moves) {
    counting::install();
    counting::set_moves(std::move(moves));
  });
  m.def("count_in_this_thread(bool counting) -> bool", counting::count_in_this_thread);
  m.def("pause_counting(bool paused) -> bool", counting::pause_counting);
  m.def("name_host_work(str why) -> str", counting::name_host_work);
  m.def("leave_call() -> bool", counting::leave_call);
  m.def("take_counts() -> (str[], int[], int[])", counting::take_counts);
  m.def("enter_call(int owner, Tensor[] data) -> ()",
        [](int64_t owner, at::TensorList data) { counting::enter_call(owner, data.vec()); });
}

}  // namespace npu_emulator
