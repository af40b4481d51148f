// What the journal's records make of the queue's state: one function a record type, used live and in replay, so that both agree.
//
// Deterministic: no clock, no chance. It holds what a checkpoint saves. Where tasks wait (ready lists, timers, waiting callers) is
// derived from it and kept by WorkQueueImpl. Engine thread only.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "base/siphash.h"
#include "server/journal/journal.h"
#include "server/model/queue_stats.h"
#include "server/queue/dedupe_index.h"
#include "server/queue/policy_table.h"
#include "server/queue/probe.h"
#include "server/queue/queue_observer.h"
#include "server/queue/ready_queue.h"
#include "server/queue/record_codec.h"
#include "server/queue/sessions.h"
#include "server/queue/task_table.h"

namespace wheelpit {

// What one record counts, from the record alone. `reason` is a literal.
struct FoldEvent {
  QueueEventKind kind{};
  uint32_t queue = 0;
  const char* reason = "";
  uint64_t n = 1;
};
using FoldEvents = absl::InlinedVector<FoldEvent, 2>;

FoldEvents EventsOf(const SubmitRecord& record);
FoldEvents EventsOf(const LeaseRecord& record);
FoldEvents EventsOf(RecordType type, const TaskRecord& record);
FoldEvents EventsOf(const PurgeRecord& record);
FoldEvents EventsOf(const QueueRecord& record);

// Totals over the whole history, by QueueEventKind.
inline constexpr size_t kQueueEventKinds = static_cast<size_t>(QueueEventKind::kQueueDeleted) + 1;
using QueueTotals = std::array<uint64_t, kQueueEventKinds>;

struct LeasedSince {
  uint32_t index;
  uint64_t token;
  int64_t since_ms;
};

struct QueueEntry {
  // Saved.
  uint32_t number = 0;
  std::string name;
  QueueConfig config;
  QueueFlags flags;
  int64_t created_at_ms = 0;
  QueueTotals totals{};  // of the records applied

  // Derived: of the records applied, for limits.
  uint64_t live_tasks = 0;
  uint64_t live_bytes = 0;

  // Derived: what is visible. `tasks`, bytes and totals lag behind the above by what is not durable yet.
  bool visible = false;
  std::array<uint64_t, kTaskStates> tasks{};
  uint64_t visible_live_bytes = 0;
  uint64_t visible_dead_bytes = 0;
  QueueTotals visible_totals{};
  ReadyQueue ready;
  std::deque<uint64_t> dead_order;                      // ids, oldest first; may name tasks that are gone
  std::vector<std::pair<int64_t, uint32_t>> due_heap;   // (due, index), earliest first; may name tasks that moved on
  std::deque<LeasedSince> leased_order;                 // likewise
  std::deque<std::pair<uint32_t, uint32_t>> waiting;    // consumers that may take a task: (index, generation); likewise
  bool active = false;                                  // is in the dispatcher's list
  uint64_t lost_attempts = 0;                           // attempts that failed but by the worker's word, in this process
  uint64_t first_ready = 0;                             // tasks that became READY for the first time in this process
  QueueProbe* probe = nullptr;                          // made when first asked for

  void NoteLeased(LeasedSince lease, const TaskTable& tasks);
  void NoteDue(int64_t due_ms, uint32_t index, const TaskTable& tasks);
  // Drops what is stale at the front of due_heap.
  void PruneDue(const TaskTable& tasks);
};

class QueueFold {
 public:
  TaskTable tasks;
  PolicyTable policies;
  DedupeIndex dedupe;
  SessionTable sessions;
  std::vector<std::unique_ptr<QueueEntry>> queues;  // by number; [0] is null
  absl::flat_hash_map<std::string, uint32_t> queue_numbers;
  uint64_t next_counter = 1;    // of task ids
  uint64_t epoch = 0;           // largest seen
  int64_t time_ms = 0;          // largest at_ms seen
  SipKey hash_key{};
  bool has_hash_key = false;
  uint64_t live_tasks = 0;
  // Pins of records that must stay readable go here; null during recovery.
  Journal* pins = nullptr;

  QueueFold();

  // Null if there is none.
  QueueEntry* FindQueue(absl::string_view name);
  QueueEntry* queue(uint32_t number) { return number < queues.size() ? queues[number].get() : nullptr; }
  const QueueEntry* queue(uint32_t number) const { return number < queues.size() ? queues[number].get() : nullptr; }
  Hash128 KeyHash(uint32_t queue, absl::string_view key) const;

  // Each applies one record to state; callers decide (by lsn, in replay) whether it still has to be applied.
  QueueEntry& ApplyQueue(const QueueRecord& record);
  // An id that must never be given again.
  void UsedId(uint64_t id);
  uint32_t ApplySubmit(uint64_t id, RecordPosition position, uint32_t payload_bytes, const SubmitRecord& record);
  void ApplyLease(uint32_t index, const LeaseItemRecord& item, uint32_t session, int64_t at_ms);
  void ApplyTask(RecordType type, uint32_t index, RecordPosition position, uint32_t payload_bytes, const TaskRecord& record);
  void ApplyGone(uint32_t index);
  // The lease goes on under another session (not journaled: tokens, not sessions, are what counts).
  void MoveLease(uint32_t index, uint32_t session);
  void AddTotals(const FoldEvents& events);

  void PinAll(Journal* journal);
  // The entry of the task's key; kNoIndex if it has none (any more).
  uint32_t DedupeOf(const TaskSlot& slot) const;

 private:
  void PinSubmit(const TaskSlot& slot, bool pin);
  void PinRecord(const TaskSlot& slot, uint64_t bytes, bool pin);
  void LeaveLease(TaskSlot& slot, uint32_t index);
  void LeaveLive(TaskSlot& slot, const TaskRecord& record);
  void See(int64_t at_ms) { time_ms = at_ms > time_ms ? at_ms : time_ms; }
};

}  // namespace wheelpit
