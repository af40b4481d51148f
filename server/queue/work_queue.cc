#include "server/queue/work_queue.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {

std::unique_ptr<WorkQueue> WorkQueue::Create(const WorkQueueOptions& options, Journal* journal, DurableQueue* durable,
                                             QueueObserver* observer, Rng* rng) {
  return std::make_unique<WorkQueueImpl>(options, journal, durable, observer, rng);
}

WorkQueueImpl::WorkQueueImpl(const WorkQueueOptions& options, Journal* journal, DurableQueue* durable, QueueObserver* observer,
                             Rng* rng)
    : options_(options), journal_(journal), durable_(durable), observer_(observer), rng_(rng) {
  stats_ = std::make_shared<const ShardStats>();
}

void WorkQueueImpl::SetEpoch(uint64_t epoch, const SipKey& hash_key) {
  WHEELPIT_CHECK(epoch > fold_.epoch && epoch < (uint64_t{1} << 24), "epoch %d after %d", epoch, fold_.epoch);
  WHEELPIT_CHECK(!fold_.has_hash_key || fold_.hash_key == hash_key, "another hash key");
  epoch_ = epoch;
  fold_.epoch = epoch;
  fold_.hash_key = hash_key;
  fold_.has_hash_key = true;
  epoch_set_ = true;
}

absl::Status WorkQueueImpl::Usable() const {
  if (!failure_.ok()) return failure_;
  if (!recovered_ || !epoch_set_) {
    return MakeError(absl::StatusCode::kUnavailable, "STARTING", "the queue is being recovered", absl::Seconds(1));
  }
  return absl::OkStatus();
}

absl::Status WorkQueueImpl::UsableForNew() const {
  if (absl::Status s = Usable(); !s.ok()) return s;
  if (draining_) {
    return MakeError(absl::StatusCode::kUnavailable, "DRAINING", "the server is shutting down", absl::Seconds(1));
  }
  return absl::OkStatus();
}

absl::StatusOr<Lsn> WorkQueueImpl::AppendRecords(absl::Span<const RecordView> records, Purpose purpose,
                                                 RecordPosition* positions) {
  absl::StatusOr<Lsn> first = purpose == Purpose::kEnd       ? journal_->AppendReserved(records, positions)
                              : purpose == Purpose::kOngoing ? journal_->AppendOngoing(records, positions)
                                                             : journal_->Append(records, positions);
  if (!first.ok() && first.status().code() == absl::StatusCode::kUnavailable) failure_ = first.status();
  return first;
}

void WorkQueueImpl::PushEffect(Effect effect) {
  const Lsn lsn = effect.lsn;
  const bool first_of_lsn = effects_.empty() || effects_.back().lsn != lsn;
  if (effect.hurried) durable_->Await(lsn);
  effects_.push_back(std::move(effect));
  // One wake an lsn: it runs all effects up to it.
  if (first_of_lsn) durable_->AfterUnhurried(lsn, [this, lsn](const absl::Status& status) { RunEffects(lsn, status); });
}

void WorkQueueImpl::RunEffects(Lsn lsn, const absl::Status& status) {
  if (!status.ok() && failure_.ok()) failure_ = status;
  while (!effects_.empty() && effects_.front().lsn <= lsn) {
    Effect effect = std::move(effects_.front());
    effects_.pop_front();
    RunEffect(effect, status);
  }
}

void WorkQueueImpl::RunEffect(Effect& effect, const absl::Status& status) {
  if (status.ok()) {
    if (effect.created_queue != 0) {
      fold_.queue(effect.created_queue)->visible = true;
      ProbeOf(*fold_.queue(effect.created_queue));  // its series begin with 0
    }
    for (const FoldEvent& event : effect.events) {
      if (QueueEntry* entry = fold_.queue(event.queue)) {
        entry->visible_totals[static_cast<size_t>(event.kind)] += event.n;
        if (event.kind == QueueEventKind::kAttemptFailed && absl::string_view(event.reason) != "error") entry->lost_attempts += event.n;
      }
    }
    if (effect.index != kNoIndex) {
      if (effect.counts_state) {
        CountState(fold_.tasks[effect.index].queue, effect.from, effect.to, effect.bytes);
      }
      const auto it = pending_.find(effect.index);
      if (it != pending_.end() && it->second.last != effect.lsn) {
        std::vector<std::pair<Lsn, TaskSlot>>& steps = it->second.steps;
        while (!steps.empty() && steps.front().first <= effect.lsn) {
          it->second.visible = steps.front().second;
          steps.erase(steps.begin());
        }
      } else if (it != pending_.end()) {
        pending_.erase(it);
        fold_.tasks[effect.index].clear(kPending);
        Settle(effect.index);
      }
    }
    Emit(effect.lsn, effect.events, effect.at_ms, effect.counted);
    if (effect.index != kNoIndex && IsTerminal(effect.to)) NotifyWaiters(effect.index);
  }
  if (effect.reply != nullptr) effect.reply(status);
}

