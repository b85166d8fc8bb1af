// The memory account of every emulated device: what is in use, its peak, the limit, and the error beyond it.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Device.h>

namespace npu_emulator {

// Fixes the number of devices and the memory of each, in bytes. Called once, before any allocation.
void open_devices(int64_t count, int64_t bytes_each);
c10::DeviceIndex device_count();
void check_device(int64_t device);

// Book `bytes` on a device; throws c10::OutOfMemoryError beyond the limit. `refund` takes them off again.
void charge(c10::DeviceIndex device, size_t bytes);
void refund(c10::DeviceIndex device, size_t bytes) noexcept;

// True in a process that was forked after the device had been used: it refuses memory there.
bool forked_after_use();

// The share of its memory that this process may use, in (0, 1].
void set_memory_fraction(c10::DeviceIndex device, double fraction);
double memory_fraction(c10::DeviceIndex device);

// Gives back what the (modelled) caching allocators hold in reserve.
void release_reserves();
std::pair<size_t, size_t> free_and_total(c10::DeviceIndex device);
c10::CachingDeviceAllocator::DeviceStats stats_of(c10::DeviceIndex device);
int64_t allocated_bytes(c10::DeviceIndex device);
void reset_peaks(c10::DeviceIndex device);
void reset_totals(c10::DeviceIndex device);

// While one lives, host memory this thread allocates is charged to `device`.
class ChargeTo {
 public:
  explicit ChargeTo(c10::DeviceIndex device);
  ~ChargeTo();
  ChargeTo(const ChargeTo&) = delete;
  ChargeTo& operator=(const ChargeTo&) = delete;

 private:
  c10::DeviceIndex previous_;
};

// Puts the charging allocator in front of torch's host allocator.
void install_charging_allocator();

}  // namespace npu_emulator
