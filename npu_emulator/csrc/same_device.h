// All tensors of a call must be on one device, as on hardware; what may stay on the host is listed here.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

namespace npu_emulator {

class SameDevice {
 public:
  explicit SameDevice(const c10::OperatorHandle& op);

  // What the arguments of one call have shown so far.
  struct Seen {
    bool npu = false;
    bool host = false;
    c10::DeviceIndex index = -1;
  };

  // Notes one tensor argument; throws when it is on another device than those before it.
  void see(const at::Tensor& tensor, size_t argument, Seen& seen) const;

 private:
  bool may_be_host(const at::Tensor& tensor, size_t argument) const;

  std::string op_;
  std::vector<std::string> arguments_;
  std::vector<bool> written_;
  bool takes_host_indices_;
};

}  // namespace npu_emulator
