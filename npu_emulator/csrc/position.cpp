#include "position.h"

#include <iterator>

namespace npu_emulator {
namespace {

constexpr size_t kKept = 16;

// An engine makes 624 numbers at a time, and its state stands still until it has given them.
bool same_block(const at::mt19937& one, const at::mt19937& other) { return one.data().state_ == other.data().state_; }

uint64_t left_in_block(const at::mt19937& engine) { return static_cast<uint64_t>(engine.data().left_ - 1); }

void draw(at::mt19937& engine, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) engine();
}

}  // namespace

at::mt19937 Position::start(uint64_t seed) {
  known_.clear();
  current_ = 0;
  return known_.emplace(0, at::mt19937(seed)).first->second;
}

uint64_t Position::of(const at::mt19937& engine) {
  auto walker = known_.at(current_);
  auto draws = current_;
  while (!same_block(walker, engine)) {
    auto step = left_in_block(walker) + 1;  // the first of the next block
    draw(walker, step);
    draws += step;
  }
  draws += engine.data().next_ - walker.data().next_;
  note(draws, engine);
  return draws;
}

at::mt19937 Position::at(uint64_t draws) {
  auto [nearest, engine] = *std::prev(known_.upper_bound(draws));
  draw(engine, draws - nearest);
  note(draws, engine);
  return engine;
}

void Position::note(uint64_t draws, const at::mt19937& engine) {
  known_.insert_or_assign(draws, engine);
  current_ = draws;
  // Of the places lately asked for the earliest goes first: callers move forward.
  for (auto place = std::next(known_.begin()); known_.size() > kKept && place != known_.end();)
    place = place->first == draws ? std::next(place) : known_.erase(place);
}

}  // namespace npu_emulator
