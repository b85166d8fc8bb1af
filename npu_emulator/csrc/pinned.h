// Page-locked host memory: ordinary memory that remembers it is pinned.
#pragma once

#include <ATen/core/CachingHostAllocator.h>

namespace npu_emulator {

at::HostAllocator* pinned_allocator();
bool is_pinned(const void* address);
void install_pinned_allocator();

}  // namespace npu_emulator
