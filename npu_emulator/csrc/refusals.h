// Which ops must ask before they run on which types. The knowledge is data, read and judged in Python; here are only
// the bits that say "ask".
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <vector>

namespace npu_emulator {

// One bit per at::ScalarType.
using TypeSet = uint64_t;
constexpr TypeSet type_bit(at::ScalarType type) { return TypeSet{1} << static_cast<int>(type); }

// The most dimensions that the functions take.
constexpr int64_t kMaxDims = 8;
// What is asked about where it is not a type.
constexpr int64_t kEveryCall = -1;
constexpr int64_t kDims = -2;

// What an op must ask about. Filled once, before a program runs.
struct Watch {
  // By argument: types of its tensors, or of the result that a `dtype` asks for; empty where there is nothing to ask.
  std::vector<TypeSet> ask;
  // The same where one of the arguments is a number on the host; empty where that makes no difference.
  std::vector<TypeSet> ask_with_number;
  bool every_call = false;  // whatever the types: the line lacks it, or it falls back to the host
  bool whole = false;       // the table speaks of the whole op: its parts are not asked again
  bool short_indices = false;  // the line makes int32 indices where the host makes int64
};

// The watch of an op, shared by every kernel registered for it.
Watch& watch_of(const c10::OperatorName& name);

// Reads the table: a line an op, "add.Tensor flags self=hex other=hex | self=hex"; what follows the bar is where an
// argument is a number. Returns how many ops are watched.
int64_t read_watches(const std::string& table);

// The types of a call, put to the table: the answer is an exception, a warning or nothing.
class Question {
 public:
  Question(const c10::OperatorHandle& op, const Watch& watch) : op_(op), watch_(watch) {}

  // Of one argument. Quick: two bit operations for a type that nothing is known against.
  void see(const at::Tensor& tensor, size_t argument) {
    if (tensor.layout() != at::kStrided) return;  // the table speaks of dense tensors
    bytes_ += tensor.nbytes();
    too_many_dims_ |= tensor.dim() > kMaxDims;
    see_type(tensor.scalar_type(), argument);
  }
  void see_type(at::ScalarType type, size_t argument) { hit_ |= type_bit(type) & watch_.ask[argument]; }
  void see_number() { number_ = true; }

  // Asks, if there is something to ask; `stack` holds the arguments from `first` on.
  void put(const torch::jit::Stack& stack, size_t first) const;

 private:
  void put_about(int64_t what, size_t argument) const;

  const c10::OperatorHandle& op_;
  const Watch& watch_;
  TypeSet hit_ = 0;
  size_t bytes_ = 0;
  bool number_ = false;
  bool too_many_dims_ = false;
};

// Refuses a copy on the device that would reorder more dimensions than the functions take.
void refuse_dims_of_copy(const at::Tensor& from, const at::Tensor& to);

// False inside an op whose whole was asked about.
bool asking();

}  // namespace npu_emulator
