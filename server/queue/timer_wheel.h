// Timers of tasks: a hierarchical wheel of 1 ms ticks, linked through the slots themselves, so that a timer costs no memory.
//
// Level l has 64 buckets of 64^l ms. A slot goes to the level of the highest 6-bit digit in which its due time differs from the
// wheel's time; when the wheel's time reaches a bucket, its slots move down, and from level 0 they fire. All operations are O(1)
// (a slot moves down at most once a level). Times of different slots fire in order; those of one millisecond in any order.
//
//   wheel.Add(index, due_ms);
//   while ((index = wheel.PopDue(now)) != kNoIndex) …
#pragma once

#include <array>
#include <cstdint>

#include "server/queue/task_table.h"

namespace wheelpit {

class TimerWheel {
 public:
  explicit TimerWheel(TaskTable* tasks);

  // Sets kInWheel. A due time that has passed fires at the next PopDue.
  void Add(uint32_t index, int64_t due_ms);
  void Remove(uint32_t index);
  // A slot whose time has come, unlinked; kNoIndex if there is none. Times passed must not fall. The slot's due_ms may have been
  // moved to later since Add: then the caller adds it again.
  uint32_t PopDue(int64_t now);
  // No slot is due before this; INT64_MAX when empty.
  int64_t NextDeadline() const;

 private:
  static constexpr int kLevels = 8;
  static constexpr int kDigit = 6;
  static constexpr uint32_t kBuckets = 64;
  // Links to heads of lists are indices from here on: level * 64 + bucket, then the list of what is due now.
  static constexpr uint32_t kHeadBase = 0xFFFF0000u;
  static constexpr uint32_t kDue = kLevels * kBuckets;

  struct Links {
    uint32_t next;
    uint32_t prev;
  };
  uint32_t& Next(uint32_t i) { return i >= kHeadBase ? heads_[i - kHeadBase].next : (*tasks_)[i].next; }
  uint32_t& Prev(uint32_t i) { return i >= kHeadBase ? heads_[i - kHeadBase].prev : (*tasks_)[i].prev; }
  void Link(uint32_t list, uint32_t index);
  bool Empty(uint32_t list) const { return heads_[list].next == kHeadBase + list; }
  // Start of the earliest occupied bucket; false if there is none.
  bool FirstBucket(int* level, uint32_t* bucket, int64_t* start) const;

  TaskTable* const tasks_;
  int64_t time_ = 0;
  std::array<uint64_t, kLevels> occupied_{};
  std::array<Links, kLevels * kBuckets + 1> heads_;
};

}  // namespace wheelpit
