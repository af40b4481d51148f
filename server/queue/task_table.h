// The tasks of a shard in memory: fixed-size slots in slabs, found by id.
//
// A slot's index stays valid, and the slot where it is, until Free. Engine thread only.
//
//   const uint32_t index = table.Allocate(id);
//   table[index].state = TaskState::kReady;
//   table.Find(id);          // == index
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "server/model/task.h"

namespace wheelpit {

inline constexpr uint32_t kNoIndex = 0xFFFFFFFFu;

// Bits of TaskSlot::flags.
enum TaskFlag : uint8_t {
  kCancelRequested = 1 << 0,
  kLateComplete = 1 << 1,   // the lease was lost, nobody else has the task yet: its token may still Complete
  kFailRecorded = 1 << 2,   // the last token ended by Fail: a repeat gets the recorded outcome
  kFromChunk = 1 << 3,      // during recovery: loaded from the checkpoint, gated by its chunk's as_of
  kPending = 1 << 4,        // a record that is not durable yet decides its state; see PendingTasks
  kCached = 1 << 5,         // its SUBMIT record is in the payload cache
  kInReady = 1 << 6,        // linked in a ready list
  kInWheel = 1 << 7,        // linked in the timer wheel
};
inline constexpr uint8_t kDurableFlags = kCancelRequested | kLateComplete | kFailRecorded;

struct TaskSlot {
  uint64_t id = 0;  // 0 = free
  uint64_t token = 0;
  int64_t due_ms = 0;  // READY: since when; DELAYED, RETRY_WAIT: when ready; LEASED: deadline; terminal: end of retention
  int64_t submitted_ms = 0;
  int64_t expire_ms = 0;
  uint64_t pos = 0;  // SUBMIT record
  uint64_t rec = 0;  // newest state record, if it is one of the task alone
  uint32_t len = 0;  // payload bytes; of SUCCEEDED: result bytes
  uint32_t queue = 0;
  uint32_t fair = 0;
  uint32_t worker = kNoIndex;  // LEASED: index of the session
  uint32_t next = kNoIndex;
  uint32_t prev = kNoIndex;
  uint32_t dedupe = kNoIndex;
  uint32_t attempt_start_s = 0;
  uint16_t attempts = 0;
  uint16_t failures = 0;
  uint8_t losses = 0;
  uint8_t releases = 0;
  TaskState state = TaskState::kUnspecified;
  int8_t prio = 0;
  uint8_t flags = 0;
  uint8_t redrives = 0;
  uint16_t policy = 0;
  uint16_t lease_ttl_s = 0;
  uint16_t attempt_start_ms = 0;  // 0..999, besides attempt_start_s

  bool has(TaskFlag flag) const { return (flags & flag) != 0; }
  void set(TaskFlag flag) { flags = static_cast<uint8_t>(flags | flag); }
  void clear(TaskFlag flag) { flags = static_cast<uint8_t>(flags & ~flag); }
  int64_t attempt_start() const { return int64_t{attempt_start_s} * 1000 + attempt_start_ms; }
  void set_attempt_start(int64_t ms) {
    attempt_start_s = static_cast<uint32_t>(ms / 1000);
    attempt_start_ms = static_cast<uint16_t>(ms % 1000);
  }
  bool terminal() const { return IsTerminal(state); }
};
// Memory a task is a promise: see README, sizing.
static_assert(sizeof(TaskSlot) == 104);

class TaskTable {
 public:
  static constexpr uint32_t kSlabSlots = 4096;

  // `id` must not be in the table. The slot is as constructed, with its id.
  uint32_t Allocate(uint64_t id);
  // Puts `id` at the given free index; only before the first Allocate (RebuildFreeList ends it).
  TaskSlot& AllocateAt(uint32_t index, uint64_t id);
  void RebuildFreeList();
  void Free(uint32_t index);

  // kNoIndex if there is none.
  uint32_t Find(uint64_t id) const {
    const auto it = index_.find(id);
    return it == index_.end() ? kNoIndex : it->second;
  }
  TaskSlot& operator[](uint32_t index) { return slabs_[index / kSlabSlots][index % kSlabSlots]; }
  const TaskSlot& operator[](uint32_t index) const { return slabs_[index / kSlabSlots][index % kSlabSlots]; }

  size_t size() const { return index_.size(); }
  uint32_t slabs() const { return static_cast<uint32_t>(slabs_.size()); }
  uint32_t capacity() const { return slabs() * kSlabSlots; }

 private:
  void AddSlab();

  std::vector<std::unique_ptr<TaskSlot[]>> slabs_;
  absl::flat_hash_map<uint64_t, uint32_t> index_;
  uint32_t free_ = kNoIndex;  // linked by TaskSlot::next
};

}  // namespace wheelpit
