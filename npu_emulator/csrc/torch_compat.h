// torch 2.7 to 2.15 in one source: what later releases have and earlier ones lack, under one name. The rest of the
// backend is written to the newest of these interfaces and asks for no version.
//
// A binary fits one minor release only: tables of virtual functions change between minors although this compiles.
#pragma once

#include <ATen/core/ATen_fwd.h>
#include <ATen/core/CachingHostAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/version.h>

#define NPU_TORCH_FROM(major, minor) \
  (TORCH_VERSION_MAJOR > (major) || (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

#if !NPU_TORCH_FROM(2, 7)
#error "npu_emulator is written for torch 2.7 and later"
#endif

namespace npu_emulator {

#if !NPU_TORCH_FROM(2, 13)
using at::DimnameList;  // named bare by torch's autocast macros
#endif

namespace compat {

// -- the device allocator, which torch.accelerator.memory_* of 2.9 and later asks -----------------------------------

#if NPU_TORCH_FROM(2, 9)
using MempoolId = c10::MempoolId_t;
#else
using MempoolId = std::pair<uint64_t, uint64_t>;
#endif

#if NPU_TORCH_FROM(2, 10)
using DeviceAllocator = c10::DeviceAllocator;
#elif NPU_TORCH_FROM(2, 9)
struct DeviceAllocator : c10::DeviceAllocator {
  virtual std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) = 0;
};
#else
struct DeviceAllocator : c10::Allocator {
  virtual bool initialized() = 0;
  virtual void emptyCache(MempoolId pool) = 0;
  virtual void recordStream(const c10::DataPtr& data, c10::Stream stream) = 0;
  virtual c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) = 0;
  virtual void resetAccumulatedStats(c10::DeviceIndex device) = 0;
  virtual void resetPeakStats(c10::DeviceIndex device) = 0;
  virtual std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) = 0;
};
#endif

// -- the allocator of pinned memory ---------------------------------------------------------------------------------

#if NPU_TORCH_FROM(2, 8)
using HostAllocator = at::HostAllocator;
inline void set_host_allocator(HostAllocator* allocator) {
  at::setHostAllocator(at::kPrivateUse1, allocator, /*priority=*/255);
}
#else
struct HostAllocator : c10::Allocator {
  virtual bool record_event(void* address, void* context, c10::Stream stream) = 0;
  virtual void empty_cache() = 0;
  virtual at::HostStats get_stats() = 0;
  virtual void reset_accumulated_stats() = 0;
  virtual void reset_peak_stats() = 0;
};
inline void set_host_allocator(HostAllocator*) {}  // torch asks the hooks alone
#endif

// What at::HostStats counts from 2.10 on.
struct HostCounts {
  c10::CachingAllocator::Stat allocations;
  c10::CachingAllocator::Stat allocated_bytes;
  c10::CachingAllocator::Stat active_requests;
  c10::CachingAllocator::Stat active_bytes;
};

inline at::HostStats host_stats(const HostCounts& counts) {
  at::HostStats stats;
#if NPU_TORCH_FROM(2, 10)
  stats.allocations = counts.allocations;
  stats.active_requests = counts.active_requests;
  stats.active_bytes = counts.active_bytes;
#else
  stats.allocation = counts.allocations;
#endif
  stats.allocated_bytes = counts.allocated_bytes;
  return stats;
}

// -- streams and what a device can do -------------------------------------------------------------------------------

#if NPU_TORCH_FROM(2, 10)
using DeviceCapability = c10::DeviceCapability;
#else
struct DeviceCapability {};
#endif

#if NPU_TORCH_FROM(2, 11)
using DeviceGuard = c10::impl::DeviceGuardImplInterface;
#else
struct DeviceGuard : c10::impl::DeviceGuardImplInterface {
  virtual DeviceCapability getDeviceCapability(c10::Device) const = 0;
  virtual void* getStreamNativeHandle(const c10::Stream) const = 0;
};
#endif

}  // namespace compat
}  // namespace npu_emulator
