#include "generator.h"

#include <ATen/CPUGeneratorImpl.h>

#include <deque>

#include "device.h"
#include "memory.h"

namespace npu_emulator {
namespace {

class NpuGenerator final : public c10::GeneratorImpl {
 public:
  NpuGenerator(c10::DeviceIndex device, at::Generator engine)
      : GeneratorImpl({at::kPrivateUse1, device}, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
        engine_(std::move(engine)) {}

  void set_current_seed(uint64_t seed) override { engine_.set_current_seed(seed); }
  uint64_t current_seed() const override { return engine_.current_seed(); }
  uint64_t seed() override { return engine_.seed(); }
  void set_state(const c10::TensorImpl& state) override { engine_.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return engine_.unsafeGetGeneratorImpl()->get_state();
  }
  void set_offset(uint64_t) override { no_offset(); }
  uint64_t get_offset() const override { no_offset(); }

  const at::Generator& engine() const { return engine_; }

 private:
  [[noreturn]] static void no_offset() {
    TORCH_CHECK_NOT_IMPLEMENTED(
        false, "the emulated NPU's generator has no offset: use get_state() and set_state()");
    std::abort();  // unreachable: the check above always throws
  }
  NpuGenerator* clone_impl() const override { return new NpuGenerator(device_.index(), engine_.clone()); }

  at::Generator engine_;
};

std::mutex loan_mutex;

}  // namespace

at::Generator new_generator(c10::DeviceIndex device) {
  auto index = resolve(device);
  check_device(index);
  return at::make_generator<NpuGenerator>(index, at::detail::createCPUGenerator());
}

const at::Generator& default_generator(c10::DeviceIndex device) {
  static auto* generators = new std::deque<at::Generator>();
  static std::once_flag once;
  std::call_once(once, [] {
    for (c10::DeviceIndex index = 0; index < device_count(); ++index) generators->push_back(new_generator(index));
  });
  auto index = resolve(device);
  check_device(index);
  return (*generators)[index];
}

at::Generator host_engine(const at::Generator& generator) {
  TORCH_CHECK(
      generator.device().is_privateuseone(), "Expected a 'npu' device type for generator but found '",
      generator.device().type(), "'");
  return static_cast<NpuGenerator*>(generator.unsafeGetGeneratorImpl())->engine();
}

EngineLoan::EngineLoan(c10::DeviceIndex device)
    : one_at_a_time_(loan_mutex), engine_(host_engine(default_generator(device))) {
  auto* host = at::detail::getDefaultCPUGenerator().unsafeGetGeneratorImpl();
  std::scoped_lock lock(host->mutex_, engine_.mutex());
  host_state_ = host->get_state();
  host->set_state(*engine_.unsafeGetGeneratorImpl()->get_state());
}

EngineLoan::~EngineLoan() {
  auto* host = at::detail::getDefaultCPUGenerator().unsafeGetGeneratorImpl();
  std::scoped_lock lock(host->mutex_, engine_.mutex());
  engine_.unsafeGetGeneratorImpl()->set_state(*host->get_state());
  host->set_state(*host_state_);
}

}  // namespace npu_emulator
