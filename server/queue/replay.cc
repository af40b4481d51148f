// Recovery: records and checkpoint chunks into state, and the place of every task afterwards.
//
// A chunk's as_of gates the tasks that came with it: a record up to it is in them already. Tasks that replay itself makes are not
// gated. Events and totals are gated too: totals by the header chunk's as_of, events by their observer.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {

bool WorkQueueImpl::Covered(uint32_t index, Lsn lsn) const {
  return fold_.tasks[index].has(kFromChunk) && lsn <= slab_as_of_[index / TaskTable::kSlabSlots];
}

void WorkQueueImpl::EmitReplayed(Lsn lsn, const FoldEvents& events, int64_t at_ms,
                                 const std::vector<CountedSeries>& counted) {
  if (lsn > header_as_of_) fold_.AddTotals(events);
  Emit(lsn, events, at_ms, counted);
}

absl::Status WorkQueueImpl::ReplayQueue(Lsn lsn, const RecordView& record) {
  QueueRecord queue;
  if (absl::Status s = codec_.Decode(record.meta, &queue); !s.ok()) return s;
  if (lsn > header_as_of_ || fold_.queue(queue.number) == nullptr) fold_.ApplyQueue(queue);
  EmitReplayed(lsn, EventsOf(queue), queue.at_ms, {});
  return absl::OkStatus();
}

absl::Status WorkQueueImpl::ReplaySubmit(Lsn lsn, RecordPosition position, const RecordView& record) {
  SubmitRecord submit;
  if (absl::Status s = codec_.Decode(record.meta, &submit); !s.ok()) return s;
  if (fold_.queue(submit.queue) == nullptr) {
    return MakeError(absl::StatusCode::kDataLoss, "CORRUPT",
                     absl::StrCat("SUBMIT of task ", record.id, " names unknown queue ", submit.queue));
  }
  if (!submit.spec.idempotency_key.empty() && !fold_.has_hash_key) {
    return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "a SUBMIT with a key before the first EPOCH");
  }
  if (fold_.tasks.Find(record.id) == kNoIndex) {
    fold_.ApplySubmit(record.id, position, static_cast<uint32_t>(record.payload.size()), submit);
  } else {
    // A chunk taken after the header brought the task: the header's counter does not know its id.
    fold_.UsedId(record.id);
  }
  EmitReplayed(lsn, EventsOf(submit), submit.at_ms, submit.spec.counts);
  return absl::OkStatus();
}

absl::Status WorkQueueImpl::ReplayLease(Lsn lsn, const RecordView& record) {
  LeaseRecord lease;
  if (absl::Status s = codec_.Decode(record.meta, &lease); !s.ok()) return s;
  for (const LeaseItemRecord& item : lease.leases) {
    const uint32_t index = fold_.tasks.Find(item.task);
    if (index == kNoIndex || Covered(index, lsn)) continue;
    fold_.ApplyLease(index, item, fold_.sessions.FindOrAdd(lease.session, lease.worker), lease.at_ms);
  }
  EmitReplayed(lsn, EventsOf(lease), lease.at_ms, {});
  return absl::OkStatus();
}

absl::Status WorkQueueImpl::ReplayTask(Lsn lsn, RecordPosition position, const RecordView& record) {
  TaskRecord task;
  if (absl::Status s = codec_.Decode(record.meta, &task); !s.ok()) return s;
  const uint32_t index = fold_.tasks.Find(record.id);
  if (index != kNoIndex && !Covered(index, lsn)) {
    fold_.ApplyTask(record.type, index, position, static_cast<uint32_t>(record.payload.size()), task);
  }
  EmitReplayed(lsn, EventsOf(record.type, task), task.at_ms, {});
  return absl::OkStatus();
}

absl::Status WorkQueueImpl::ReplayPurge(Lsn lsn, const RecordView& record) {
  PurgeRecord purge;
  if (absl::Status s = codec_.Decode(record.meta, &purge); !s.ok()) return s;
  for (const uint64_t id : purge.ids) {
    const uint32_t index = fold_.tasks.Find(id);
    if (index != kNoIndex && !Covered(index, lsn)) fold_.ApplyGone(index);
  }
  EmitReplayed(lsn, EventsOf(purge), purge.at_ms, {});
  return absl::OkStatus();
}

