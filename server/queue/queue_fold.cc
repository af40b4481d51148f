#include "server/queue/queue_fold.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace wheelpit {
namespace {

constexpr uint64_t kCounterMask = (uint64_t{1} << 58) - 1;
// What an error text is taken to weigh on disk: its length is not kept in memory.
constexpr uint64_t kErrorPinBytes = 256;
constexpr uint64_t kSubmitPinBytes = 128;
// Of a DONE record besides the result.
constexpr uint64_t kDonePinBytes = 128;

const char* Literal(absl::string_view reason) {
  for (const char* known : {"error", "lease_expired", "attempt_timeout", "worker_lost", "not_retryable", "max_attempts",
                            "lease_losses", "corrupt"}) {
    if (reason == known) return known;
  }
  return "";
}

uint64_t RecordBytes(const TaskSlot& slot) {
  return slot.state == TaskState::kSucceeded ? slot.len + kDonePinBytes : kErrorPinBytes;
}

TaskState StateAfter(RecordType type, TaskState before) {
  switch (type) {
    case RecordType::kDone:
      return TaskState::kSucceeded;
    case RecordType::kRetry:
      return TaskState::kRetryWait;
    case RecordType::kDead:
      return TaskState::kDead;
    case RecordType::kCancel:
      return TaskState::kCancelled;
    case RecordType::kExpire:
      return TaskState::kExpired;
    case RecordType::kRelease:
      return TaskState::kReady;
    default:
      return before;
  }
}

}  // namespace

FoldEvents EventsOf(const SubmitRecord& record) {
  if (record.moved) return {};
  return {{QueueEventKind::kSubmitted, record.queue}};
}

FoldEvents EventsOf(const LeaseRecord& record) {
  FoldEvents events;
  const auto add = [&events](QueueEventKind kind, uint32_t queue) {
    for (FoldEvent& event : events) {
      if (event.kind == kind && event.queue == queue) {
        ++event.n;
        return;
      }
    }
    events.push_back({kind, queue});
  };
  for (const LeaseItemRecord& item : record.leases) {
    add(QueueEventKind::kLeased, item.queue);
    if (item.attempt > 1) add(QueueEventKind::kRedelivered, item.queue);
  }
  return events;
}

FoldEvents EventsOf(RecordType type, const TaskRecord& record) {
  const uint32_t queue = record.queue;
  switch (type) {
    case RecordType::kDone:
      return {{QueueEventKind::kCompleted, queue}};
    case RecordType::kRetry:
      return {{QueueEventKind::kAttemptFailed, queue, Literal(record.reason)}, {QueueEventKind::kRetried, queue}};
    case RecordType::kDead: {
      FoldEvents events = {{QueueEventKind::kDeadLettered, queue, Literal(record.reason)}};
      if (record.reason == "lease_losses") {
        events.push_back({QueueEventKind::kAttemptFailed, queue, Literal(record.cause)});
      } else if (record.reason != "corrupt") {
        events.push_back({QueueEventKind::kAttemptFailed, queue, "error"});
      }
      return events;
    }
    case RecordType::kCancel:
      return {{QueueEventKind::kCancelled, queue}};
    case RecordType::kExpire:
      return {{QueueEventKind::kExpired, queue}};
    case RecordType::kRelease:
      return {{QueueEventKind::kReleased, queue}};
    default:
      return {};
  }
}

FoldEvents EventsOf(const PurgeRecord& record) {
  if (record.cause != "bound") return {};
  return {{QueueEventKind::kDeadLetterDropped, record.queue, "", record.ids.size()}};
}

FoldEvents EventsOf(const QueueRecord& record) {
  if (record.deleted) return {{QueueEventKind::kQueueDeleted, record.number}};
  if (record.created_at_ms == record.at_ms) return {{QueueEventKind::kQueueCreated, record.number}};
  return {};
}

QueueFold::QueueFold() { queues.emplace_back(); }

