#include "hooks.h"

#include <ATen/detail/PrivateUse1HooksInterface.h>

#include <cstring>

#include "device.h"
#include "generator.h"
#include "memory.h"
#include "pinned.h"
#include "storage.h"

namespace npu_emulator {
namespace {

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return device_count(); }

  void setCurrentDevice(c10::DeviceIndex device) const override { set_current_device(device); }
  c10::DeviceIndex getCurrentDevice() const override { return current_device(); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    auto previous = current_device();
    set_current_device(device);
    return previous;
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return device < 0 ? current_device() : exchangeDevice(device);
  }

  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override {
    return default_generator(device);
  }
  at::Generator getNewGenerator(c10::DeviceIndex device) const override { return new_generator(device); }

  bool isPinnedPtr(const void* address) const override { return is_pinned(address); }
  at::Allocator* getPinnedMemoryAllocator() const override { return pinned_allocator(); }

  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    auto resized = new_storage(bytes, storage.device().index());
    auto kept = std::min(bytes, storage.nbytes());
    if (kept > 0) std::memcpy(resized.mutable_data(), storage.data(), kept);
    auto* impl = storage.unsafeGetStorageImpl();
    impl->set_nbytes(bytes);
    impl->set_data_ptr_noswap(std::move(resized.mutable_data_ptr()));
  }
};

}  // namespace

void install_hooks() {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
}

}  // namespace npu_emulator
