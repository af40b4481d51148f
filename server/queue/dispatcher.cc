// Who gets what. One round hands out READY tasks to consumers with credit; each consumer that took some gets one LEASE record and
// one message.
//
// Each queue has a list of consumers that may take a task of it. A consumer enters the lists of its queues when it may take tasks
// (credit, a new call) and leaves one when it is found unable at its head: so a round costs what it hands out, however many
// consumers wait on empty queues and however many are busy.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "server/queue/limits.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {
namespace {

constexpr int kRoundTasksMax = 1024;
constexpr int64_t kRefusedRetryMs = 1000;
// A lease reply stops here.
constexpr uint64_t kCallBytesMax = 16 << 20;
constexpr size_t kNotedDescriptionMax = 512;

}  // namespace

uint32_t WorkQueueImpl::AddConsumer(std::unique_ptr<Consumer> consumer) {
  uint32_t index = static_cast<uint32_t>(consumers_.size());
  if (free_consumers_.empty()) {
    consumers_.emplace_back();
    generations_.push_back(0);
  } else {
    index = free_consumers_.back();
    free_consumers_.pop_back();
  }
  consumers_[index] = std::move(consumer);
  return index;
}

void WorkQueueImpl::DropConsumer(uint32_t index) {
  consumers_[index].reset();
  ++generations_[index];
  free_consumers_.push_back(index);
}

void WorkQueueImpl::QueueHasWork(QueueEntry& entry) {
  if (entry.flags.paused || entry.waiting.empty() || entry.ready.empty()) return;
  if (entry.active) return;
  entry.active = true;
  active_queues_.push_back(entry.number);
  dispatch_wanted_ = true;
}

void WorkQueueImpl::WakeConsumer(uint32_t index) {
  Consumer& consumer = *consumers_[index];
  for (Consumer::Subscription& subscription : consumer.queues) {
    QueueEntry& entry = *fold_.queue(subscription.queue);
    if (!subscription.waiting) {
      subscription.waiting = true;
      entry.waiting.emplace_back(index, generations_[index]);
    }
    QueueHasWork(entry);
  }
}

void WorkQueueImpl::WakeSession(uint32_t session) {
  if (!fold_.sessions.Has(session)) return;
  const uint32_t consumer = fold_.sessions[session].consumer;
  if (consumer != kNoIndex) WakeConsumer(consumer);
}

bool WorkQueueImpl::MayTake(const Consumer& consumer, const TaskSlot& slot) const {
  if (consumer.draining) return false;
  if (consumer.session == kNoIndex) {
    uint64_t bytes = slot.len;
    for (const uint32_t taken : consumer.taken) bytes += fold_.tasks[taken].len;
    return consumer.taken.size() < consumer.slots && (consumer.taken.empty() || bytes <= kCallBytesMax);
  }
  const Session& session = fold_.sessions[consumer.session];
  if (session.channel == nullptr) return false;
  const size_t held = session.leases.size() + consumer.taken.size();
  if (held >= consumer.slots) return false;
  return held == 0 || session.leased_bytes + consumer.taken_bytes + slot.len <= consumer.bytes;
}

Consumer::Subscription* WorkQueueImpl::Choose(Consumer& consumer) {
  Consumer::Subscription* best = nullptr;
  int64_t total = 0;
  for (Consumer::Subscription& subscription : consumer.queues) {
    const QueueEntry& entry = *fold_.queue(subscription.queue);
    if (entry.flags.paused || entry.ready.empty()) continue;
    subscription.current += subscription.weight;
    total += subscription.weight;
    if (best == nullptr || subscription.current > best->current) best = &subscription;
  }
  if (best != nullptr) best->current -= total;
  return best;
}

bool WorkQueueImpl::TakeOne(uint32_t consumer_index, QueueEntry& entry, int64_t now) {
  Consumer& consumer = *consumers_[consumer_index];
  while (true) {
    const uint32_t head = entry.ready.Peek(fold_.tasks);
    if (head == kNoIndex || !MayTake(consumer, fold_.tasks[head])) return false;
    const TaskSlot& slot = fold_.tasks[head];
    if (slot.expire_ms != 0 && slot.expire_ms <= now) {
      if (!FireExpiry(head, now).ok()) return false;
      continue;
    }
    entry.ready.PopNext(fold_.tasks);
    if (consumer.taken.empty()) round_.push_back(consumer_index);
    consumer.taken.push_back(head);
    consumer.taken_bytes += slot.len;
    return true;
  }
}

