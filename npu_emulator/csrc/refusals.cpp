#include "refusals.h"

#include <ATen/core/boxing/BoxedKernel.h>
#include <torch/library.h>

#include <algorithm>
#include <mutex>
#include <sstream>
#include <unordered_map>

#include "casts.h"
#include "tensor_alias.h"

namespace npu_emulator {
namespace {

thread_local int vouched = 0;

struct Vouched {
  explicit Vouched(bool active) : active_(active) { vouched += active_; }
  ~Vouched() { vouched -= active_; }
  bool active_;
};

bool is_result_type(const c10::Argument& argument) { return argument.name() == "dtype"; }

template <class Visitor>
void each_tensor(const c10::IValue& value, Visitor visit) {
  if (value.isTensor()) {
    visit(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) visit(tensor);
  } else if (value.isOptionalTensorList()) {
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
      if (tensor.has_value()) visit(*tensor);
  }
}

struct WatchedComposite final : c10::OperatorKernel {
  explicit WatchedComposite(const Watch& watch, bool casts) : watch_(watch), casts_(casts) {}

  void operator()(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
    if (casts_ && asking()) cast_as_torch_npu_does(op, *stack);
    if (!watch_.ask.empty() && asking()) ask(op, *stack);
    Vouched inside(watch_.whole);
    // The host entry of an op without a host kernel is its decomposition; the parts dispatch afresh.
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  }

 private:
  void ask(const c10::OperatorHandle& op, const torch::jit::Stack& stack) const {
    const auto& arguments = op.schema().arguments();
    auto first = stack.size() - arguments.size();
    if (casts_ && casts_nothing(stack, first)) return;
    Question question(op, watch_);
    for (size_t i = 0; i < arguments.size(); ++i) {
      const auto& value = stack[first + i];
      each_tensor(value, [&](const at::Tensor& tensor) {
        if (on_npu(tensor))
          question.see(tensor, i);
        else if (tensor.defined() && tensor.dim() == 0)
          question.see_number();
      });
      if (value.isInt() && is_result_type(arguments[i]))
        question.see_type(static_cast<at::ScalarType>(value.toInt()), i);
    }
    question.put(stack, first);
  }

  const Watch& watch_;
  bool casts_;
};

bool is_view(const c10::FunctionSchema& schema) {
  return !schema.returns().empty() && schema.returns()[0].alias_info() != nullptr &&
         !schema.returns()[0].alias_info()->isWrite();
}

bool has(const c10::OperatorHandle& op, c10::DispatchKey key) { return op.hasKernelForDispatchKey(key); }

// A structured op only allocates its result and goes on to the form that is given one: no decomposition.
bool is_structured(const c10::OperatorHandle& op) {
  auto overload = op.operator_name().overload_name;
  auto base = op.operator_name().name;
  if (base.back() == '_') base.pop_back();
  for (const auto& form : {std::string("out"), overload + "_out"}) {
    auto with_result = c10::Dispatcher::singleton().findOp({base, form});
    if (with_result.has_value() && has(*with_result, c10::DispatchKey::CPU)) return true;
  }
  return false;
}

bool decomposes(const c10::OperatorHandle& op) {
  return has(op, c10::DispatchKey::CompositeExplicitAutograd) || has(op, c10::DispatchKey::CompositeImplicitAutograd) ||
         (has(op, c10::DispatchKey::CompositeExplicitAutogradNonFunctional) && !is_structured(op));
}

// Installs a kernel that asks and then decomposes, for an op that has no host kernel of its own.
void watch_composite(const c10::OperatorHandle& op, const Watch& watch) {
  const auto& name = op.operator_name();
  static auto* libraries = new std::vector<std::unique_ptr<torch::Library>>();
  bool below_autograd = !has(op, c10::DispatchKey::CompositeImplicitAutograd);
  auto overload = name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
  for (auto key : {c10::DispatchKey::PrivateUse1, c10::DispatchKey::AutogradPrivateUse1}) {
    if (below_autograd && key == c10::DispatchKey::AutogradPrivateUse1) continue;
    auto library = std::make_unique<torch::Library>(torch::Library::IMPL, "aten", key, __FILE__, __LINE__);
    library->impl(overload.c_str(),
                  torch::CppFunction::makeFromBoxedFunctor(std::make_unique<WatchedComposite>(watch, is_cast(op))));
    libraries->push_back(std::move(library));
  }
}

// A line of the table.
struct Row {
  std::string flags;
  std::vector<std::pair<std::string, TypeSet>> ask, ask_with_number;
};

using Table = std::unordered_map<std::string, Row>;

Table parse(const std::string& text) {
  Table table;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name, word;
    Row row;
    words >> name >> row.flags;
    auto* masks = &row.ask;
    while (words >> word) {
      if (word == "|") {
        masks = &row.ask_with_number;
        continue;
      }
      auto equals = word.find('=');
      masks->emplace_back(word.substr(0, equals), std::stoull(word.substr(equals + 1), nullptr, 16));
    }
    table.emplace(std::move(name), std::move(row));
  }
  return table;
}

// The row of an op, or of its form with a result given or in place: the kernel of one serves them all.
const Row* row_of(const Table& table, const std::string& base, const std::string& overload) {
  auto find = [&](const std::string& op, const std::string& form) -> const Row* {
    auto found = table.find(form.empty() ? op : op + "." + form);
    return found == table.end() ? nullptr : &found->second;
  };
  auto with_result = [](const std::string& form) { return form.empty() ? std::string("out") : form + "_out"; };
  if (const auto* row = find(base, overload)) return row;
  if (const auto* row = find(base, with_result(overload))) return row;
  if (base.size() > 1 && base.back() == '_') {
    auto plain = base.substr(0, base.size() - 1);
    if (const auto* row = find(plain, overload)) return row;
    if (const auto* row = find(plain, with_result(overload))) return row;
  }
  if (overload == "out") {
    if (const auto* row = find(base, "")) return row;
  } else if (overload.size() > 4 && overload.substr(overload.size() - 4) == "_out") {
    if (const auto* row = find(base, overload.substr(0, overload.size() - 4))) return row;
  }
  return find(base + "_", overload);
}

std::vector<TypeSet> by_position(const std::vector<std::pair<std::string, TypeSet>>& masks,
                                 const c10::FunctionSchema& schema) {
  if (masks.empty()) return {};
  std::vector<TypeSet> positions(schema.arguments().size(), 0);
  for (const auto& [name, mask] : masks)
    if (auto index = schema.argumentIndexWithName(name)) positions[static_cast<size_t>(*index)] = mask;
  return positions;
}

bool all_zero(const std::vector<TypeSet>& masks) {
  return std::all_of(masks.begin(), masks.end(), [](TypeSet mask) { return mask == 0; });
}

// Ops that only torch's own tests call, and the host's stand-ins for fused attention, which torch_npu has its own for.
bool is_not_of_the_npu(const std::string& base) {
  return base.rfind("_test_", 0) == 0 || base == "_foobar" || base.find("_for_cpu") != std::string::npos;
}

void fill(Watch& watch, const Row& row, const c10::FunctionSchema& schema) {
  watch.whole = row.flags.find('w') != std::string::npos;
  watch.every_call = row.flags.find('m') != std::string::npos;
  watch.short_indices = row.flags.find('i') != std::string::npos;
  watch.ask = by_position(row.ask, schema);
  watch.ask_with_number = by_position(row.ask_with_number, schema);
  if (all_zero(watch.ask) && !watch.every_call) watch.ask.clear();
  if (watch.every_call && watch.ask.empty()) watch.ask.resize(schema.arguments().size(), 0);
}

}  // namespace

