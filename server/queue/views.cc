// What callers see: tasks as of what is durable, and stats.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {

const TaskSlot* WorkQueueImpl::Visible(uint32_t index) const {
  const TaskSlot& slot = fold_.tasks[index];
  if (!slot.has(kPending)) return &slot;
  const TaskSlot& before = pending_.find(index)->second.visible;
  return before.state == TaskState::kUnspecified ? nullptr : &before;
}

TaskView WorkQueueImpl::ViewOf(const TaskSlot& slot) const {
  TaskView view;
  const TaskPolicy& policy = fold_.policies[slot.policy];
  view.id = TaskId{slot.id};
  view.queue = fold_.queue(slot.queue)->name;
  view.state = slot.state;
  view.priority = slot.prio;
  view.submitted_at_ms = slot.submitted_ms;
  view.expire_at_ms = slot.expire_ms;
  view.lease_ttl_ms = int64_t{slot.lease_ttl_s} * 1000;
  view.attempt_timeout_ms = policy.attempt_timeout_ms;
  view.max_attempts = policy.max_attempts;
  view.max_losses = policy.max_losses;
  view.backoff = policy.backoff;
  view.attempts = slot.attempts;
  view.failures = slot.failures;
  view.losses = slot.losses;
  view.releases = slot.releases;
  view.redrives = slot.redrives;
  view.cancel_requested = slot.has(kCancelRequested);
  view.state_since_ms = slot.state == TaskState::kReady ? slot.due_ms : slot.attempt_start();
  view.due_ms = slot.state == TaskState::kReady ? 0 : slot.due_ms;
  if (slot.worker != kNoIndex && fold_.sessions.Has(slot.worker)) view.worker = fold_.sessions[slot.worker].worker;
  if (slot.state == TaskState::kSucceeded) view.result_size_bytes = slot.len;
  return view;
}

void WorkQueueImpl::FillFromSubmit(const SubmitRecord& record, TaskView* view) const {
  view->content_type = record.spec.content_type;
  view->attributes = record.spec.attributes;
  view->fairness_key = record.spec.fairness_key;
  view->idempotency_key = record.spec.idempotency_key;
  view->not_before_ms = record.spec.not_before_ms;
  view->trace_context = record.spec.trace_context;
}

void WorkQueueImpl::FillProgress(const TaskSlot& slot, TaskView* view) const {
  if (slot.state != TaskState::kLeased || lease_notes_.empty()) return;
  const auto note = lease_notes_.find(fold_.tasks.Find(slot.id));
  if (note == lease_notes_.end() || !note->second.has_progress) return;
  view->progress_percent = note->second.percent;
  view->progress_note = note->second.note;
}

bool WorkQueueImpl::FillFromRecord(const TaskSlot& slot, ViewOptions options, TaskView* view) const {
  if (slot.rec == 0) return false;
  absl::StatusOr<OwnedRecord> record = journal_->Read(RecordPosition{slot.rec});
  TaskRecord meta;
  if (!record.ok() || record->id != slot.id || !codec_.Decode(record->meta, &meta).ok()) return false;
  SubmitRecord submit;
  const bool described = !meta.description.empty() && codec_.Decode(meta.description, &submit).ok();
  if (described) FillFromSubmit(submit, view);
  if (record->type == RecordType::kDone) {
    view->result_content_type = meta.content_type;
    if (options.result) view->result = std::move(record->payload);
    return described;
  }
  view->last_error = std::move(record->payload);
  if (record->type == RecordType::kDead) {
    view->dead_reason = meta.reason;
    view->loss_cause = meta.cause;
  } else if (meta.reason != "error") {
    view->loss_cause = meta.reason;
  }
  return described;
}

