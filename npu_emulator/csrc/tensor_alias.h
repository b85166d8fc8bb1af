// A host tensor over the bytes of an npu tensor, and the way back for what a host kernel returns.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

namespace npu_emulator {

inline bool on_npu(const at::Tensor& tensor) {
  return tensor.defined() && tensor.unsafeGetTensorImpl()->device_type() == at::kPrivateUse1;
}

// COO or one of the compressed layouts.
bool is_sparse(const at::Tensor& tensor);

// Zero-copy; dense, nested and sparse. The alias carries sizes, strides, offset and the conjugate and negative bits.
at::Tensor host_alias(const at::Tensor& tensor);

// The aliases of one call, and how its results find back to npu storage.
class AliasTable {
 public:
  explicit AliasTable(c10::DeviceIndex device) : device_(device) {}

  at::Tensor add(const at::Tensor& tensor);

  // A written argument whose alias changed shape or storage takes the change over.
  void write_back(const at::Tensor& tensor, const at::Tensor& alias);

  // A result: the argument itself if the kernel returned its alias, a view if it shares an argument's storage,
  // otherwise a new tensor whose storage the device adopts.
  at::Tensor to_npu(const at::Tensor& host);

 private:
  struct Entry {
    at::Tensor npu;
    at::Tensor host;
  };
  struct Twins {
    c10::Storage npu;
    c10::StorageImpl* host;
  };
  c10::Storage npu_storage(const c10::Storage& host);
  at::Tensor sparse_to_npu(const at::Tensor& host);
  void write_back_sparse(const at::Tensor& tensor, const at::Tensor& alias);

  c10::DeviceIndex device_;
  c10::SmallVector<Entry, 6> entries_;
  c10::SmallVector<Twins, 6> twins_;
};

}  // namespace npu_emulator
