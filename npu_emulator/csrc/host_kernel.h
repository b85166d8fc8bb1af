// The one kernel behind every op: relabel npu tensors as host tensors over the same bytes, run the host's kernel,
// relabel the results.
#pragma once

namespace npu_emulator {

// Registers it for each aten op that has a host kernel, and as the fallback for ops of other libraries.
void install_host_kernels();

}  // namespace npu_emulator