QueueEntry* QueueFold::FindQueue(absl::string_view name) {
  const auto it = queue_numbers.find(name);
  return it == queue_numbers.end() ? nullptr : queues[it->second].get();
}

Hash128 QueueFold::KeyHash(uint32_t queue, absl::string_view key) const {
  std::string data;
  data.reserve(4 + key.size());
  for (int i = 0; i < 4; ++i) data.push_back(static_cast<char>(queue >> (8 * i)));
  data.append(key.data(), key.size());
  return SipHash128(hash_key, data);
}

QueueEntry& QueueFold::ApplyQueue(const QueueRecord& record) {
  See(record.at_ms);
  while (queues.size() <= record.number) queues.emplace_back();
  std::unique_ptr<QueueEntry>& entry = queues[record.number];
  if (entry == nullptr) {
    entry = std::make_unique<QueueEntry>();
    entry->number = record.number;
    entry->name = record.name;
    queue_numbers[record.name] = record.number;
  }
  entry->config = record.config;
  entry->flags = record.flags;
  entry->created_at_ms = record.created_at_ms;
  return *entry;
}

void QueueFold::UsedId(uint64_t id) { next_counter = std::max(next_counter, (id & kCounterMask) + 1); }

uint32_t QueueFold::ApplySubmit(uint64_t id, RecordPosition position, uint32_t payload_bytes, const SubmitRecord& record) {
  See(record.at_ms);
  QueueEntry* entry = queue(record.queue);
  WHEELPIT_CHECK(entry != nullptr, "task %d of unknown queue %d", id, record.queue);
  UsedId(id);
  const TaskSpec& spec = record.spec;
  const uint32_t index = tasks.Allocate(id);
  TaskSlot& slot = tasks[index];
  slot.queue = record.queue;
  slot.submitted_ms = record.at_ms;
  slot.expire_ms = spec.expire_at_ms;
  slot.pos = position.packed;
  slot.len = payload_bytes;
  slot.prio = static_cast<int8_t>(spec.priority);
  slot.lease_ttl_s = static_cast<uint16_t>(spec.lease_ttl_ms / 1000);
  slot.policy = policies.Ref({spec.attempt_timeout_ms, spec.max_attempts, spec.max_losses, spec.backoff});
  const bool delayed = spec.not_before_ms > record.at_ms;
  slot.state = delayed ? TaskState::kDelayed : TaskState::kReady;
  slot.due_ms = delayed ? spec.not_before_ms : record.at_ms;
  slot.set_attempt_start(record.at_ms);
  if (!spec.idempotency_key.empty()) {
    const Hash128 hash = KeyHash(record.queue, spec.idempotency_key);
    const uint32_t known = dedupe.Find(hash, 0);
    if (known == kNoIndex || dedupe[known].task < id) {
      slot.dedupe = dedupe.Insert(hash, record.request_hash, id);
    } else if (dedupe[known].task == id) {
      slot.dedupe = known;  // in a replay: a newer chunk brought the key already
    }  // else, likewise, it belongs to a later task by now
  }
  ++live_tasks;
  ++entry->live_tasks;
  entry->live_bytes += payload_bytes;
  PinSubmit(slot, true);
  return index;
}

void QueueFold::ApplyLease(uint32_t index, const LeaseItemRecord& item, uint32_t session, int64_t at_ms) {
  See(at_ms);
  TaskSlot& slot = tasks[index];
  // Its own lease again, in a replay over a newer chunk: the holder must not be dropped between.
  if (slot.worker == session) {
    sessions[session].leased_bytes -= slot.len;
  } else {
    LeaveLease(slot, index);
  }
  slot.state = TaskState::kLeased;
  slot.token = item.token;
  slot.attempts = static_cast<uint16_t>(std::min<uint32_t>(item.attempt, 0xFFFF));
  slot.due_ms = item.deadline_ms;
  slot.set_attempt_start(at_ms);
  slot.clear(kLateComplete);
  slot.clear(kFailRecorded);
  slot.worker = session;
  Session& holder = sessions[session];
  holder.leases.insert(index);
  holder.leased_bytes += slot.len;
  const int64_t ttl_ms = int64_t{slot.lease_ttl_s} * 1000;
  if (holder.ttl_min_ms == 0 || ttl_ms < holder.ttl_min_ms) holder.ttl_min_ms = ttl_ms;
}