void WorkQueueImpl::DispatchQueue(QueueEntry& entry, int64_t now, int* budget) {
  while (*budget > 0 && failure_.ok() && !entry.waiting.empty() && !entry.ready.empty()) {
    const auto [index, generation] = entry.waiting.front();
    entry.waiting.pop_front();
    if (generations_[index] != generation) continue;
    Consumer& consumer = *consumers_[index];
    Consumer::Subscription* own = nullptr;
    for (Consumer::Subscription& subscription : consumer.queues) {
      if (subscription.queue == entry.number) own = &subscription;
    }
    own->waiting = false;
    Consumer::Subscription* chosen = Choose(consumer);
    if (chosen == nullptr || !TakeOne(index, *fold_.queue(chosen->queue), now)) continue;
    --*budget;
    own->waiting = true;
    entry.waiting.emplace_back(index, generation);
  }
}

void WorkQueueImpl::Dispatch(int64_t now) {
  if (!dispatch_wanted_ || !UsableForNew().ok() || now < dispatch_retry_ms_) return;
  int budget = kRoundTasksMax;
  std::vector<uint32_t> queues;
  queues.swap(active_queues_);
  dispatch_wanted_ = false;
  for (const uint32_t number : queues) {
    QueueEntry& entry = *fold_.queue(number);
    entry.active = false;
    if (!entry.flags.paused) DispatchQueue(entry, now, &budget);
    QueueHasWork(entry);
  }
  FinishRound(now);
}

absl::StatusOr<CachedSubmit> WorkQueueImpl::LoadSubmit(uint32_t index) {
  TaskSlot& slot = fold_.tasks[index];
  if (slot.has(kCached)) {
    const auto it = cache_.find(index);
    CachedSubmit cached = std::move(it->second);
    cache_bytes_ -= cached.bytes.size();
    cache_.erase(it);
    slot.clear(kCached);
    return cached;
  }
  absl::StatusOr<OwnedRecord> record = journal_->Read(RecordPosition{slot.pos});
  if (!record.ok()) return record.status();
  if (record->type != RecordType::kSubmit || record->id != slot.id || record->payload.size() != slot.len) {
    return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", absl::StrCat("no SUBMIT of task ", slot.id, " at its place"));
  }
  CachedSubmit read;
  read.meta_bytes = static_cast<uint32_t>(record->meta.size());
  read.bytes = std::move(record->meta);
  read.bytes.append(record->payload);
  return read;
}

void WorkQueueImpl::FinishRound(int64_t now) {
  std::vector<uint32_t> round;
  round.swap(round_);
  for (const uint32_t index : round) {
    const absl::Status status = failure_.ok() ? LeaseTaken(index, now) : failure_;
    if (status.ok()) continue;
    // Nobody got them: they go first again.
    Consumer& consumer = *consumers_[index];
    for (auto it = consumer.taken.rbegin(); it != consumer.taken.rend(); ++it) {
      QueueEntry& entry = *fold_.queue(fold_.tasks[*it].queue);
      entry.ready.PushFront(fold_.tasks, *it);
    }
    consumer.taken.clear();
    consumer.taken_bytes = 0;
    dispatch_retry_ms_ = now + kRefusedRetryMs;
    WakeConsumer(index);
  }
}

