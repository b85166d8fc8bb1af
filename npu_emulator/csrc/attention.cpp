// Which attention kernel a call takes: the one the host would take, so that memory and results match it. The host's
// choice looks at shapes and types only, so it serves npu tensors, fake tensors (torch.compile) and subclasses alike.
#include <ATen/native/transformers/attention.h>
#include <ATen/ops/_fused_sdp_choice_native.h>

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &_fused_sdp_choice_cpp)
}
