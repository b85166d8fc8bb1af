#include "tensor_alias.h"

#include <ATen/NestedTensorImpl.h>
#include <ATen/SparseCsrTensorImpl.h>
#include <ATen/SparseTensorImpl.h>
#include <c10/core/DeviceGuard.h>

#include "storage.h"

namespace npu_emulator {
namespace {

void copy_geometry(const at::Tensor& from, const at::Tensor& to) {
  to.unsafeGetTensorImpl()->set_sizes_and_strides(from.sizes(), from.strides(), from.storage_offset());
}

void copy_bits(const at::Tensor& from, const at::Tensor& to) {
  auto* source = from.unsafeGetTensorImpl();
  auto* target = to.unsafeGetTensorImpl();
  if (source->is_conj()) target->_set_conj(true);
  if (source->is_neg()) target->_set_neg(true);
  if (source->is_wrapped_number()) target->set_wrapped_number(true);
}

c10::DispatchKeySet keys(c10::DispatchKey backend, const at::Tensor& like) {
  c10::DispatchKeySet set(backend);
  return like._is_zerotensor() ? set.add(c10::DispatchKey::ZeroTensor) : set;
}

at::Tensor dense(c10::Storage storage, c10::DispatchKey backend, const at::Tensor& like) {
  auto tensor = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys(backend, like), like.dtype());
  copy_geometry(like, tensor);
  copy_bits(like, tensor);
  return tensor;
}

// The shape of a nested tensor is kept on the host, whatever its device.
at::Tensor nested(c10::Storage storage, c10::DispatchKey backend, const at::Tensor& like) {
  auto* shape = at::native::get_nested_tensor_impl(like);
  auto length = static_cast<int64_t>(shape->get_buffer_size());
  auto buffer = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), keys(backend, like), like.dtype());
  buffer.unsafeGetTensorImpl()->set_sizes_contiguous(length);
  return at::detail::make_tensor<at::native::NestedTensorImpl>(
      buffer, shape->get_nested_sizes(), shape->get_nested_strides(), shape->get_storage_offsets());
}

at::Tensor strided(c10::Storage storage, c10::DispatchKey backend, const at::Tensor& like) {
  return like.is_nested() ? nested(std::move(storage), backend, like) : dense(std::move(storage), backend, like);
}

// Copies the parts of a sparse tensor, each through `convert`.
template <class Convert>
void copy_coo(const at::Tensor& from, const at::Tensor& to, Convert convert) {
  auto* source = static_cast<at::SparseTensorImpl*>(from.unsafeGetTensorImpl());
  auto* target = static_cast<at::SparseTensorImpl*>(to.unsafeGetTensorImpl());
  target->raw_resize_(source->sparse_dim(), source->dense_dim(), from.sizes());
  target->set_indices_and_values_unsafe(convert(source->indices()), convert(source->values()));
  target->set_coalesced(source->coalesced());
}

template <class Convert>
void copy_compressed(const at::Tensor& from, const at::Tensor& to, Convert convert) {
  auto* source = static_cast<at::SparseCsrTensorImpl*>(from.unsafeGetTensorImpl());
  auto* target = static_cast<at::SparseCsrTensorImpl*>(to.unsafeGetTensorImpl());
  target->set_member_tensors(convert(source->compressed_indices()), convert(source->plain_indices()),
                             convert(source->values()), from.sizes());
}

template <class Convert>
void copy_sparse(const at::Tensor& from, const at::Tensor& to, Convert convert) {
  if (from.layout() == at::kSparse) {
    copy_coo(from, to, convert);
  } else {
    copy_compressed(from, to, convert);
  }
}

