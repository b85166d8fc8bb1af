// Which ops must ask before they run on which types. The knowledge is data, read and judged in Python; here are only
// the bits that say "ask".
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <atomic>

namespace npu_emulator {

// One bit per at::ScalarType.
using TypeSet = uint64_t;
constexpr TypeSet type_bit(at::ScalarType type) { return TypeSet{1} << static_cast<int>(type); }

struct Watch {
  std::atomic<TypeSet> ask{0};     // ask the table before running
  std::atomic<TypeSet> vouch{0};   // the table lists these for the whole op: its parts are not asked again
};

// The watch of an op, shared by every kernel registered for it.
Watch& watch_of(const c10::OperatorName& name);

// Puts the question for every type in `ask`; the answer is an exception, a warning or nothing.
void ask_table(const c10::OperatorHandle& op, TypeSet types);

// False inside an op whose whole was vouched for, and in backward.
bool asking();

// Installs a kernel that asks and then decomposes, for an op that has no host kernel of its own.
void watch_composite(const c10::OperatorHandle& op);

}  // namespace npu_emulator