absl::Status WorkQueueImpl::LeaseTaken(uint32_t consumer_index, int64_t now) {
  Consumer& consumer = *consumers_[consumer_index];
  LeaseRecord record;
  record.at_ms = now;
  record.worker = consumer.session == kNoIndex ? consumer.worker : fold_.sessions[consumer.session].worker;
  record.session = consumer.session == kNoIndex ? 0 : fold_.sessions[consumer.session].id;
  bool sync = false;
  for (const uint32_t index : consumer.taken) {
    const TaskSlot& slot = fold_.tasks[index];
    const int64_t ttl_ms = int64_t{slot.lease_ttl_s} * 1000;
    const int64_t deadline = now + std::min(ttl_ms, fold_.policies[slot.policy].attempt_timeout_ms);
    record.leases.push_back({slot.id, epoch_ << 40 | next_token_++, slot.attempts + 1u, slot.queue, deadline});
    sync |= fold_.queue(slot.queue)->config.lease_sync;
  }
  // Payloads first: a task whose payload is damaged is DEAD (T20), and not leased.
  std::vector<CachedSubmit> submits;
  for (size_t i = 0; i < consumer.taken.size();) {
    absl::StatusOr<CachedSubmit> submit = LoadSubmit(consumer.taken[i]);
    if (submit.ok()) {
      submits.push_back(*std::move(submit));
      ++i;
      continue;
    }
    if (submit.status().code() == absl::StatusCode::kUnavailable) return submit.status();
    const uint32_t index = consumer.taken[i];
    consumer.taken.erase(consumer.taken.begin() + static_cast<ptrdiff_t>(i));
    record.leases.erase(record.leases.begin() + static_cast<ptrdiff_t>(i));
    Change change{RecordType::kDead, RecordOf(index, now), submit.status().message().substr(0, kErrorBytesMax)};
    change.record.reason = "corrupt";
    SetEnd(index, TaskState::kDead, &change.record);
    if (absl::Status s = Transition(index, std::move(change)); !s.ok()) {
      fold_.queue(fold_.tasks[index].queue)->ready.PushFront(fold_.tasks, index);
      return s;
    }
  }
  if (consumer.taken.empty()) {
    WakeConsumer(consumer_index);
    return absl::OkStatus();
  }
  std::string meta;
  codec_.Encode(record, &meta);
  const RecordView view{RecordType::kLease, 0, 0, meta, {}};
  absl::StatusOr<Lsn> lsn = AppendRecords({&view, 1}, Purpose::kOngoing, nullptr);
  if (!lsn.ok()) return lsn.status();
  ApplyLeases(consumer_index, record, *lsn, now);
  SendAssignments(consumer_index, record, std::move(submits), sync);
  return absl::OkStatus();
}

void WorkQueueImpl::ApplyLeases(uint32_t consumer_index, const LeaseRecord& record, Lsn lsn, int64_t now) {
  Consumer& consumer = *consumers_[consumer_index];
  const uint32_t session = consumer.session != kNoIndex ? consumer.session : fold_.sessions.FindOrAdd(0, consumer.worker);
  for (size_t i = 0; i < record.leases.size(); ++i) {
    const uint32_t index = consumer.taken[i];
    Detach(index);
    ProbeOf(*fold_.queue(fold_.tasks[index].queue)).Waited(now - fold_.tasks[index].due_ms);
    fold_.ApplyLease(index, record.leases[i], session, now);
    const TaskSlot& slot = fold_.tasks[index];
    CountState(slot.queue, TaskState::kReady, TaskState::kLeased, slot.len);
    Settle(index);
    fold_.queue(slot.queue)->NoteLeased({index, slot.token, now}, fold_.tasks);
  }
  Effect effect;
  effect.lsn = lsn;
  effect.events = EventsOf(record);
  effect.at_ms = now;
  effect.hurried = false;
  fold_.AddTotals(effect.events);
  PushEffect(std::move(effect));
}

// Kept at hand, so that the end of the attempt need not read the SUBMIT record again.
void WorkQueueImpl::NoteDescription(uint32_t index, const SubmitRecord& submit) {
  std::string description;
  codec_.Describe(submit, &description);
  if (description.empty()) return;
  LeaseNote& note = lease_notes_[index];
  note.description_in_journal = description.size() > kNotedDescriptionMax;
  if (!note.description_in_journal) note.description = std::move(description);
}

