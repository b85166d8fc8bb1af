// Random numbers: every device has an engine of its own; host kernels draw from it.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/function_schema.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

namespace npu_emulator {

const at::Generator& default_generator(c10::DeviceIndex device);
at::Generator new_generator(c10::DeviceIndex device);

// From now on all devices draw from the host's default generator, so that a program draws the same on it as on the host.
void draw_from_host();

// Whether an argument of an op is a generator, or may be.
bool names_a_generator(const c10::Argument& argument);

// The host generator behind an npu generator. Throws if `generator` is not an npu generator.
at::Generator host_engine(const at::Generator& generator);

// For ops that draw from the host's default generator without naming one: while one lives, whatever this thread calls
// draws from the device's engine instead. Other threads draw on from the host's.
class EngineLoan {
 public:
  explicit EngineLoan(c10::DeviceIndex device);
  ~EngineLoan();
  EngineLoan(const EngineLoan&) = delete;
  EngineLoan& operator=(const EngineLoan&) = delete;

 private:
  at::Generator engine_;
  const at::Generator* previous_;
  c10::impl::ForceDispatchKeyGuard watching_;
};

}  // namespace npu_emulator