absl::StatusOr<TaskView> WorkQueueImpl::GetTask(TaskId id, ViewOptions options, int64_t now) {
  Tick(now);
  if (absl::Status s = Usable(); !s.ok()) return s;
  absl::StatusOr<uint32_t> index = FindTask(id);
  if (!index.ok()) return index.status();
  const TaskSlot& slot = *Visible(*index);
  TaskView view = ViewOf(slot);
  FillProgress(slot, &view);
  const bool described = FillFromRecord(slot, options, &view);
  // An ended task, unless dead, keeps no claim on its SUBMIT record: its last record says what was submitted, but for the payload.
  if (!described || options.payload) {
    absl::StatusOr<OwnedRecord> submit = journal_->Read(RecordPosition{slot.pos});
    SubmitRecord record;
    if (submit.ok() && submit->id == slot.id && codec_.Decode(submit->meta, &record).ok()) {
      FillFromSubmit(record, &view);
      if (options.payload) view.payload = std::move(submit->payload);
    } else if (options.payload && !slot.terminal()) {
      return submit.ok() ? MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "the payload is damaged") : submit.status();
    }
  }
  if (options.result && slot.state == TaskState::kSucceeded && view.result.size() != slot.len) {
    return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", absl::StrCat("the result of task ", FormatTaskId(id), " is damaged"));
  }
  return view;
}

void WorkQueueImpl::WaitTask(TaskId id, int64_t timeout_ms, ViewOptions options, int64_t now, TaskDone done) {
  now = Tick(now);
  if (timeout_ms < 0 || timeout_ms > 600'000) {
    done(MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "timeout_ms: must be 0..600,000"));
    return;
  }
  absl::StatusOr<TaskView> view = GetTask(id, options, now);
  if (!view.ok() || IsTerminal(view->state) || timeout_ms == 0) {
    done(std::move(view));
    return;
  }
  TaskWaiter waiter{next_waiter_++, now + timeout_ms, options, std::move(done)};
  task_wait_ends_.insert({waiter.end_ms, {id.value, waiter.number}});
  task_waiters_[id.value].push_back(std::move(waiter));
}

void WorkQueueImpl::NotifyWaiters(uint32_t index) {
  if (task_waiters_.empty()) return;
  const uint64_t id = fold_.tasks[index].id;
  const auto it = task_waiters_.find(id);
  if (it == task_waiters_.end()) return;
  std::vector<TaskWaiter> waiters = std::move(it->second);
  task_waiters_.erase(it);
  for (TaskWaiter& waiter : waiters) {
    task_wait_ends_.erase({waiter.end_ms, {id, waiter.number}});
    waiter.done(GetTask(TaskId{id}, waiter.view, now_ms_));
  }
}

absl::StatusOr<std::vector<TaskView>> WorkQueueImpl::ListTasks(const TaskListQuery& query, int64_t now) {
  Tick(now);
  if (absl::Status s = Usable(); !s.ok()) return s;
  if (query.tasks_max < 1 || query.tasks_max > 1000) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "page_size: must be 1..1000");
  }
  const QueueEntry* entry = fold_.FindQueue(query.queue);
  if (entry == nullptr || !entry->visible) {
    return MakeError(absl::StatusCode::kNotFound, "QUEUE", absl::StrCat("no queue ", Quoted(query.queue)));
  }
  std::vector<TaskView> views;
  uint64_t left = 0;
  for (const uint64_t count : entry->tasks) left += count;
  while (lowest_counter_ < fold_.next_counter && fold_.tasks.Find(MakeId(lowest_counter_)) == kNoIndex) ++lowest_counter_;
  const uint64_t end = MakeId(fold_.next_counter);
  for (uint64_t id = std::max(query.after.value + 1, MakeId(lowest_counter_)); id < end && left > 0; ++id) {
    const uint32_t index = fold_.tasks.Find(id);
    if (index == kNoIndex) continue;
    const TaskSlot* slot = Visible(index);
    if (slot == nullptr || slot->queue != entry->number) continue;
    const bool wanted = query.states.empty() ||
                        std::find(query.states.begin(), query.states.end(), slot->state) != query.states.end();
    if (!wanted) continue;
    views.push_back(ViewOf(*slot));
    FillProgress(*slot, &views.back());
    if (views.size() == query.tasks_max) break;
  }
  return views;
}