absl::Status WorkQueueImpl::Replay(Lsn lsn, RecordPosition position, const RecordView& record) {
  if (!free_list_ready_) {
    fold_.tasks.RebuildFreeList();
    free_list_ready_ = true;
  }
  switch (record.type) {
    case RecordType::kEpoch: {
      EpochRecord epoch;
      if (absl::Status s = codec_.Decode(record.meta, &epoch); !s.ok()) return s;
      fold_.epoch = std::max(fold_.epoch, epoch.epoch);
      if (epoch.hash_key.size() == fold_.hash_key.size()) {
        std::copy(epoch.hash_key.begin(), epoch.hash_key.end(), fold_.hash_key.begin());
        fold_.has_hash_key = true;
      }
      return absl::OkStatus();
    }
    case RecordType::kQueueConfig:
      return ReplayQueue(lsn, record);
    case RecordType::kSubmit:
      return ReplaySubmit(lsn, position, record);
    case RecordType::kLease:
      return ReplayLease(lsn, record);
    case RecordType::kDone:
    case RecordType::kRetry:
    case RecordType::kDead:
    case RecordType::kCancel:
    case RecordType::kCancelRequest:
    case RecordType::kExpire:
    case RecordType::kRelease:
      return ReplayTask(lsn, position, record);
    case RecordType::kPurge:
      return ReplayPurge(lsn, record);
    default:
      return absl::OkStatus();  // another fold's
  }
}

void WorkQueueImpl::PlaceRecovered() {
  std::vector<uint32_t> ready;
  std::vector<uint32_t> ended;
  for (uint32_t index = 0; index < fold_.tasks.capacity(); ++index) {
    TaskSlot& slot = fold_.tasks[index];
    if (slot.id == 0) continue;
    slot.clear(kFromChunk);
    CountState(slot.queue, TaskState::kUnspecified, slot.state, slot.len);
    QueueEntry& entry = *fold_.queue(slot.queue);
    if (!slot.terminal()) {
      ++fold_.live_tasks;
      ++entry.live_tasks;
      entry.live_bytes += slot.len;
    }
    if (slot.state == TaskState::kReady) {
      ready.push_back(index);
    } else if (slot.terminal()) {
      ended.push_back(index);
    } else {
      if (slot.state == TaskState::kLeased) {
        slot.due_ms = now_ms_ + std::min<int64_t>(int64_t{slot.lease_ttl_s} * 1000, options_.recovered_lease_ms);
        entry.leased_order.push_back({index, slot.token, slot.attempt_start()});
      }
      Settle(index);
    }
  }
  const auto by_due = [this](uint32_t a, uint32_t b) {
    const TaskSlot& x = fold_.tasks[a];
    const TaskSlot& y = fold_.tasks[b];
    return x.due_ms != y.due_ms ? x.due_ms < y.due_ms : x.id < y.id;
  };
  std::sort(ready.begin(), ready.end(), by_due);
  std::sort(ended.begin(), ended.end(), by_due);
  for (const uint32_t index : ready) Settle(index);
  for (const uint32_t index : ended) Settle(index);
}

absl::Status WorkQueueImpl::RecoveryDone(int64_t now_ms) {
  WHEELPIT_CHECK(!recovered_, "recovered twice");
  if (!free_list_ready_) fold_.tasks.RebuildFreeList();
  free_list_ready_ = true;
  Tick(std::max(now_ms, fold_.time_ms));
  fold_.live_tasks = 0;
  for (const auto& entry : fold_.queues) {
    if (entry == nullptr) continue;
    entry->visible = true;
    ProbeOf(*entry);
    entry->visible_totals = entry->totals;
    entry->live_tasks = 0;
    entry->live_bytes = 0;
  }
  fold_.PinAll(journal_);
  PlaceRecovered();
  for (const auto& entry : fold_.queues) {
    if (entry == nullptr) continue;
    std::sort(entry->leased_order.begin(), entry->leased_order.end(),
              [](const LeasedSince& a, const LeasedSince& b) { return a.since_ms < b.since_ms; });
  }
  fold_.dedupe.SortEnded();
  slab_as_of_.clear();
  slab_as_of_.shrink_to_fit();
  recovered_ = true;
  return absl::OkStatus();
}

}  // namespace wheelpit
