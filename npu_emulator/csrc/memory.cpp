#include "memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace npu_emulator {
namespace {

constexpr size_t kBlock = 512;                 // what a caching allocator rounds a request up to
constexpr size_t kSegment = 2 * 1024 * 1024;   // what it reserves at a time
constexpr c10::DeviceIndex kNobody = -1;

struct Account {
  std::mutex mutex;
  size_t total = 0;
  double fraction = 1.0;
  c10::CachingDeviceAllocator::DeviceStats stats;
};

std::deque<Account>& accounts() {
  static auto* all = new std::deque<Account>();  // never destroyed: tensors may outlive static storage
  return *all;
}

thread_local c10::DeviceIndex charged_device = kNobody;
std::atomic<bool> used{false};
std::atomic<bool> in_bad_fork{false};

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

size_t limit_of(const Account& account) {
  return static_cast<size_t>(static_cast<double>(account.total) * account.fraction);
}

void set_reserved(Account& account, size_t bytes) {
  auto& reserved = account.stats.reserved_bytes[0];
  auto now = static_cast<size_t>(reserved.current);
  if (bytes > now) reserved.increase(bytes - now);
  if (bytes < now) reserved.decrease(now - bytes);
}

template <class Visitor>
void each_statistic(Account& account, Visitor visit) {
  std::lock_guard<std::mutex> lock(account.mutex);
  auto& stats = account.stats;
  for (auto* group : {&stats.allocation, &stats.active, &stats.allocated_bytes, &stats.reserved_bytes,
                      &stats.active_bytes, &stats.requested_bytes}) {
    for (auto& stat : *group) visit(stat);
  }
}

void shrink_reserve(Account& account) {
  auto in_use = static_cast<size_t>(account.stats.allocated_bytes[0].current);
  set_reserved(account, std::min(round_up(in_use, kSegment), std::max(account.total, in_use)));
}

std::string readable(size_t bytes) {
  char text[64];
  const char* unit = bytes >= (1ULL << 30) ? "GiB" : bytes >= (1ULL << 20) ? "MiB" : "KiB";
  double scale = bytes >= (1ULL << 30) ? 1 << 30 : bytes >= (1ULL << 20) ? 1 << 20 : 1 << 10;
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  std::snprintf(text, sizeof text, "%.2f %s", static_cast<double>(bytes) / scale, unit);
  return text;
}

// The text torch_npu prints; programs match on it.
[[noreturn]] void out_of_memory(c10::DeviceIndex device, Account& account, size_t bytes) {
  account.stats.num_alloc_retries += 1;
  account.stats.num_ooms += 1;
  auto in_use = static_cast<size_t>(account.stats.allocated_bytes[0].current);
  auto reserved = static_cast<size_t>(account.stats.reserved_bytes[0].current);
  auto limit = limit_of(account);
  auto free = limit > reserved ? limit - reserved : 0;
  TORCH_CHECK_WITH(
      OutOfMemoryError, false, "NPU out of memory. Tried to allocate ", readable(bytes), " (NPU ",
      static_cast<int>(device), "; ", readable(account.total), " total capacity; ", readable(in_use),
      " already allocated; ", readable(free), " free; ", readable(reserved),
      " reserved in total by PyTorch)");
  std::abort();  // unreachable: the check above always throws
}

void refuse_forked_child() {
  TORCH_CHECK(
      !in_bad_fork,
      "Cannot re-initialize NPU in forked subprocess. To use NPU with multiprocessing, you must use the "
      "'spawn' start method");
}

struct Charged {
  at::DataPtr memory;
  c10::DeviceIndex device;
  size_t bytes;
};

// Charged memory by address. Looked up rather than kept in the DataPtr's context: callers of raw_allocate (oneDNN) need
// the context to be the address itself.
class Ledger {
 public:
  void enter(void* address, Charged charged) {
    std::lock_guard<std::mutex> lock(mutex_);
    entries_.emplace(address, std::move(charged));
  }
  std::optional<Charged> remove(void* address) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto node = entries_.extract(address);
    return node.empty() ? std::nullopt : std::optional(std::move(node.mapped()));
  }

 private:
  std::mutex mutex_;
  std::unordered_map<void*, Charged> entries_;
};

Ledger& ledger() {
  static auto* all = new Ledger();  // never destroyed: tensors may outlive static storage
  return *all;
}

void free_charged(void* address) {
  auto charged = ledger().remove(address);
  if (charged.has_value()) refund(charged->device, charged->bytes);
}

// Host memory as ever, except that within a ChargeTo it is booked on a device until it is freed.
class ChargingAllocator final : public c10::Allocator {
 public:
  explicit ChargingAllocator(c10::Allocator* host) : host_(host) {}

  at::DataPtr allocate(size_t bytes) override {
    auto device = charged_device;
    if (device == kNobody || bytes == 0) return host_->allocate(bytes);
    charge(device, bytes);
    try {
      auto memory = host_->allocate(bytes);
      auto* address = memory.get();
      ledger().enter(address, {std::move(memory), device, bytes});
      return {address, address, &free_charged, at::Device(at::kCPU)};
    } catch (...) {
      refund(device, bytes);
      throw;
    }
  }