void WorkQueueImpl::WhenDurable(Reply reply) {
  if (!failure_.ok()) {
    reply(failure_);
    return;
  }
  if (durable_->advanced() >= journal_->last_lsn()) {
    reply(absl::OkStatus());
    return;
  }
  // An effect of its own, so that a reply to a later record of the same lsn cannot be overtaken.
  Effect effect;
  effect.lsn = journal_->last_lsn();
  effect.reply = std::move(reply);
  effects_.push_back(std::move(effect));
  const Lsn lsn = journal_->last_lsn();
  durable_->After(lsn, [this, lsn](const absl::Status& status) { RunEffects(lsn, status); });
}

void WorkQueueImpl::CountState(uint32_t queue, TaskState from, TaskState to, uint64_t bytes) {
  QueueEntry& entry = *fold_.queue(queue);
  const auto move = [&entry, bytes](TaskState state, bool in) {
    if (state == TaskState::kUnspecified) return;
    const uint64_t one = in ? 1 : ~uint64_t{0};
    const uint64_t size = in ? bytes : ~bytes + 1;
    entry.tasks[static_cast<size_t>(state)] += one;
    if (!IsTerminal(state)) entry.visible_live_bytes += size;
    if (state == TaskState::kDead) entry.visible_dead_bytes += size;
  };
  move(from, false);
  move(to, true);
  if (from == TaskState::kDelayed || from == TaskState::kRetryWait) entry.PruneDue(fold_.tasks);
  if (to == TaskState::kReady && recovered_ && (from == TaskState::kUnspecified || from == TaskState::kDelayed)) {
    ++entry.first_ready;
  }
  terminal_tasks_ += (IsTerminal(to) ? 1u : 0u);
  terminal_tasks_ -= (IsTerminal(from) ? 1u : 0u);
}

void WorkQueueImpl::Emit(Lsn lsn, const FoldEvents& events, int64_t at_ms, const std::vector<CountedSeries>& counted) {
  if (observer_ == nullptr) return;
  for (const FoldEvent& event : events) {
    const QueueEntry* entry = fold_.queue(event.queue);
    if (entry == nullptr) continue;
    QueueEvent out{event.kind, entry->name, event.reason, at_ms, event.n, {}};
    if (event.kind == QueueEventKind::kSubmitted) out.counts = counted;
    observer_->OnQueueEvent(lsn, out);
  }
}

void WorkQueueImpl::MarkPending(uint32_t index, Lsn lsn, bool visible) {
  TaskSlot& slot = fold_.tasks[index];
  auto [it, inserted] = pending_.try_emplace(index);
  if (inserted && visible) it->second.visible = slot;
  if (!inserted) it->second.steps.emplace_back(it->second.last, slot);
  it->second.last = lsn;
  slot.set(kPending);
}

void WorkQueueImpl::Detach(uint32_t index) {
  TaskSlot& slot = fold_.tasks[index];
  if (slot.has(kInReady)) fold_.queue(slot.queue)->ready.Remove(fold_.tasks, index);
  if (slot.has(kInWheel)) wheel_.Remove(index);
  if (slot.expire_ms != 0) expiries_.erase({slot.expire_ms, index});
}

void WorkQueueImpl::Settle(uint32_t index) {
  Detach(index);
  TaskSlot& slot = fold_.tasks[index];
  QueueEntry& entry = *fold_.queue(slot.queue);
  switch (slot.state) {
    case TaskState::kReady:
      entry.ready.Push(fold_.tasks, index);
      QueueHasWork(entry);
      break;
    case TaskState::kDelayed:
    case TaskState::kRetryWait:
      wheel_.Add(index, slot.due_ms);
      entry.NoteDue(slot.due_ms, index, fold_.tasks);
      break;
    case TaskState::kLeased:
      wheel_.Add(index, slot.due_ms);
      return;
    default:
      SettleTerminal(index);
      return;
  }
  if (slot.expire_ms != 0) expiries_.insert({slot.expire_ms, index});
}

void WorkQueueImpl::SettleTerminal(uint32_t index) {
  const TaskSlot& slot = fold_.tasks[index];
  DropCached(index);
  wheel_.Add(index, slot.due_ms);
  terminal_order_.push_back(slot.id);
  if (slot.state == TaskState::kDead) {
    fold_.queue(slot.queue)->dead_order.push_back(slot.id);
    dead_queues_.insert(slot.queue);
  }
}

TaskRecord WorkQueueImpl::RecordOf(uint32_t index, int64_t now) const {
  const TaskSlot& slot = fold_.tasks[index];
  TaskRecord record;
  record.at_ms = now;
  record.queue = slot.queue;
  record.token = slot.token;
  record.attempts = slot.attempts;
  record.failures = slot.failures;
  record.losses = slot.losses;
  record.releases = slot.releases;
  record.redrives = slot.redrives;
  return record;
}

