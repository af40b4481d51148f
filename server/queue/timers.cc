// What happens by time alone: lost leases, delays and retries that end, expiry, retention, bounds, ends of waits.
#include <algorithm>
#include <limits>

#include "server/queue/work_queue_impl.h"

namespace wheelpit {
namespace {

constexpr size_t kPurgeIdsMax = 4096;
constexpr int64_t kRefusedRetryMs = 1000;

}  // namespace

void WorkQueueImpl::FireTimer(uint32_t index, int64_t now) {
  TaskSlot& slot = fold_.tasks[index];
  if (slot.due_ms > now) {  // moved to later since it was set
    wheel_.Add(index, slot.due_ms);
    return;
  }
  switch (slot.state) {
    case TaskState::kDelayed:
    case TaskState::kRetryWait: {
      const TaskState from = slot.state;
      slot.state = TaskState::kReady;  // since due_ms: the same live and after a recovery
      CountState(slot.queue, from, TaskState::kReady, slot.len);
      Settle(index);
      return;
    }
    case TaskState::kLeased: {
      const int64_t end = slot.attempt_start() + fold_.policies[slot.policy].attempt_timeout_ms;
      const absl::string_view cause = slot.due_ms >= end ? "attempt_timeout" : "lease_expired";
      const uint32_t holder = slot.worker;
      const LeaseRef lease{TaskId{slot.id}, LeaseToken{slot.token}};
      if (LoseLease(index, cause, now).ok()) {
        LeasesLost(holder, {lease}, cause);
      } else {
        wheel_.Add(index, now + kRefusedRetryMs);  // no room in the journal: later
      }
      return;
    }
    default:
      purges_[slot.queue].push_back(slot.id);
      return;
  }
}

absl::Status WorkQueueImpl::FireExpiry(uint32_t index, int64_t now) {
  Change change{RecordType::kExpire, RecordOf(index, now), {}};
  SetEnd(index, TaskState::kExpired, &change.record);
  return Transition(index, std::move(change));
}

void WorkQueueImpl::Purge(std::vector<uint64_t> ids, uint32_t queue, absl::string_view cause, int64_t now) {
  std::sort(ids.begin(), ids.end());
  for (size_t begin = 0; begin < ids.size(); begin += kPurgeIdsMax) {
    PurgeRecord record;
    record.at_ms = now;
    record.queue = queue;
    record.cause = std::string(cause);
    record.ids.assign(ids.begin() + static_cast<ptrdiff_t>(begin),
                      ids.begin() + static_cast<ptrdiff_t>(std::min(ids.size(), begin + kPurgeIdsMax)));
    std::string meta;
    codec_.Encode(record, &meta);
    const RecordView view{RecordType::kPurge, 0, 0, meta, {}};
    absl::StatusOr<Lsn> lsn = AppendRecords({&view, 1}, Purpose::kEnd, nullptr);
    if (!lsn.ok()) {
      for (const uint64_t id : record.ids) {
        const uint32_t index = fold_.tasks.Find(id);
        if (!fold_.tasks[index].has(kInWheel)) wheel_.Add(index, now + kRefusedRetryMs);
      }
      bounds_retry_ms_ = now + kRefusedRetryMs;
      continue;
    }
    for (const uint64_t id : record.ids) {
      const uint32_t index = fold_.tasks.Find(id);
      Detach(index);
      const TaskSlot& slot = fold_.tasks[index];
      CountState(slot.queue, slot.state, TaskState::kUnspecified, slot.len);
      fold_.ApplyGone(index);
    }
    Effect effect;
    effect.lsn = *lsn;
    effect.events = EventsOf(record);
    effect.at_ms = now;
    effect.hurried = false;
    fold_.AddTotals(effect.events);
    PushEffect(std::move(effect));
  }
}

void WorkQueueImpl::EnforceBounds(int64_t now) {
  // Settled terminal tasks only: the lists hold no others.
  const auto front_slot = [this](std::deque<uint64_t>& order) {
    while (!order.empty()) {
      const uint32_t index = fold_.tasks.Find(order.front());
      if (index != kNoIndex && fold_.tasks[index].terminal() && !IsPending(index)) return index;
      order.pop_front();
    }
    return kNoIndex;
  };
  if (now < bounds_retry_ms_) return;
  while (terminal_tasks_ > options_.terminal_tasks_max && failure_.ok() && now >= bounds_retry_ms_) {
    const uint32_t index = front_slot(terminal_order_);
    if (index == kNoIndex) break;
    const TaskSlot& slot = fold_.tasks[index];
    Purge({slot.id}, slot.queue, slot.state == TaskState::kDead ? "bound" : "retention", now);
  }
  front_slot(terminal_order_);
  for (const uint32_t number : dead_queues_) {
    QueueEntry& entry = *fold_.queue(number);
    while (failure_.ok() && now >= bounds_retry_ms_ && (entry.tasks[static_cast<size_t>(TaskState::kDead)] > entry.config.dead_tasks_max ||
                             entry.visible_dead_bytes > entry.config.dead_bytes_max)) {
      const uint32_t index = front_slot(entry.dead_order);
      if (index == kNoIndex) break;
      Purge({fold_.tasks[index].id}, number, "bound", now);
    }
    front_slot(entry.dead_order);
  }
  if (now >= bounds_retry_ms_) dead_queues_.clear();
}

void WorkQueueImpl::Advance(int64_t now, int tasks_max) {
  now = Tick(now);
  if (!recovered_) return;
  std::vector<WorkerChannel*> superseded;
  superseded.swap(superseded_);
  for (WorkerChannel* channel : superseded) channel->Superseded();
  if (Usable().ok()) {
    int left = tasks_max;
    for (uint32_t index; left > 0 && failure_.ok() && (index = wheel_.PopDue(now)) != kNoIndex; --left) {
      FireTimer(index, now);
    }
    for (auto& [queue, ids] : purges_) Purge(std::move(ids), queue, "retention", now);
    purges_.clear();
    for (; left > 0 && failure_.ok() && !expiries_.empty() && expiries_.begin()->first <= now; --left) {
      if (!FireExpiry(expiries_.begin()->second, now).ok()) break;
    }
    while (failure_.ok() && !grace_ends_.empty() && grace_ends_.begin()->first <= now) {
      const uint32_t session = grace_ends_.begin()->second;
      grace_ends_.erase(grace_ends_.begin());
      EndGrace(session, now);
    }
    EnforceBounds(now);
    fold_.dedupe.DropExpired(now, tasks_max);
    Dispatch(now);
  }
  EndWaits(now);
  EndTaskWaits(now);
}

void WorkQueueImpl::EndTaskWaits(int64_t now) {
  while (!task_wait_ends_.empty() && (task_wait_ends_.begin()->first <= now || !failure_.ok())) {
    const auto [id, number] = task_wait_ends_.begin()->second;
    task_wait_ends_.erase(task_wait_ends_.begin());
    const auto it = task_waiters_.find(id);
    auto waiter = std::find_if(it->second.begin(), it->second.end(),
                               [n = number](const TaskWaiter& w) { return w.number == n; });
    TaskWaiter ended = std::move(*waiter);
    it->second.erase(waiter);
    if (it->second.empty()) task_waiters_.erase(it);
    if (failure_.ok()) {
      ended.done(GetTask(TaskId{id}, ended.view, now));
    } else {
      ended.done(failure_);
    }
  }
}

int64_t WorkQueueImpl::NextDeadline() const {
  constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
  constexpr int64_t kPast = 0;
  if (!recovered_) return kNever;
  if (!superseded_.empty()) return kPast;
  if ((!failure_.ok() || draining_) && !wait_ends_.empty()) return kPast;
  if (!failure_.ok()) return task_wait_ends_.empty() ? kNever : kPast;
  int64_t next = kNever;
  if (epoch_set_) {
    next = wheel_.NextDeadline();
    if (!expiries_.empty()) next = std::min(next, expiries_.begin()->first);
    if (!grace_ends_.empty()) next = std::min(next, grace_ends_.begin()->first);
    if (dispatch_wanted_ && !draining_) next = std::min(next, dispatch_retry_ms_);
    if (terminal_tasks_ > options_.terminal_tasks_max || !dead_queues_.empty()) next = std::min(next, bounds_retry_ms_);
  }
  if (!wait_ends_.empty()) next = std::min(next, wait_ends_.begin()->first);
  if (!task_wait_ends_.empty()) next = std::min(next, task_wait_ends_.begin()->first);
  return next;
}

}  // namespace wheelpit
