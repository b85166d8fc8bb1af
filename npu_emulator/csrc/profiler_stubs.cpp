// Device times for torch.autograd.profiler.profile(use_device="npu"). Work is done when a call returns, so that the
// host's clock is the device's.
#include <chrono>

#include <torch/csrc/profiler/stubs/base.h>

#include "memory.h"
#include "profiler_stubs.h"

namespace npu_emulator {

namespace {

using torch::profiler::impl::ProfilerVoidEventStub;

int64_t nanoseconds() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

struct HostClock final : torch::profiler::impl::ProfilerStubs {
  void record(c10::DeviceIndex* device, ProfilerVoidEventStub* event, int64_t* cpu_ns) const override {
    auto now = nanoseconds();
    if (device != nullptr) *device = 0;
    if (cpu_ns != nullptr) *cpu_ns = now;
    *event = std::make_shared<int64_t>(now);
  }
  // Microseconds.
  float elapsed(const ProfilerVoidEventStub* from, const ProfilerVoidEventStub* to) const override {
    auto at = [](const ProfilerVoidEventStub* event) { return *std::static_pointer_cast<int64_t>(*event); };
    return static_cast<float>(at(to) - at(from)) / 1000.0f;
  }
  void mark(const char*) const override {}
  void rangePush(const char*) const override {}
  void rangePop() const override {}
  bool enabled() const override { return true; }
  void onEachDevice(std::function<void(int)> visit) const override {
    for (int device = 0; device < device_count(); ++device) visit(device);
  }
  void synchronize() const override {}
};

}  // namespace

void install_profiler_stubs() {
  static HostClock clock;
  torch::profiler::impl::registerPrivateUse1Methods(&clock);
}

}  // namespace npu_emulator