void WorkQueueImpl::SetEnd(uint32_t index, TaskState state, TaskRecord* record) const {
  const TaskSlot& slot = fold_.tasks[index];
  const QueueConfig& config = fold_.queue(slot.queue)->config;
  record->retain_until_ms =
      record->at_ms + (state == TaskState::kDead ? config.dead_retention_ms : config.retention_ms);
  if (slot.dedupe != kNoIndex) record->dedupe_until_ms = record->at_ms + config.dedupe_window_ms;
}

QueueProbe& WorkQueueImpl::MakeProbe(QueueEntry& entry) {
  const bool own = entry.number <= options_.metric_queues_max;
  if (!own && other_probe_ != nullptr) return *(entry.probe = other_probe_);
  entry.probe = probes_.emplace_back(std::make_unique<QueueProbe>(own ? entry.name : QueueProbe::kOther)).get();
  if (!own) other_probe_ = entry.probe;
  return *entry.probe;
}

void WorkQueueImpl::NoteRun(QueueProbe& probe, RecordType type, const TaskRecord& record, int64_t ms) {
  const bool failed = record.reason == "error" || record.reason == "not_retryable" || record.reason == "max_attempts";
  switch (type) {
    case RecordType::kDone:
      return probe.Ran(RunEnd::kCompleted, ms);
    case RecordType::kCancel:
      return probe.Ran(RunEnd::kCancelled, ms);
    case RecordType::kRetry:
    case RecordType::kDead:
    case RecordType::kExpire:
      return probe.Ran(failed ? RunEnd::kFailed : RunEnd::kLost, ms);
    default:
      return;  // given back
  }
}

std::string WorkQueueImpl::DescriptionOf(uint32_t index) {
  const TaskSlot& slot = fold_.tasks[index];
  if (slot.state == TaskState::kLeased && slot.token >> 40 == epoch_) {
    const auto note = lease_notes_.find(index);
    if (note == lease_notes_.end()) return "";
    if (!note->second.description_in_journal) return note->second.description;
  }
  SubmitRecord submit;
  std::string description;
  absl::Status read;
  if (slot.has(kCached)) {
    const CachedSubmit& cached = cache_.find(index)->second;
    read = codec_.Decode(absl::string_view(cached.bytes).substr(0, cached.meta_bytes), &submit);
  } else {
    const absl::StatusOr<OwnedRecord> record = journal_->Read(RecordPosition{slot.pos});
    read = record.ok() ? codec_.Decode(record->meta, &submit) : record.status();
  }
  // A damaged record must not keep the task from its end.
  if (read.ok()) codec_.Describe(submit, &description);
  return description;
}

absl::Status WorkQueueImpl::Transition(uint32_t index, Change change) {
  // The SUBMIT record of a dead task stays; that of every other ended one goes.
  if (change.type == RecordType::kDone || change.type == RecordType::kCancel || change.type == RecordType::kExpire) {
    change.record.description = DescriptionOf(index);
  }
  std::string meta;
  codec_.Encode(change.record, &meta);
  const RecordView view{change.type, 0, fold_.tasks[index].id, meta, change.payload};
  RecordPosition position;
  absl::StatusOr<Lsn> lsn = AppendRecords({&view, 1}, Purpose::kEnd, &position);
  if (!lsn.ok()) return lsn.status();

  const TaskSlot& slot = fold_.tasks[index];
  const uint32_t holder = slot.worker;
  QueueProbe& probe = ProbeOf(*fold_.queue(slot.queue));
  if (slot.state == TaskState::kLeased) NoteRun(probe, change.type, change.record, change.record.at_ms - slot.attempt_start());
  Effect effect;
  effect.lsn = *lsn;
  effect.index = index;
  effect.from = slot.state;
  effect.bytes = slot.len;
  effect.events = EventsOf(change.type, change.record);
  effect.at_ms = change.record.at_ms;
  const bool stays = change.type == RecordType::kCancelRequest;
  const bool at_once = !change.wait && !IsPending(index);
  if (!stays) Detach(index);
  if (!stays && !lease_notes_.empty()) lease_notes_.erase(index);
  if (!at_once) MarkPending(index, *lsn, true);
  fold_.ApplyTask(change.type, index, position, static_cast<uint32_t>(change.payload.size()), change.record);
  fold_.AddTotals(effect.events);
  effect.to = slot.state;
  if (slot.terminal()) probe.Ended(change.record.at_ms - slot.submitted_ms, slot.attempts);
  effect.counts_state = !at_once;
  effect.hurried = !at_once;
  if (at_once) {
    CountState(slot.queue, effect.from, effect.to, effect.bytes);
    Settle(index);
  }
  PushEffect(std::move(effect));
  if (!stays && holder != kNoIndex) WakeSession(holder);
  return absl::OkStatus();
}

void WorkQueueImpl::DropCached(uint32_t index) {
  TaskSlot& slot = fold_.tasks[index];
  if (!slot.has(kCached)) return;
  slot.clear(kCached);
  const auto it = cache_.find(index);
  cache_bytes_ -= it->second.bytes.size();
  cache_.erase(it);
}

}  // namespace wheelpit
