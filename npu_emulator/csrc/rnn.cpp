// LSTM and GRU cells: for a device other than the host torch calls fused cells, which the host does not have.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/library.h>

namespace npu_emulator {
namespace {

using Bias = std::optional<at::Tensor>;

at::Tensor with_bias(const at::Tensor& gates, const Bias& bias) {
  return bias.has_value() && bias->defined() ? gates + *bias : gates;
}

at::Tensor join(const std::vector<at::Tensor>& gates) { return at::cat(gates, 1); }
at::Tensor sigmoid_slope(const at::Tensor& activated) { return activated * (1 - activated); }
at::Tensor tanh_slope(const at::Tensor& activated) { return 1 - activated * activated; }

// input_gates, hidden_gates: [batch, 4 * hidden]; cx: [batch, hidden]. Gate order: in, forget, cell, out.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                                         const at::Tensor& cx, const Bias& input_bias,
                                                         const Bias& hidden_bias) {
  auto gates = (with_bias(input_gates, input_bias) + with_bias(hidden_gates, hidden_bias)).chunk(4, 1);
  at::Tensor in = gates[0].sigmoid(), forget = gates[1].sigmoid(), cell = gates[2].tanh(), out = gates[3].sigmoid();
  auto cy = forget * cx + in * cell;
  return {out * cy.tanh(), cy, join({in, forget, cell, out})};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const Bias& grad_hy, const Bias& grad_cy,
                                                                  const at::Tensor& cx, const at::Tensor& cy,
                                                                  const at::Tensor& workspace, bool has_bias) {
  if (!(grad_hy.has_value() && grad_hy->defined()) && !(grad_cy.has_value() && grad_cy->defined())) return {};
  auto gates = workspace.chunk(4, 1);
  const auto &in = gates[0], &forget = gates[1], &cell = gates[2], &out = gates[3];
  auto activated = cy.tanh();
  auto hidden = grad_hy.has_value() && grad_hy->defined() ? *grad_hy : at::zeros_like(cy);
  auto state = with_bias(hidden * out * tanh_slope(activated), grad_cy);
  auto grad_gates = join({state * cell * sigmoid_slope(in), state * cx * sigmoid_slope(forget),
                          state * in * tanh_slope(cell), hidden * activated * sigmoid_slope(out)});
  return {grad_gates, state * forget, has_bias ? grad_gates.sum(0) : at::Tensor()};
}

// input_gates, hidden_gates: [batch, 3 * hidden]; hx: [batch, hidden]. Gate order: reset, update, new.
std::tuple<at::Tensor, at::Tensor> gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                            const at::Tensor& hx, const Bias& input_bias, const Bias& hidden_bias) {
  auto input = with_bias(input_gates, input_bias).chunk(3, 1);
  auto hidden = with_bias(hidden_gates, hidden_bias).chunk(3, 1);
  auto reset = (input[0] + hidden[0]).sigmoid();
  auto update = (input[1] + hidden[1]).sigmoid();
  auto fresh = (input[2] + reset * hidden[2]).tanh();
  return {fresh + update * (hx - fresh), join({reset, update, fresh, hx, hidden[2]})};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> gru_cell_backward(
    const at::Tensor& grad_hy, const at::Tensor& workspace, bool has_bias) {
  auto saved = workspace.chunk(5, 1);
  const auto &reset = saved[0], &update = saved[1], &fresh = saved[2], &hx = saved[3], &hidden_new = saved[4];
  auto grad_update = grad_hy * (hx - fresh) * sigmoid_slope(update);
  auto grad_fresh = grad_hy * (1 - update) * tanh_slope(fresh);
  auto grad_reset = grad_fresh * hidden_new * sigmoid_slope(reset);
  auto grad_input = join({grad_reset, grad_update, grad_fresh});
  auto grad_hidden = join({grad_reset, grad_update, grad_fresh * reset});
  return {grad_input, grad_hidden, grad_hy * update, has_bias ? grad_input.sum(0) : at::Tensor(),
          has_bias ? grad_hidden.sum(0) : at::Tensor()};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_thnn_fused_lstm_cell", lstm_cell);
  m.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
  m.impl("_thnn_fused_gru_cell", gru_cell);
  m.impl("_thnn_fused_gru_cell_backward", gru_cell_backward);
}

}  // namespace npu_emulator
