#include "device.h"

#include <atomic>
#include <chrono>
#include <vector>

#include "memory.h"
#include "torch_compat.h"

namespace npu_emulator {
namespace {

constexpr c10::StreamId kStreamsInPool = 32;

thread_local c10::DeviceIndex active_device = 0;

std::vector<c10::StreamId>& active_streams() {
  thread_local std::vector<c10::StreamId> ids(static_cast<size_t>(device_count()), 0);
  return ids;
}

struct Event {
  std::chrono::steady_clock::time_point recorded;
};

struct DeviceGuard final : compat::DeviceGuard {
  c10::DeviceType type() const override { return c10::DeviceType::PrivateUse1; }

  c10::Device exchangeDevice(c10::Device device) const override {
    auto previous = getDevice();
    setDevice(device);
    return previous;
  }
  c10::Device getDevice() const override { return {type(), active_device}; }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.type() == type(), "expected an npu device, got ", device);
    if (device.has_index()) set_current_device(device.index());
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.has_index()) active_device = device.index();
  }
  c10::DeviceIndex deviceCount() const noexcept override { return device_count(); }
  compat::DeviceCapability getDeviceCapability(c10::Device) const override { return {}; }

  c10::Stream stream(c10::Device device, c10::StreamId id) const {
    return c10::Stream(c10::Stream::UNSAFE, c10::Device(type(), resolve(device.index())), id);
  }
  c10::Stream getStream(c10::Device device) const override {
    return stream(device, active_streams()[resolve(device.index())]);
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return stream(device, 0); }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return getNewStream(device, 0); }
  c10::Stream getNewStream(c10::Device device, int) const override {
    static std::atomic<c10::StreamId> issued{0};
    return stream(device, 1 + issued++ % kStreamsInPool);
  }
  c10::Stream exchangeStream(c10::Stream next) const override {
    auto previous = getStream(next.device());
    active_streams()[resolve(next.device_index())] = next.id();
    return previous;
  }
  void* getStreamNativeHandle(const c10::Stream next) const override { return reinterpret_cast<void*>(next.id()); }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}

  void record(void** event, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {
    if (*event == nullptr) *event = new Event();
    static_cast<Event*>(*event)->recorded = std::chrono::steady_clock::now();
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override {}
  double elapsedTime(void* start, void* end, const c10::DeviceIndex) const override {
    std::chrono::duration<double, std::milli> elapsed =
        static_cast<Event*>(end)->recorded - static_cast<Event*>(start)->recorded;
    return elapsed.count();
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, DeviceGuard);

}  // namespace

c10::DeviceIndex current_device() { return active_device; }

void set_current_device(c10::DeviceIndex device) {
  check_device(device);
  active_device = device;
}

c10::DeviceIndex resolve(c10::DeviceIndex device) { return device < 0 ? active_device : device; }

}  // namespace npu_emulator
