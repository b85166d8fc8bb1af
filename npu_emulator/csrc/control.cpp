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

// Under the names of torch.cuda.memory_stats. torch.accelerator has them from 2.9 on only.
c10::Dict<std::string, int64_t> memory_stats(int64_t device) {
  auto stats = stats_of(checked(device));
  c10::Dict<std::string, int64_t> flat;
  auto add = [&flat](const std::string& name, const c10::CachingAllocator::Stat& stat) {
    flat.insert(name + ".current", stat.current);
    flat.insert(name + ".peak", stat.peak);
    flat.insert(name + ".allocated", stat.allocated);
    flat.insert(name + ".freed", stat.freed);
  };
  auto add_pools = [&add](const std::string& name, const c10::CachingAllocator::StatArray& pools) {
    add(name + ".all", pools[0]);
    add(name + ".small_pool", pools[1]);
    add(name + ".large_pool", pools[2]);
  };
  add_pools("allocation", stats.allocation);
  add_pools("segment", stats.segment);
  add_pools("active", stats.active);
  add_pools("inactive_split", stats.inactive_split);
  add_pools("allocated_bytes", stats.allocated_bytes);
  add_pools("reserved_bytes", stats.reserved_bytes);
  add_pools("active_bytes", stats.active_bytes);
  add_pools("inactive_split_bytes", stats.inactive_split_bytes);
  add_pools("requested_bytes", stats.requested_bytes);
  add("oversize_allocations", stats.oversize_allocations);
  add("oversize_segments", stats.oversize_segments);
  flat.insert("num_alloc_retries", stats.num_alloc_retries);
  flat.insert("num_ooms", stats.num_ooms);
  flat.insert("num_sync_all_streams", stats.num_sync_all_streams);
  flat.insert("num_device_alloc", stats.num_device_alloc);
  flat.insert("num_device_free", stats.num_device_free);
  flat.insert("max_split_size", stats.max_split_size);
  return flat;
}

std::tuple<int64_t, int64_t> memory_info(int64_t device) {
  auto [free, total] = free_and_total(checked(device));
  return {static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

std::vector<int64_t> host_memory() {
  auto counts = pinned_counts();
  std::vector<int64_t> flat;
  for (const auto& stat : {counts.allocations, counts.allocated_bytes, counts.active_requests, counts.active_bytes})
    flat.insert(flat.end(), {stat.current, stat.peak, stat.allocated, stat.freed});
  return flat;
}

}  // namespace

TORCH_LIBRARY(npu_emulator, m) {
  m.def("start(int devices, int bytes_each) -> ()", start);
  m.def("set_memory_fraction(int device, float fraction) -> ()",
        [](int64_t device, double fraction) { set_memory_fraction(checked(device), fraction); });
  m.def("memory_fraction(int device) -> float", [](int64_t device) { return memory_fraction(checked(device)); });
  m.def("memory_stats(int device) -> Dict(str, int)", memory_stats);
  m.def("memory_info(int device) -> (int, int)", memory_info);
  m.def("reset_peak_memory(int device) -> ()", [](int64_t device) { reset_peaks(checked(device)); });
  m.def("reset_accumulated_memory(int device) -> ()", [](int64_t device) { reset_totals(checked(device)); });
  m.def("empty_cache() -> ()", release_reserves);
  m.def("forked_after_use() -> bool", forked_after_use);
  m.def("default_generator(int device) -> Generator?",
        [](int64_t device) { return std::optional(default_generator(checked(device))); });
  m.def("draw_from_host() -> ()", draw_from_host);
  m.def("host_memory() -> int[]", host_memory);
  m.def("reset_peak_host_memory() -> ()", [] { pinned_allocator()->reset_peak_stats(); });
  m.def("reset_accumulated_host_memory() -> ()", [] { pinned_allocator()->reset_accumulated_stats(); });
  m.def("watch(str table) -> int", read_watches);
  m.def("ask_table(str op, str overload, str argument, int type, int bytes, bool number) -> ()");
  m.def("host_view(Tensor tensor) -> Tensor");
  m.def("follow_shared_host(Tensor tensor) -> ()");
  m.def("adopt_shared(Tensor host, int device) -> Tensor");
}

TORCH_LIBRARY_IMPL(npu_emulator, PrivateUse1, m) {
  m.impl("host_view", host_alias);
  m.impl("follow_shared_host", [](const at::Tensor& tensor) { follow_shared_twin(tensor.storage()); });
}

// An npu tensor over the bytes of a host tensor that came from another process, which pays for them.
TORCH_LIBRARY_IMPL(npu_emulator, CPU, m) {
  m.impl("adopt_shared", [](const at::Tensor& host, int64_t device) {
    AliasTable aliases(checked(device));
    return aliases.to_npu(host);
  });
}

}  // namespace npu_emulator
