#include "pinned.h"

#include <c10/core/CPUAllocator.h>

#include <map>
#include <mutex>

namespace npu_emulator {
namespace {

struct PinnedBlock {
  at::DataPtr memory;
  size_t bytes;
  static void destroy(void* self);
};

class PinnedMemory final : public compat::HostAllocator {
 public:
  at::DataPtr allocate(size_t bytes) override {
    auto memory = c10::GetDefaultCPUAllocator()->allocate(bytes);
    auto* address = memory.get();
    auto* block = new PinnedBlock{std::move(memory), bytes};
    std::lock_guard<std::mutex> lock(mutex_);
    if (bytes > 0) blocks_[reinterpret_cast<uintptr_t>(address)] = bytes;
    counts_.allocations.increase(1);
    counts_.allocated_bytes.increase(bytes);
    counts_.active_requests.increase(1);
    counts_.active_bytes.increase(bytes);
    return {address, block, &PinnedBlock::destroy, at::Device(at::kCPU)};
  }

  void forget(const PinnedBlock& block) {
    std::lock_guard<std::mutex> lock(mutex_);
    blocks_.erase(reinterpret_cast<uintptr_t>(block.memory.get()));
    counts_.allocations.decrease(1);
    counts_.allocated_bytes.decrease(block.bytes);
    counts_.active_requests.decrease(1);
    counts_.active_bytes.decrease(block.bytes);
  }

  bool holds(const void* address) {
    auto wanted = reinterpret_cast<uintptr_t>(address);
    std::lock_guard<std::mutex> lock(mutex_);
    auto after = blocks_.upper_bound(wanted);
    if (after == blocks_.begin()) return false;
    auto [start, bytes] = *std::prev(after);
    return wanted < start + bytes;
  }

  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  bool record_event(void*, void*, c10::Stream) override { return true; }
  void empty_cache() override {}
  at::HostStats get_stats() override { return compat::host_stats(counts()); }
  compat::HostCounts counts() {
    std::lock_guard<std::mutex> lock(mutex_);
    return counts_;
  }
  void reset_accumulated_stats() override { visit([](auto& stat) { stat.reset_accumulated(); }); }
  void reset_peak_stats() override { visit([](auto& stat) { stat.reset_peak(); }); }

 private:
  template <class Visitor>
  void visit(Visitor visitor) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto* stat : {&counts_.allocations, &counts_.allocated_bytes, &counts_.active_requests, &counts_.active_bytes})
      visitor(*stat);
  }

  std::mutex mutex_;
  std::map<uintptr_t, size_t> blocks_;
  compat::HostCounts counts_;
};

PinnedMemory& pinned_memory() {
  static auto* memory = new PinnedMemory();  // never destroyed: tensors may outlive static storage
  return *memory;
}

void PinnedBlock::destroy(void* self) {
  auto* block = static_cast<PinnedBlock*>(self);
  pinned_memory().forget(*block);
  delete block;
}

}  // namespace

compat::HostAllocator* pinned_allocator() { return &pinned_memory(); }
compat::HostCounts pinned_counts() { return pinned_memory().counts(); }
bool is_pinned(const void* address) { return pinned_memory().holds(address); }
void install_pinned_allocator() { compat::set_host_allocator(&pinned_memory()); }

}  // namespace npu_emulator
