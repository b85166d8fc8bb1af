// What Python steers: plain operators, so that the library needs no Python headers and fits every Python.
#include <torch/library.h>

#include "generator.h"
#include "hooks.h"
#include "host_kernel.h"
#include "memory.h"
#include "pinned.h"
#include "profiler.h"
#include "refusals.h"
#include "storage.h"
#include "tensor_alias.h"

namespace npu_emulator {

namespace {

c10::DeviceIndex checked(int64_t device) {
  check_device(device);
  return static_cast<c10::DeviceIndex>(device);
}

void start(int64_t devices, int64_t bytes_each) {
  open_devices(devices, bytes_each);
  install_charging_allocator();
  install_device_allocator();
  install_pinned_allocator();
  install_hooks();
  install_host_kernels();
  install_profiler();
}

std::vector<int64_t> host_memory() {
  auto stats = pinned_allocator()->get_stats();
  std::vector<int64_t> flat;
  for (const auto& stat : {stats.allocations, stats.allocated_bytes, stats.active_requests, stats.active_bytes})
    flat.insert(flat.end(), {stat.current, stat.peak, stat.allocated, stat.freed});
  return flat;
}

bool is_view(const c10::FunctionSchema& schema) {
  return !schema.returns().empty() && schema.returns()[0].alias_info() != nullptr &&
         !schema.returns()[0].alias_info()->isWrite();
}

// Returns false where there is nothing to ask for: a view computes nothing, or no kernel could run on npu.
bool watch(const std::string& op_name, const std::string& overload, int64_t ask, int64_t vouch) {
  auto op = c10::Dispatcher::singleton().findOp({op_name, overload});
  if (!op.has_value() || !op->hasSchema() || is_view(op->schema())) return false;
  auto& entry = watch_of(op->operator_name());
  bool fresh = entry.ask == 0 && entry.vouch == 0;
  entry.ask = static_cast<TypeSet>(ask);
  entry.vouch = static_cast<TypeSet>(vouch);
  bool composite = !op->hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1) &&
                   op->hasComputedKernelForDispatchKey(c10::DispatchKey::CPU);
  if (fresh && composite) watch_composite(*op);
  return composite || op->hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1);
}

}  // namespace

TORCH_LIBRARY(npu_emulator, m) {
  m.def("start(int devices, int bytes_each) -> ()", start);
  m.def("set_memory_fraction(int device, float fraction) -> ()",
        [](int64_t device, double fraction) { set_memory_fraction(checked(device), fraction); });
  m.def("memory_fraction(int device) -> float", [](int64_t device) { return memory_fraction(checked(device)); });
  m.def("default_generator(int device) -> Generator?",
        [](int64_t device) { return std::optional(default_generator(checked(device))); });
  m.def("host_memory() -> int[]", host_memory);
  m.def("reset_peak_host_memory() -> ()", [] { pinned_allocator()->reset_peak_stats(); });
  m.def("reset_accumulated_host_memory() -> ()", [] { pinned_allocator()->reset_accumulated_stats(); });
  m.def("watch(str op, str overload, int ask, int vouch) -> bool", watch);
  m.def("ask_table(str op, ScalarType type) -> ()");
  m.def("host_view(Tensor tensor) -> Tensor");
}

TORCH_LIBRARY_IMPL(npu_emulator, PrivateUse1, m) { m.impl("host_view", host_alias); }

}  // namespace npu_emulator