  at::DeleterFnPtr raw_deleter() const override { return &free_raw; }
  void copy_data(void* to, const void* from, size_t bytes) const override { host_->copy_data(to, from, bytes); }

 private:
  static void free_raw(void* address);
  c10::Allocator* host_;
};

ChargingAllocator& charging_allocator() {
  static ChargingAllocator charging(c10::GetCPUAllocator());
  return charging;
}

void ChargingAllocator::free_raw(void* address) {
  if (auto charged = ledger().remove(address)) {
    refund(charged->device, charged->bytes);
  } else {
    charging_allocator().host_->raw_deallocate(address);
  }
}

}  // namespace

bool forked_after_use() { return in_bad_fork; }

void open_devices(int64_t count, int64_t bytes_each) {
  TORCH_CHECK(accounts().empty(), "npu_emulator: the devices are already open");
  for (int64_t i = 0; i < count; ++i) accounts().emplace_back().total = static_cast<size_t>(bytes_each);
  pthread_atfork(nullptr, nullptr, [] { in_bad_fork = used.load(); });
}

c10::DeviceIndex device_count() { return static_cast<c10::DeviceIndex>(accounts().size()); }

void check_device(int64_t device) {
  TORCH_CHECK(
      device >= 0 && device < device_count(), "Invalid NPU device ordinal ", device, ": valid ordinals are 0 to ",
      device_count() - 1, " (NPU_EMULATOR_DEVICES sets how many there are)");
}

void charge(c10::DeviceIndex device, size_t bytes) {
  refuse_forked_child();
  used = true;
  auto& account = accounts()[device];
  std::lock_guard<std::mutex> lock(account.mutex);
  auto rounded = round_up(bytes, kBlock);
  auto in_use = static_cast<size_t>(account.stats.allocated_bytes[0].current);
  if (rounded > limit_of(account) || in_use > limit_of(account) - rounded) {
    shrink_reserve(account);
    out_of_memory(device, account, bytes);
  }
  auto& stats = account.stats;
  stats.allocation[0].increase(1);
  stats.active[0].increase(1);
  stats.allocated_bytes[0].increase(rounded);
  stats.active_bytes[0].increase(rounded);
  stats.requested_bytes[0].increase(bytes);
  auto wanted = std::min(round_up(in_use + rounded, kSegment), account.total);
  if (wanted > static_cast<size_t>(stats.reserved_bytes[0].current)) {
    stats.num_device_alloc += 1;
    set_reserved(account, wanted);
  }
}

void refund(c10::DeviceIndex device, size_t bytes) noexcept {
  auto& account = accounts()[device];
  std::lock_guard<std::mutex> lock(account.mutex);
  auto rounded = round_up(bytes, kBlock);
  account.stats.allocation[0].decrease(1);
  account.stats.active[0].decrease(1);
  account.stats.allocated_bytes[0].decrease(rounded);
  account.stats.active_bytes[0].decrease(rounded);
  account.stats.requested_bytes[0].decrease(bytes);
}

void set_memory_fraction(c10::DeviceIndex device, double fraction) {
  std::lock_guard<std::mutex> lock(accounts()[device].mutex);
  accounts()[device].fraction = fraction;
}

double memory_fraction(c10::DeviceIndex device) {
  std::lock_guard<std::mutex> lock(accounts()[device].mutex);
  return accounts()[device].fraction;
}

void release_reserves() {
  for (auto& account : accounts()) {
    std::lock_guard<std::mutex> lock(account.mutex);
    shrink_reserve(account);
  }
}

std::pair<size_t, size_t> free_and_total(c10::DeviceIndex device) {
  auto& account = accounts()[device];
  std::lock_guard<std::mutex> lock(account.mutex);
  auto reserved = static_cast<size_t>(account.stats.reserved_bytes[0].current);
  return {account.total > reserved ? account.total - reserved : 0, account.total};
}

c10::CachingDeviceAllocator::DeviceStats stats_of(c10::DeviceIndex device) {
  std::lock_guard<std::mutex> lock(accounts()[device].mutex);
  return accounts()[device].stats;
}

int64_t allocated_bytes(c10::DeviceIndex device) {
  std::lock_guard<std::mutex> lock(accounts()[device].mutex);
  return accounts()[device].stats.allocated_bytes[0].current;
}

void reset_peaks(c10::DeviceIndex device) {
  each_statistic(accounts()[device], [](c10::CachingAllocator::Stat& stat) { stat.reset_peak(); });
}

void reset_totals(c10::DeviceIndex device) {
  each_statistic(accounts()[device], [](c10::CachingAllocator::Stat& stat) { stat.reset_accumulated(); });
}

ChargeTo::ChargeTo(c10::DeviceIndex device) : previous_(charged_device) { charged_device = device; }
ChargeTo::~ChargeTo() { charged_device = previous_; }

void install_charging_allocator() {
  c10::SetCPUAllocator(&charging_allocator(), /*priority=*/255);
}

}  // namespace npu_emulator
