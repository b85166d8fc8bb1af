#include "generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Utils.h>
#include <torch/library.h>

#include <cstring>
#include <deque>

#include "device.h"
#include "memory.h"
#include "position.h"

namespace npu_emulator {
namespace {

// Draws the host's numbers, and has the state of an accelerator's generator: seed and offset, of 8 bytes each. The
// offset counts the 32-bit numbers that the host's engine has given.
class NpuGenerator final : public c10::GeneratorImpl {
 public:
  NpuGenerator(c10::DeviceIndex device, at::Generator engine)
      : GeneratorImpl({at::kPrivateUse1, device}, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
        engine_(std::move(engine)) {
    position_.start(host()->current_seed());
  }

  // From now on the numbers are those of the host's default generator, as if this device were the host. A state is then
  // the seed and the number of a kept state of that generator, since whoever seeds it says nothing here.
  void draw_from_host() {
    engine_ = at::detail::getDefaultCPUGenerator();
    is_host_ = true;
  }

  void set_current_seed(uint64_t seed) override {
    std::lock_guard<std::mutex> lock(host()->mutex_);
    is_host_ ? host()->set_current_seed(seed) : go_to(seed, 0);
  }
  uint64_t current_seed() const override { return host()->current_seed(); }
  uint64_t seed() override {
    auto seed = c10::detail::getNonDeterministicRandom();
    set_current_seed(seed);
    return seed;
  }

  void set_offset(uint64_t offset) override {
    std::lock_guard<std::mutex> lock(host()->mutex_);
    go_to(host()->current_seed(), offset);
  }
  uint64_t get_offset() const override {
    std::lock_guard<std::mutex> lock(host()->mutex_);
    if (is_host_) {
      kept_.push_back(host()->get_state());
      return kept_.size() - 1;
    }
    // The second of a pair of normals, which the host keeps for later, has no place in an offset.
    host()->set_next_float_normal_sample(std::nullopt);
    host()->set_next_double_normal_sample(std::nullopt);
    return position_.of(host()->engine());
  }

  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    const uint64_t words[] = {current_seed(), get_offset()};
    auto state = at::detail::empty_cpu({sizeof words}, at::kByte, std::nullopt, std::nullopt, std::nullopt, std::nullopt);
    std::memcpy(state.mutable_data_ptr(), words, sizeof words);
    return state.getIntrusivePtr();
  }
  void set_state(const c10::TensorImpl& state) override {
    at::detail::check_rng_state(state);
    uint64_t words[2];
    TORCH_CHECK(
        state.numel() == sizeof words, "RNG state is wrong size: an npu generator's is 16 bytes, a seed and an offset; got ",
        state.numel(), " bytes");
    std::memcpy(words, state.data(), sizeof words);
    std::lock_guard<std::mutex> lock(host()->mutex_);
    go_to(words[0], words[1]);
  }

  const at::Generator& engine() const { return engine_; }

 private:
  at::CPUGeneratorImpl* host() const { return engine_.get<at::CPUGeneratorImpl>(); }

  void go_to(uint64_t seed, uint64_t offset) {
    if (is_host_) {
      TORCH_CHECK(offset < kept_.size(), "the state of an npu generator that draws from the host has to be one of its own");
      return host()->set_state(*kept_[offset]);
    }
    if (offset == 0 || seed != host()->current_seed()) {
      host()->set_current_seed(seed);
      position_.start(seed);
    }
    host()->set_next_float_normal_sample(std::nullopt);
    host()->set_next_double_normal_sample(std::nullopt);
    host()->set_engine(position_.at(offset));
  }

  NpuGenerator* clone_impl() const override {
    std::lock_guard<std::mutex> lock(host()->mutex_);
    auto* copy = new NpuGenerator(device_.index(), engine_.clone());
    if (!is_host_) copy->position_ = position_;
    return copy;
  }

  at::Generator engine_;
  bool is_host_ = false;
  mutable Position position_;
  mutable std::deque<c10::intrusive_ptr<c10::TensorImpl>> kept_;
};

thread_local const at::Generator* lent = nullptr;

// No part of torch uses this key, and it stands above all that decompose or compute.
constexpr auto kWatching = c10::DispatchKey::TESTING_ONLY_GenericMode;

// Within __torch_dispatch__ torch excludes it, so including it is not enough.
c10::DispatchKeySet included() { return c10::impl::tls_local_dispatch_key_set().included_.add(kWatching); }
c10::DispatchKeySet excluded() { return c10::impl::tls_local_dispatch_key_set().excluded_.remove(kWatching); }

void hand_over(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  const auto& arguments = op.schema().arguments();
  auto first = stack->size() - arguments.size();
  for (size_t i = 0; i < arguments.size(); ++i) {
    auto& value = (*stack)[first + i];
    if (value.isNone() && names_a_generator(arguments[i])) value = *lent;
  }
  op.redispatchBoxed(keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kWatching), stack);
}

}  // namespace

bool names_a_generator(const c10::Argument& argument) {
  const auto& type = *argument.real_type();
  if (type.kind() == c10::TypeKind::GeneratorType) return true;
  const auto* optional = type.castRaw<c10::OptionalType>();
  return optional != nullptr && optional->getElementType()->kind() == c10::TypeKind::GeneratorType;
}

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

void draw_from_host() {
  for (c10::DeviceIndex index = 0; index < device_count(); ++index)
    static_cast<NpuGenerator*>(default_generator(index).unsafeGetGeneratorImpl())->draw_from_host();
}

at::Generator host_engine(const at::Generator& generator) {
  TORCH_CHECK(
      generator.device().is_privateuseone(), "Expected a 'npu' device type for generator but found '",
      generator.device().type(), "'");
  return static_cast<NpuGenerator*>(generator.unsafeGetGeneratorImpl())->engine();
}

EngineLoan::EngineLoan(c10::DeviceIndex device)
    : engine_(host_engine(default_generator(device))), previous_(lent), watching_(included(), excluded()) {
  lent = &engine_;
}

EngineLoan::~EngineLoan() { lent = previous_; }

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&hand_over>());
}

}  // namespace npu_emulator
