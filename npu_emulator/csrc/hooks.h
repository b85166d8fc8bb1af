// What torch asks a PrivateUse1 backend for outside the dispatcher.
#pragma once

namespace npu_emulator {

void install_hooks();

}  // namespace npu_emulator
