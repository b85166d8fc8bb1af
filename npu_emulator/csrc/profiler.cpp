// What torch's profilers ask of a device: the host's clock, since work is done when a call returns.
#include "profiler.h"

#include <torch/csrc/profiler/stubs/base.h>

#include <chrono>
#include <memory>

#include "device.h"
#include "memory.h"

namespace npu_emulator {
namespace {

using torch::profiler::impl::ProfilerVoidEventStub;

struct Clock final : torch::profiler::impl::ProfilerStubs {
  void record(c10::DeviceIndex* device, ProfilerVoidEventStub* event, int64_t* host_ns) const override {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
    if (device != nullptr) *device = current_device();
    if (host_ns != nullptr) *host_ns = ns;
    *event = std::make_shared<int64_t>(ns);
  }
  // Microseconds.
  float elapsed(const ProfilerVoidEventStub* start, const ProfilerVoidEventStub* end) const override {
    auto ns = *static_cast<int64_t*>(end->get()) - *static_cast<int64_t*>(start->get());
    return static_cast<float>(static_cast<double>(ns) / 1e3);
  }
  void onEachDevice(std::function<void(int)> visit) const override {
    for (c10::DeviceIndex device = 0; device < device_count(); ++device) visit(device);
  }
  bool enabled() const override { return true; }
  void mark(const char*) const override {}
  void rangePush(const char*) const override {}
  void rangePop() const override {}
  void synchronize() const override {}
};

}  // namespace

void install_profiler() {
  static Clock clock;
  torch::profiler::impl::registerPrivateUse1Methods(&clock);
}

}  // namespace npu_emulator
