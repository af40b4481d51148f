// The READY tasks of one queue in the order in which they are handed out: larger priority first, then who has waited longest.
//
// Per priority two lists linked through the slots: tasks never attempted, and those ready again. Each is in the order of
// becoming READY, and the older head goes first. Every `starvation_share`-th task is the oldest of all priorities.
#pragma once

#include <array>
#include <cstdint>

#include "server/queue/task_table.h"

namespace wheelpit {

class ReadyQueue {
 public:
  static constexpr int kBands = 16;
  static constexpr uint32_t kStarvationShare = 16;

  bool empty() const { return bands_ == 0; }
  uint64_t size() const { return size_; }

  // By the slot's prio, attempts and due_ms (READY since). Sets kInReady.
  void Push(TaskTable& tasks, uint32_t index);
  // Gives back what Pop took and nobody got: it goes first again.
  void PushFront(TaskTable& tasks, uint32_t index);
  void Remove(TaskTable& tasks, uint32_t index);
  // What PopNext would take; kNoIndex when empty.
  uint32_t Peek(const TaskTable& tasks) const;
  uint32_t PopNext(TaskTable& tasks);

  // READY since when the oldest is; 0 when empty.
  int64_t OldestSince(const TaskTable& tasks) const { return Oldest(tasks, true); }
  int64_t OldestNeverAttemptedSince(const TaskTable& tasks) const { return Oldest(tasks, false); }

 private:
  struct List {
    uint32_t head = kNoIndex;
    uint32_t tail = kNoIndex;
  };
  struct Band {
    List fresh, again;
  };
  static int BandOf(const TaskSlot& slot) { return slot.prio + 8; }
  List& ListOf(const TaskSlot& slot);
  uint32_t HeadOf(const TaskTable& tasks, int band) const;
  int64_t Oldest(const TaskTable& tasks, bool all) const;

  std::array<Band, kBands> band_{};
  uint32_t bands_ = 0;  // bit per band that is not empty
  uint64_t size_ = 0;
  uint32_t popped_ = 0;
};

}  // namespace wheelpit
