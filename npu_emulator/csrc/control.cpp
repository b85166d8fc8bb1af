// What Python steers: plain operators, so that the library needs no Python headers and fits every Python.
#include <torch/library.h>

#include "generator.h"
#include "hooks.h"
#include "host_kernel.h"
#include "memory.h"
#include "pinned.h"
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
}

std::vector<int64_t> host_memory() {
  auto stats = pinned_allocator()->get_stats();
  std::vector<int64_t> flat;
  for (const auto& stat : {stats.allocations, stats.allocated_bytes, stats.active_requests, stats.active_bytes})
    flat.insert(flat.end(), {stat.current, stat.peak, stat.allocated, stat.freed});
  return flat;
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
  m.def("watch(str table) -> int", read_watches);
  m.def("ask_table(str op, str overload, str argument, int type, int bytes, bool number) -> ()");
  m.def("host_view(Tensor tensor) -> Tensor");
}

TORCH_LIBRARY_IMPL(npu_emulator, PrivateUse1, m) { m.impl("host_view", host_alias); }

}  // namespace npu_emulator