Watch& watch_of(const c10::OperatorName& name) {
  static auto* watches = new std::unordered_map<c10::OperatorName, Watch>();
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  return (*watches)[name];
}

bool asking() { return vouched == 0; }

void Question::put(const torch::jit::Stack& stack, size_t first) const {
  const auto& masks = number_ && !watch_.ask_with_number.empty() ? watch_.ask_with_number : watch_.ask;
  if (watch_.every_call) return put_about(kEveryCall, 0);
  if (too_many_dims_ && watch_.whole) put_about(kDims, 0);
  if (hit_ == 0) return;
  TypeSet asked = 0;
  for (size_t i = 0; i < masks.size(); ++i) {
    const auto& value = stack[first + i];
    auto ask = [&](at::ScalarType type) {
      if ((type_bit(type) & masks[i] & ~asked) == 0) return;
      asked |= type_bit(type);
      put_about(static_cast<int64_t>(type), i);
    };
    each_tensor(value, [&](const at::Tensor& tensor) {
      if (on_npu(tensor)) ask(tensor.scalar_type());
    });
    if (value.isInt() && masks[i] != 0) ask(static_cast<at::ScalarType>(value.toInt()));
  }
}

namespace {

void ask_table(std::string_view op, std::string_view overload, std::string_view argument, int64_t what, int64_t bytes,
               bool number) {
  static auto question =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("npu_emulator::ask_table", "")
          .typed<void(std::string_view, std::string_view, std::string_view, int64_t, int64_t, bool)>();
  question.call(op, overload, argument, what, bytes, number);
}

}  // namespace

void refuse_dims_of_copy(const at::Tensor& from, const at::Tensor& to) {
  if (!asking()) return;  // a part of an op that hardware has whole, as it has repeat
  if (from.dim() <= kMaxDims || !on_npu(from) || !on_npu(to) || from.strides() == to.strides()) return;
  ask_table("aten::copy_", "", "self", kDims, 0, false);
}

void Question::put_about(int64_t what, size_t argument) const {
  const auto& name = op_.operator_name();
  ask_table(name.name, name.overload_name, op_.schema().arguments()[argument].name(), what,
            static_cast<int64_t>(bytes_), number_);
}

int64_t read_watches(const std::string& text) {
  auto table = parse(text);
  int64_t watched = 0;
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    auto op = c10::Dispatcher::singleton().findOp(name);
    if (!op.has_value() || !op->hasSchema() || is_view(op->schema())) continue;
    auto base = name.name.substr(6);
    const auto* row = row_of(table, base, name.overload_name);
    bool host_kernel = has(*op, c10::DispatchKey::CPU);
    if (row == nullptr) {
      // No kernel on the npu and no parts: torch_npu falls back to the host.
      if (!host_kernel || decomposes(*op) || is_not_of_the_npu(base)) continue;
      auto& watch = watch_of(name);
      watch.every_call = true;
      watch.ask.assign(op->schema().arguments().size(), 0);
      ++watched;
      continue;
    }
    auto& watch = watch_of(name);
    fill(watch, *row, op->schema());
    if (watch.ask.empty() && !watch.whole) continue;
    ++watched;
    if (!has(*op, c10::DispatchKey::PrivateUse1) && op->hasComputedKernelForDispatchKey(c10::DispatchKey::CPU))
      watch_composite(*op, watch);
  }
  return watched;
}

}  // namespace npu_emulator
