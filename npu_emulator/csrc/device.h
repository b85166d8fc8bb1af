// Current device, streams and events. Work is done when a call returns, so a stream is an identity and an order only.
#pragma once

#include <c10/core/Device.h>

namespace npu_emulator {

c10::DeviceIndex current_device();
void set_current_device(c10::DeviceIndex device);
// -1 stands for the current device.
c10::DeviceIndex resolve(c10::DeviceIndex device);

}  // namespace npu_emulator
