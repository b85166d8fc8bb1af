// Kernels that touch storage itself: allocation, resizing, set_, copies between devices.
#include <ATen/EmptyTensor.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/_has_compatible_shallow_copy_type_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include "device.h"
#include "memory.h"
#include "refusals.h"
#include "storage.h"
#include "tensor_alias.h"

namespace npu_emulator {
namespace {

constexpr c10::DispatchKeySet kNpu(c10::DispatchKey::PrivateUse1);

// The allocator asks for the current device, so a factory makes its device the current one.
class OnDevice {
 public:
  explicit OnDevice(c10::DeviceIndex device) : previous_(current_device()) { set_current_device(resolve(device)); }
  ~OnDevice() { set_current_device(previous_); }

 private:
  c10::DeviceIndex previous_;
};

// With torch.use_deterministic_algorithms(True), memory that nobody wrote holds NaN, or the largest integer.
at::Tensor filled_if_deterministic(at::Tensor fresh) {
  const auto& context = at::globalContext();
  if (context.deterministicAlgorithms() && context.deterministicFillUninitializedMemory()) {
    auto host = host_alias(fresh);
    at::native::fill_empty_deterministic_(host);
  }
  return fresh;
}

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                 std::optional<at::Device> device, std::optional<bool> pin_memory,
                 std::optional<at::MemoryFormat> format) {
  TORCH_CHECK(!pin_memory.value_or(false), "Only dense CPU tensors can be pinned");
  OnDevice on(device.has_value() ? device->index() : -1);
  return filled_if_deterministic(at::detail::empty_generic(size, c10::GetAllocator(at::kPrivateUse1), kNpu,
                                                           at::dtype_or_default(dtype), format));
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout> layout, std::optional<at::Device> device,
                         std::optional<bool> pin_memory) {
  TORCH_CHECK(!pin_memory.value_or(false), "Only dense CPU tensors can be pinned");
  OnDevice on(device.has_value() ? device->index() : -1);
  return filled_if_deterministic(at::detail::empty_strided_generic(
      size, stride, c10::GetAllocator(at::kPrivateUse1), kNpu, at::dtype_or_default(dtype)));
}

const at::Tensor& resize_(const at::Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat> format) {
  OnDevice on(self.device().index());
  AliasTable aliases(self.device().index());
  auto alias = aliases.add(self);
  ChargeTo charge(self.device().index());
  at::native::resize_(alias, size, format);
  aliases.write_back(self, alias);
  return self;
}

at::Tensor& set_storage_offset(at::Tensor& self, at::Storage source, int64_t offset, at::IntArrayRef size,
                               at::IntArrayRef stride) {
  TORCH_CHECK(source.device_type() == at::kPrivateUse1, "cannot set an npu tensor to a storage on ", source.device());
  OnDevice on(source.device().index());
  return at::native::set_storage_cpu_(self, std::move(source), offset, size, stride);
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source) {
  auto length = static_cast<int64_t>(source.nbytes() / self.itemsize());
  return set_storage_offset(self, std::move(source), 0, {length}, {});
}

at::Tensor& set_tensor(at::Tensor& self, const at::Tensor& source) {
  return set_storage_offset(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

at::Tensor& set_empty(at::Tensor& self) {
  return set_storage_offset(self, new_storage(0, self.device().index()), 0, {0}, {});
}

at::Tensor host_side(const at::Tensor& tensor) { return on_npu(tensor) ? host_alias(tensor) : tensor; }

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking) {
  refuse_dims_of_copy(self, dst);
  at::AutoDispatchBelowADInplaceOrView below_autograd;
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  host_side(dst).copy_(host_side(self), non_blocking);
  return dst;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& dst) {
  dst.resize_(self.sizes());
  return copy_from(self, dst, /*non_blocking=*/false);
}

void record_stream(at::Tensor&, at::Stream) {}

// A parameter may be pointed at data on another device (`param.data = other`), as offloading does.
bool has_compatible_shallow_copy_type(const at::Tensor& self, const at::Tensor& from) {
  return self.layout() == at::kStrided && from.layout() == at::kStrided;
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("resize_", resize_);
  m.impl("set_", set_empty);
  m.impl("set_.source_Tensor", set_tensor);
  m.impl("set_.source_Storage", set_storage);
  m.impl("set_.source_Storage_storage_offset", set_storage_offset);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("record_stream", record_stream);
  m.impl("_has_compatible_shallow_copy_type", has_compatible_shallow_copy_type);
}

// Autograd has nothing to add. Before 2.13 torch says so itself for its own devices only.
TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) {
  m.impl("_has_compatible_shallow_copy_type", torch::CppFunction::makeFallthrough());
}

// A copy resolves lazy conjugation and negation itself: the host's copy, which it ends in, reads the bits.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(aten, Negative, m) { m.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

}  // namespace npu_emulator
