#include "same_device.h"

#include <unordered_set>

#include "tensor_alias.h"

namespace npu_emulator {
namespace {

// Ops that take indices from either side.
const std::unordered_set<std::string> kIndexing = {
    "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index",
    "aten::_unsafe_index_put",
};

// Arguments that are read by the host by definition.
const std::unordered_set<std::string> kHostArguments = {"lengths", "batch_sizes"};

}  // namespace

SameDevice::SameDevice(const c10::OperatorHandle& op)
    : op_(op.operator_name().name), takes_host_indices_(kIndexing.count(op_) > 0) {
  for (const auto& argument : op.schema().arguments()) {
    arguments_.push_back(argument.name());
    written_.push_back(argument.alias_info() != nullptr && argument.alias_info()->isWrite());
  }
}

bool SameDevice::may_be_host(const at::Tensor& tensor, size_t argument) const {
  const auto& name = arguments_[argument];
  if (kHostArguments.count(name) > 0) return true;
  if (takes_host_indices_ && name == "indices") return true;
  return tensor.dim() == 0 && !written_[argument];
}

void SameDevice::see(const at::Tensor& tensor, size_t argument, Seen& seen) const {
  if (!tensor.defined()) return;
  bool npu = on_npu(tensor);
  if (!npu && may_be_host(tensor, argument)) return;
  auto mismatch = [&](const std::string& one, const std::string& other) {
    TORCH_CHECK(
        false, "Expected all tensors to be on the same device, but found at least two devices, ", one, " and ", other,
        "! (when checking argument for argument ", arguments_[argument], " in method ", op_, ")");
  };
  if (npu) {
    auto index = tensor.device().index();
    if (seen.host) mismatch("cpu", tensor.device().str());
    if (seen.npu && seen.index != index) mismatch(c10::Device(at::kPrivateUse1, seen.index).str(), tensor.device().str());
    seen.npu = true;
    seen.index = index;
  } else {
    if (seen.npu) mismatch(c10::Device(at::kPrivateUse1, seen.index).str(), tensor.device().str());
    seen.host = true;
  }
}

}  // namespace npu_emulator
