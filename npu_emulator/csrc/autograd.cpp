// The threads of autograd's engine, of which there is one for each device.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <chrono>
#include <future>
#include <thread>

#include "device.h"
#include "memory.h"

namespace npu_emulator {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);

// A thread lets go of one task before it takes the next, so all earlier ones are gone when a further one is done. That
// one is begun by a thread of its own, since a task keeps what Python has laid down for the thread it comes from.
void finish_backward(int64_t device) {
  check_device(device);
  auto one = at::ones({1}, at::TensorOptions(at::Device(at::kPrivateUse1, static_cast<c10::DeviceIndex>(device))));
  std::packaged_task<void()> task([one] { one.detach().requires_grad_().clone().backward(); });
  auto done = task.get_future();
  std::thread(std::move(task)).detach();
  if (done.wait_for(kPatience) == std::future_status::ready) done.get();
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(npu_emulator, m) { m.def("finish_backward(int device) -> ()", finish_backward); }

}  // namespace npu_emulator
