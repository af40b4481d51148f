// Limits and backoff of tasks, stored once: a slot holds a 16-bit number. Numbers of policies that no task has are used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/model/task.h"

namespace wheelpit {

struct TaskPolicy {
  int64_t attempt_timeout_ms = 0;
  uint32_t max_attempts = 0;
  uint32_t max_losses = 0;
  BackoffPolicy backoff;
  friend bool operator==(const TaskPolicy&, const TaskPolicy&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const TaskPolicy& p) {
    return H::combine(std::move(h), p.attempt_timeout_ms, p.max_attempts, p.max_losses, p.backoff.initial_ms,
                      p.backoff.multiplier, p.backoff.max_delay_ms);
  }
};

class PolicyTable {
 public:
  static constexpr size_t kMax = 65'536;

  // False when `policy` is new and there is no number left.
  bool HasRoomFor(const TaskPolicy& policy) const {
    return numbers_.size() < kMax || numbers_.contains(policy);
  }
  // Counts one more user.
  uint16_t Ref(const TaskPolicy& policy);
  void Unref(uint16_t number);
  const TaskPolicy& operator[](uint16_t number) const { return entries_[number].policy; }

 private:
  struct Entry {
    TaskPolicy policy;
    uint32_t users = 0;
  };
  std::vector<Entry> entries_;
  std::vector<uint16_t> free_;
  absl::flat_hash_map<TaskPolicy, uint16_t> numbers_;
};

}  // namespace wheelpit
