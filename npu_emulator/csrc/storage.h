// Device storage and its host twin: an npu StorageImpl and a CPU StorageImpl over the same bytes.
//
// torch asks a storage for its device, so one storage cannot serve both. The npu DataPtr's context owns the CPU
// storage; kernels of the host work on the twin, and a storage they make is adopted by the device.
#pragma once

#include <c10/core/Storage.h>

namespace npu_emulator {

c10::Storage new_storage(size_t bytes, c10::DeviceIndex device);
c10::Storage adopt(c10::Storage host, c10::DeviceIndex device);
c10::Storage host_twin(const c10::Storage& storage);

// After a host kernel resized the twin: points the npu storage at the twin's present bytes.
void follow_twin(const c10::Storage& storage);

// After the twin's bytes were moved to shared memory: the same, and the device stays charged for them.
void follow_shared_twin(const c10::Storage& storage);

void install_device_allocator();

}  // namespace npu_emulator