void WorkQueueImpl::SendAssignments(uint32_t consumer_index, const LeaseRecord& record, std::vector<CachedSubmit> submits,
                                    bool sync) {
  Consumer& consumer = *consumers_[consumer_index];
  std::vector<Assignment> assignments;
  assignments.reserve(submits.size());
  SubmitRecord submit;
  for (size_t i = 0; i < submits.size(); ++i) {
    const TaskSlot& slot = fold_.tasks[consumer.taken[i]];
    Assignment assignment;
    assignment.task = ViewOf(slot);
    const absl::string_view bytes = submits[i].bytes;
    if (codec_.Decode(bytes.substr(0, submits[i].meta_bytes), &submit).ok()) {
      FillFromSubmit(submit, &assignment.task);
      NoteDescription(consumer.taken[i], submit);
    }
    assignment.task.payload = std::string(bytes.substr(submits[i].meta_bytes));
    ProbeOf(*fold_.queue(slot.queue)).out->Add(assignment.task.payload.size());
    assignment.token = LeaseToken{slot.token};
    assignment.attempt = record.leases[i].attempt;
    assignment.deadline_ms = record.leases[i].deadline_ms;
    assignment.lease_ttl_ms = int64_t{slot.lease_ttl_s} * 1000;
    assignments.push_back(std::move(assignment));
  }
  consumer.taken.clear();
  consumer.taken_bytes = 0;
  if (consumer.session == kNoIndex) {
    LeaseDone done = std::move(consumer.done);
    wait_ends_.erase({consumer.wait_end_ms, consumer_index});
    DropConsumer(consumer_index);
    if (!sync) {
      done(std::move(assignments));
      return;
    }
    WhenDurable([done = std::move(done), assignments = std::move(assignments)](const absl::Status& status) mutable {
      if (status.ok()) {
        done(std::move(assignments));
      } else {
        done(status);
      }
    });
    return;
  }
  if (!sync) {
    fold_.sessions[consumer.session].channel->Assign(std::move(assignments));
    return;
  }
  // The stream may be gone or replaced by then: its leases run out as any lease of a silent worker.
  WorkerChannel* const channel = fold_.sessions[consumer.session].channel;
  WhenDurable([this, channel, id = record.session, assignments = std::move(assignments)](const absl::Status& status) mutable {
    const uint32_t session = fold_.sessions.FindById(id);
    if (!status.ok() || session == kNoIndex || fold_.sessions[session].channel != channel) return;
    channel->Assign(std::move(assignments));
  });
}

void WorkQueueImpl::LeaseTasks(std::string worker, std::vector<QueueWeight> queues, uint32_t tasks_max, int64_t wait_ms,
                               int64_t now, LeaseDone done) {
  now = Tick(now);
  const auto check = [&]() -> absl::Status {
    if (absl::Status s = UsableForNew(); !s.ok()) return s;
    const auto bad = [](absl::string_view message) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", message);
    };
    if (worker.empty() || worker.size() > 128) return bad("worker_id: 1-128 bytes");
    if (tasks_max < 1 || tasks_max > 256) return bad("tasks_max: must be 1..256");
    if (wait_ms < 0 || wait_ms > 60'000) return bad("wait_ms: must be 0..60,000");
    return absl::OkStatus();
  };
  absl::Status status = check();
  auto consumer = std::make_unique<Consumer>();
  if (status.ok()) status = Subscribe(queues, now, consumer.get());
  if (!status.ok()) {
    done(status);
    return;
  }
  consumer->slots = tasks_max;
  consumer->worker = std::move(worker);
  consumer->wait_end_ms = now + wait_ms;
  consumer->done = std::move(done);
  const int64_t end = consumer->wait_end_ms;
  const uint32_t index = AddConsumer(std::move(consumer));
  wait_ends_.insert({end, index});
  WakeConsumer(index);
}

absl::Status WorkQueueImpl::Subscribe(const std::vector<QueueWeight>& queues, int64_t now, Consumer* consumer) {
  if (queues.empty() || queues.size() > 1000) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "queues: 1-1000 of them");
  }
  for (const QueueWeight& wanted : queues) {
    if (wanted.weight > 1000) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "queues: a weight must be 1..1000");
    }
    if (absl::Status s = CheckQueueName(wanted.queue); !s.ok()) return s;
    absl::StatusOr<QueueEntry*> entry = QueueForUse(wanted.queue, Purpose::kOngoing, now);
    if (!entry.ok()) return entry.status();
    Consumer::Subscription subscription;
    subscription.queue = (*entry)->number;
    subscription.weight = std::max<uint32_t>(1, wanted.weight);
    const auto same = std::find_if(consumer->queues.begin(), consumer->queues.end(),
                                   [&](const auto& s) { return s.queue == subscription.queue; });
    if (same == consumer->queues.end()) consumer->queues.push_back(subscription);
  }
  return absl::OkStatus();
}

void WorkQueueImpl::EndWaits(int64_t now) {
  while (!wait_ends_.empty()) {
    const auto [end, index] = *wait_ends_.begin();
    // What it could have had waits only for the next round.
    if (failure_.ok() && !draining_ && (end > now || (end == now && dispatch_wanted_ && now >= dispatch_retry_ms_))) return;
    wait_ends_.erase(wait_ends_.begin());
    LeaseDone done = std::move(consumers_[index]->done);
    DropConsumer(index);
    const absl::Status status = UsableForNew();
    if (status.ok()) {
      done(std::vector<Assignment>());
    } else {
      done(status);
    }
  }
}

}  // namespace wheelpit