void QueueFold::LeaveLease(TaskSlot& slot, uint32_t index) {
  if (slot.worker == kNoIndex) return;
  const uint32_t holder_index = slot.worker;
  slot.worker = kNoIndex;
  if (!sessions.Has(holder_index)) return;
  Session& holder = sessions[holder_index];
  if (holder.leases.erase(index) != 0) holder.leased_bytes -= slot.len;
  sessions.DropIfIdle(holder_index);
}

void QueueFold::LeaveLive(TaskSlot& slot, const TaskRecord& record) {
  QueueEntry& entry = *queues[slot.queue];
  --live_tasks;
  --entry.live_tasks;
  entry.live_bytes -= slot.len;
  if (const uint32_t key = DedupeOf(slot); key != kNoIndex) {
    dedupe.SetEnded(key, record.dedupe_until_ms, slot.state);
  }
}

void QueueFold::ApplyTask(RecordType type, uint32_t index, RecordPosition position, uint32_t payload_bytes,
                          const TaskRecord& record) {
  See(record.at_ms);
  TaskSlot& slot = tasks[index];
  if (type == RecordType::kCancelRequest) {
    slot.set(kCancelRequested);
    return;
  }
  LeaveLease(slot, index);
  const bool was_live = !slot.terminal();
  slot.state = StateAfter(type, slot.state);
  slot.token = record.token;
  slot.attempts = static_cast<uint16_t>(std::min<uint32_t>(record.attempts, 0xFFFF));
  slot.failures = static_cast<uint16_t>(record.failures);
  slot.losses = static_cast<uint8_t>(record.losses);
  slot.releases = static_cast<uint8_t>(record.releases);
  slot.set_attempt_start(record.at_ms);
  slot.clear(kLateComplete);
  slot.clear(kFailRecorded);
  if (record.reason == "error" || record.reason == "not_retryable" || record.reason == "max_attempts") {
    slot.set(kFailRecorded);
  }
  if (type == RecordType::kRetry && record.reason != "error") slot.set(kLateComplete);
  if (slot.terminal()) {
    slot.due_ms = record.retain_until_ms;
    slot.clear(kCancelRequested);
  } else {
    slot.due_ms = type == RecordType::kRelease ? record.at_ms : record.due_ms;
  }
  // What it points at now is an error text: SUCCEEDED is final.
  if (type != RecordType::kRelease) PinRecord(slot, kErrorPinBytes, false);
  if (was_live && slot.terminal()) {
    LeaveLive(slot, record);
    if (slot.state != TaskState::kDead) PinSubmit(slot, false);
  }
  if (type == RecordType::kRelease) return;
  // Kept for what only the record tells: the result, the error, what was submitted.
  if (slot.state == TaskState::kSucceeded) slot.len = payload_bytes;
  const bool keep = slot.state == TaskState::kRetryWait || slot.state == TaskState::kDead ||
                    (slot.state == TaskState::kSucceeded && payload_bytes > 0) || !record.description.empty();
  slot.rec = keep ? position.packed : 0;
  PinRecord(slot, RecordBytes(slot), true);
}

void QueueFold::ApplyGone(uint32_t index) {
  TaskSlot& slot = tasks[index];
  PinRecord(slot, RecordBytes(slot), false);
  if (!slot.terminal()) {
    QueueEntry& entry = *queues[slot.queue];
    --live_tasks;
    --entry.live_tasks;
    entry.live_bytes -= slot.len;
    PinSubmit(slot, false);
  } else if (slot.state == TaskState::kDead) {
    PinSubmit(slot, false);
  }
  LeaveLease(slot, index);
  policies.Unref(slot.policy);
  tasks.Free(index);
}

