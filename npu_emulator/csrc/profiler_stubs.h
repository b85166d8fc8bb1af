// What torch's profiler asks of the device.
#pragma once

namespace npu_emulator {

// Lets the profiler take device times. Called once.
void install_profiler_stubs();

}  // namespace npu_emulator
