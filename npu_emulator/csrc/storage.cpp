#include "storage.h"

#include <c10/core/CPUAllocator.h>

#include <cstring>

#include "device.h"
#include "memory.h"
#include "torch_compat.h"

namespace npu_emulator {
namespace {

struct Twin {
  c10::Storage host;
  c10::DeviceIndex device;
  size_t charged = 0;  // where the host's allocator did not charge it
  ~Twin() {
    if (charged > 0) refund(device, charged);
  }
  static void destroy(void* self) { delete static_cast<Twin*>(self); }
};

Twin* twin_of(const at::DataPtr& data) {
  return data.get_deleter() == &Twin::destroy ? static_cast<Twin*>(data.get_context()) : nullptr;
}

at::DataPtr device_pointer(c10::Storage host, c10::DeviceIndex device, size_t charged = 0) {
  auto* address = host.mutable_data();
  auto* twin = new Twin{std::move(host), device, charged};
  return {address, twin, &Twin::destroy, at::Device(at::kPrivateUse1, device)};
}

at::DataPtr new_bytes(size_t bytes, c10::DeviceIndex device) {
  check_device(device);
  ChargeTo charge(device);
  c10::Storage host(c10::Storage::use_byte_size_t{}, bytes, c10::GetCPUAllocator(), /*resizable=*/true);
  return device_pointer(std::move(host), device);
}

class DeviceMemory final : public compat::DeviceAllocator {
 public:
  at::DataPtr allocate(size_t bytes) override { return new_bytes(bytes, current_device()); }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  bool initialized() override { return device_count() > 0; }
  void recordStream(const at::DataPtr&, c10::Stream) override {}  // kernels finish before they return

  void emptyCache(compat::MempoolId) override { release_reserves(); }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    check_device(device);
    return stats_of(device);
  }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) override {
    check_device(device);
    return free_and_total(device);
  }
  void resetAccumulatedStats(c10::DeviceIndex device) override {
    check_device(device);
    reset_totals(device);
  }
  void resetPeakStats(c10::DeviceIndex device) override {
    check_device(device);
    reset_peaks(device);
  }
};

DeviceMemory device_memory;

}  // namespace

c10::Storage new_storage(size_t bytes, c10::DeviceIndex device) {
  return {c10::Storage::use_byte_size_t{}, bytes, new_bytes(bytes, device), &device_memory, /*resizable=*/true};
}

c10::Storage adopt(c10::Storage host, c10::DeviceIndex device) {
  auto bytes = host.nbytes();
  return {c10::Storage::use_byte_size_t{}, bytes, device_pointer(std::move(host), device), &device_memory,
          /*resizable=*/true};
}

c10::Storage host_twin(const c10::Storage& storage) {
  if (auto* twin = twin_of(storage.data_ptr())) return twin->host;
  // Memory that somebody else placed on the device: lend its bytes, the owner keeps them.
  auto* address = storage.unsafeGetStorageImpl()->mutable_data();
  return {c10::Storage::use_byte_size_t{}, storage.nbytes(), at::DataPtr(address, at::Device(at::kCPU))};
}

void follow_twin(const c10::Storage& storage) {
  auto* twin = twin_of(storage.data_ptr());
  if (twin == nullptr) return;
  if (storage.data() == twin->host.data() && storage.nbytes() == twin->host.nbytes()) return;
  auto* impl = storage.unsafeGetStorageImpl();
  impl->set_nbytes(twin->host.nbytes());
  impl->set_data_ptr_noswap(device_pointer(twin->host, storage.device().index()));
}

void follow_shared_twin(const c10::Storage& storage) {
  auto* twin = twin_of(storage.data_ptr());
  TORCH_CHECK(twin != nullptr, "npu memory that another library placed cannot be shared between processes");
  if (storage.data() == twin->host.data()) return;
  auto device = storage.device().index();
  charge(device, storage.nbytes());  // the host freed, and so refunded, what it had before
  storage.unsafeGetStorageImpl()->set_data_ptr_noswap(device_pointer(twin->host, device, storage.nbytes()));
}

void install_device_allocator() { c10::SetAllocator(at::kPrivateUse1, &device_memory, /*priority=*/255); }

}  // namespace npu_emulator
