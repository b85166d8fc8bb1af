// Times for torch.profiler and torch.autograd.profiler.
#pragma once

namespace npu_emulator {

void install_profiler();

}  // namespace npu_emulator
