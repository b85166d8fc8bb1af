// Random numbers: every device has an engine of its own; host kernels draw from it.
#pragma once

#include <ATen/core/Generator.h>
#include <mutex>

namespace npu_emulator {

const at::Generator& default_generator(c10::DeviceIndex device);
at::Generator new_generator(c10::DeviceIndex device);

// The host generator behind an npu generator. Throws if `generator` is not an npu generator.
at::Generator host_engine(const at::Generator& generator);

// For ops that draw from the host's default generator without naming one: lends it the device's engine.
class EngineLoan {
 public:
  explicit EngineLoan(c10::DeviceIndex device);
  ~EngineLoan();
  EngineLoan(const EngineLoan&) = delete;
  EngineLoan& operator=(const EngineLoan&) = delete;

 private:
  std::unique_lock<std::mutex> one_at_a_time_;
  at::Generator engine_;
  c10::intrusive_ptr<c10::TensorImpl> host_state_;
};

}  // namespace npu_emulator