ShardStats WorkQueueImpl::ComputeStats(int64_t now) const {
  ShardStats stats;
  stats.at_ms = now;
  stats.dedupe_entries = fold_.dedupe.size();
  stats.dedupe_effective_window_ms = options_.queue_defaults.dedupe_window_ms;
  if (evicted_ended_ms_ != 0) {
    stats.dedupe_effective_window_ms = std::clamp<int64_t>(now - evicted_ended_ms_, 0, stats.dedupe_effective_window_ms);
  }
  stats.payload_cache_bytes = cache_bytes_;
  stats.terminal_tasks = terminal_tasks_;
  for (const auto& entry : fold_.queues) {
    if (entry == nullptr || !entry->visible) continue;
    stats.queues.push_back(StatsOf(*entry, now));
    for (int s = 1; s < kTaskStates; ++s) {
      if (!IsTerminal(static_cast<TaskState>(s))) stats.live_tasks += entry->tasks[static_cast<size_t>(s)];
    }
  }
  std::sort(stats.queues.begin(), stats.queues.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& consumer : consumers_) {
    if (consumer == nullptr || consumer->session == kNoIndex) continue;
    const Session& session = fold_.sessions[consumer->session];
    for (const Consumer::Subscription& subscription : consumer->queues) {
      const std::string& name = fold_.queue(subscription.queue)->name;
      const auto it = std::lower_bound(stats.queues.begin(), stats.queues.end(), name,
                                       [](const QueueStats& q, const std::string& n) { return q.name < n; });
      if (it == stats.queues.end() || it->name != name) continue;
      ++it->worker_sessions;
      it->worker_slots += consumer->slots;
      it->worker_slots_busy += std::min<uint64_t>(session.leases.size(), consumer->slots);
    }
  }
  return stats;
}

QueueStats WorkQueueImpl::StatsOf(const QueueEntry& entry, int64_t now) const {
  QueueStats stats;
  stats.name = entry.name;
  stats.number = entry.number;
  stats.config = entry.config;
  stats.flags = entry.flags;
  stats.at_ms = now;
  stats.tasks = entry.tasks;
  stats.live_bytes = entry.visible_live_bytes;
  stats.dead_bytes = entry.visible_dead_bytes;
  stats.oldest_ready_since_ms = entry.ready.OldestSince(fold_.tasks);
  stats.oldest_first_attempt_since_ms = entry.ready.OldestNeverAttemptedSince(fold_.tasks);
  for (const LeasedSince& lease : entry.leased_order) {
    const TaskSlot& slot = fold_.tasks[lease.index];
    if (slot.state != TaskState::kLeased || slot.token != lease.token) continue;
    stats.oldest_leased_since_ms = lease.since_ms;
    break;
  }
  if (!entry.due_heap.empty()) stats.next_due_ms = entry.due_heap.front().first;
  stats.first_ready = entry.first_ready;
  stats.lost_attempts = entry.lost_attempts;
  const auto total = [&entry](QueueEventKind kind) { return entry.visible_totals[static_cast<size_t>(kind)]; };
  stats.submitted = total(QueueEventKind::kSubmitted);
  stats.leased = total(QueueEventKind::kLeased);
  stats.completed = total(QueueEventKind::kCompleted);
  stats.failed_attempts = total(QueueEventKind::kAttemptFailed);
  stats.retried = total(QueueEventKind::kRetried);
  stats.dead_lettered = total(QueueEventKind::kDeadLettered);
  stats.released = total(QueueEventKind::kReleased);
  stats.redelivered = total(QueueEventKind::kRedelivered);
  stats.cancelled = total(QueueEventKind::kCancelled);
  stats.expired = total(QueueEventKind::kExpired);
  return stats;
}

std::shared_ptr<const ShardStats> WorkQueueImpl::stats() const {
  MutexLock lock(&stats_mu_);
  return stats_;
}

void WorkQueueImpl::PublishStats(int64_t now) {
  auto stats = std::make_shared<ShardStats>(ComputeStats(Tick(now)));
  if (complete_stats_) complete_stats_(stats.get());
  MutexLock lock(&stats_mu_);
  stats_ = std::move(stats);
}

}  // namespace wheelpit