void QueueFold::MoveLease(uint32_t index, uint32_t session) {
  TaskSlot& slot = tasks[index];
  if (slot.worker == session) return;
  LeaveLease(slot, index);
  slot.worker = session;
  Session& holder = sessions[session];
  holder.leases.insert(index);
  holder.leased_bytes += slot.len;
  const int64_t ttl_ms = int64_t{slot.lease_ttl_s} * 1000;
  if (holder.ttl_min_ms == 0 || ttl_ms < holder.ttl_min_ms) holder.ttl_min_ms = ttl_ms;
}

void QueueEntry::NoteLeased(LeasedSince lease, const TaskTable& table) {
  const auto stale = [&table](const LeasedSince& l) {
    const TaskSlot& slot = table[l.index];
    return slot.state != TaskState::kLeased || slot.token != l.token;
  };
  while (!leased_order.empty() && stale(leased_order.front())) leased_order.pop_front();
  // Behind one long lease the rest piles up: swept when it is mostly stale.
  if (leased_order.size() > 2 * tasks[static_cast<size_t>(TaskState::kLeased)] + 64) std::erase_if(leased_order, stale);
  leased_order.push_back(lease);
}

namespace {

bool DueStale(const TaskTable& table, const std::pair<int64_t, uint32_t>& due) {
  const TaskSlot& slot = table[due.second];
  const bool waits = slot.state == TaskState::kDelayed || slot.state == TaskState::kRetryWait;
  return !waits || slot.due_ms != due.first;
}

}  // namespace

void QueueEntry::NoteDue(int64_t due_ms, uint32_t index, const TaskTable& table) {
  const uint64_t timers = tasks[static_cast<size_t>(TaskState::kDelayed)] + tasks[static_cast<size_t>(TaskState::kRetryWait)];
  if (due_heap.size() > 2 * timers + 64) {
    std::erase_if(due_heap, [&table](const auto& due) { return DueStale(table, due); });
    std::make_heap(due_heap.begin(), due_heap.end(), std::greater<>());
  }
  due_heap.emplace_back(due_ms, index);
  std::push_heap(due_heap.begin(), due_heap.end(), std::greater<>());
}

void QueueEntry::PruneDue(const TaskTable& table) {
  while (!due_heap.empty() && DueStale(table, due_heap.front())) {
    std::pop_heap(due_heap.begin(), due_heap.end(), std::greater<>());
    due_heap.pop_back();
  }
}

void QueueFold::AddTotals(const FoldEvents& events) {
  for (const FoldEvent& event : events) {
    if (QueueEntry* entry = queue(event.queue)) entry->totals[static_cast<size_t>(event.kind)] += event.n;
  }
}

uint32_t QueueFold::DedupeOf(const TaskSlot& slot) const {
  if (slot.dedupe == kNoIndex || dedupe[slot.dedupe].task != slot.id) return kNoIndex;
  return slot.dedupe;
}

void QueueFold::PinSubmit(const TaskSlot& slot, bool pin) {
  if (pins == nullptr) return;
  const RecordPosition position{slot.pos};
  if (pin) {
    pins->Pin(position, slot.len + kSubmitPinBytes);
  } else {
    pins->Unpin(position, slot.len + kSubmitPinBytes);
  }
}

void QueueFold::PinRecord(const TaskSlot& slot, uint64_t bytes, bool pin) {
  if (pins == nullptr || slot.rec == 0) return;
  if (pin) {
    pins->Pin(RecordPosition{slot.rec}, bytes);
  } else {
    pins->Unpin(RecordPosition{slot.rec}, bytes);
  }
}

void QueueFold::PinAll(Journal* journal) {
  pins = journal;
  for (uint32_t i = 0; i < tasks.capacity(); ++i) {
    const TaskSlot& slot = tasks[i];
    if (slot.id == 0) continue;
    if (!slot.terminal() || slot.state == TaskState::kDead) PinSubmit(slot, true);
    PinRecord(slot, RecordBytes(slot), true);
  }
}

}  // namespace wheelpit
