// Where a Mersenne Twister stands: how many 32-bit numbers it has given since it was seeded.
//
// An accelerator's generator is a seed and an offset, 16 bytes, and torch's DTensor computes with the offset. The
// host's engine keeps 2.5 KB of state and no count, so the count is worked out, from the last known place on, when it
// is asked for; and a place is found again by drawing up to it.
#pragma once

#include <ATen/core/MT19937RNGEngine.h>

#include <map>

namespace npu_emulator {

class Position {
 public:
  // An engine fresh from `seed`.
  at::mt19937 start(uint64_t seed);

  // The number of draws that `engine`, which goes on from the last known place, has given.
  uint64_t of(const at::mt19937& engine);

  // The engine after `draws` numbers.
  at::mt19937 at(uint64_t draws);

 private:
  void note(uint64_t draws, const at::mt19937& engine);

  uint64_t current_ = 0;                     // the last known place
  std::map<uint64_t, at::mt19937> known_;    // the start, and places lately asked for
};

}  // namespace npu_emulator
