// Page-locked host memory: ordinary memory that remembers it is pinned.
#pragma once

#include "torch_compat.h"

namespace npu_emulator {

compat::HostAllocator* pinned_allocator();
// What is pinned now, and was.
compat::HostCounts pinned_counts();
bool is_pinned(const void* address);
void install_pinned_allocator();

}  // namespace npu_emulator