at::Tensor empty_sparse(c10::Device device, const at::Tensor& like) {
  c10::DeviceGuard on(device);  // a COO tensor takes the current device of its type
  bool npu = device.is_privateuseone();
  if (like.layout() == at::kSparse) {
    auto key = npu ? c10::DispatchKey::SparsePrivateUse1 : c10::DispatchKey::SparseCPU;
    return at::detail::make_tensor<at::SparseTensorImpl>(c10::DispatchKeySet(key), like.dtype());
  }
  auto key = npu ? c10::DispatchKey::SparseCsrPrivateUse1 : c10::DispatchKey::SparseCsrCPU;
  return at::detail::make_tensor<at::SparseCsrTensorImpl>(c10::DispatchKeySet(key), device, like.layout(),
                                                          like.dtype());
}

}  // namespace

bool is_sparse(const at::Tensor& tensor) {
  return tensor.layout() == at::kSparse || tensor.layout() == at::kSparseCsr || tensor.layout() == at::kSparseCsc ||
         tensor.layout() == at::kSparseBsr || tensor.layout() == at::kSparseBsc;
}

at::Tensor host_alias(const at::Tensor& tensor) {
  if (is_sparse(tensor)) {
    auto alias = empty_sparse(at::kCPU, tensor);
    copy_sparse(tensor, alias, host_alias);
    return alias;
  }
  TORCH_CHECK_NOT_IMPLEMENTED(
      tensor.layout() == at::kStrided, "the emulated NPU has no kernels for tensors of layout ", tensor.layout());
  return strided(host_twin(tensor.storage()), c10::DispatchKey::CPU, tensor);
}

at::Tensor AliasTable::add(const at::Tensor& tensor) {
  auto alias = host_alias(tensor);
  // Some host kernels keep what backward needs only if an argument says so.
  if (tensor.requires_grad()) alias.set_requires_grad(true);
  if (tensor.layout() == at::kStrided)
    twins_.push_back({tensor.storage(), alias.storage().unsafeGetStorageImpl()});
  entries_.push_back({tensor, alias});
  return alias;
}

c10::Storage AliasTable::npu_storage(const c10::Storage& host) {
  for (const auto& twin : twins_) {
    if (twin.host != host.unsafeGetStorageImpl()) continue;
    follow_twin(twin.npu);
    return twin.npu;
  }
  auto adopted = adopt(host, device_);
  twins_.push_back({adopted, host.unsafeGetStorageImpl()});
  return adopted;
}

void AliasTable::write_back(const at::Tensor& tensor, const at::Tensor& alias) {
  if (tensor.layout() != at::kStrided) {
    write_back_sparse(tensor, alias);
    return;
  }
  auto storage = npu_storage(alias.storage());
  auto* impl = tensor.unsafeGetTensorImpl();
  if (storage.unsafeGetStorageImpl() != tensor.storage().unsafeGetStorageImpl())
    impl->set_storage_keep_dtype(std::move(storage));
  if (tensor.is_nested()) return;
  if (alias.sizes() != tensor.sizes() || alias.strides() != tensor.strides() ||
      alias.storage_offset() != tensor.storage_offset())
    copy_geometry(alias, tensor);
}

at::Tensor AliasTable::to_npu(const at::Tensor& host) {
  if (!host.defined() || !host.device().is_cpu()) return host;
  for (const auto& entry : entries_) {
    if (entry.host.is_same(host)) return entry.npu;
  }
  if (is_sparse(host)) return sparse_to_npu(host);
  TORCH_CHECK_NOT_IMPLEMENTED(
      host.layout() == at::kStrided, "the emulated NPU cannot hold a tensor of layout ", host.layout());
  return strided(npu_storage(host.storage()), c10::DispatchKey::PrivateUse1, host);
}

at::Tensor AliasTable::sparse_to_npu(const at::Tensor& host) {
  auto tensor = empty_sparse({at::kPrivateUse1, device_}, host);
  write_back_sparse(tensor, host);
  return tensor;
}

void AliasTable::write_back_sparse(const at::Tensor& tensor, const at::Tensor& alias) {
  copy_sparse(alias, tensor, [this](const at::Tensor& part) { return to_npu(part); });
}

}  // namespace npu_emulator
