// What the holder of a lease may do with it: complete, fail, extend, release; and how a lease is lost.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/utf8.h"
#include "server/queue/limits.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {
namespace {

absl::Status BadField(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", message);
}

absl::Status LeaseLostError(TaskId id, LeaseToken token) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "LEASE_LOST",
                   absl::StrCat("token ", token.value, " of task ", FormatTaskId(id), " is not current"));
}

}  // namespace

absl::StatusOr<uint32_t> WorkQueueImpl::FindTask(TaskId id) const {
  const uint32_t index = fold_.tasks.Find(id.value);
  if (index == kNoIndex || Visible(index) == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "TASK", absl::StrCat("no task ", FormatTaskId(id)));
  }
  return index;
}

absl::StatusOr<uint32_t> WorkQueueImpl::FindLease(TaskId id, LeaseToken token) const {
  if (token.value == 0) return BadField("token: must not be 0");
  return FindTask(id);
}

LeaseOutcome WorkQueueImpl::Noted(LeaseOp op, TaskId task, LeaseOutcome outcome) {
  if (outcome.status.ok() || ErrorReason(outcome.status) != "LEASE_LOST") return outcome;
  const uint32_t index = fold_.tasks.Find(task.value);
  if (index != kNoIndex) ProbeOf(*fold_.queue(fold_.tasks[index].queue)).Stale(op);
  return outcome;
}

LeaseOutcome WorkQueueImpl::CompleteOne(const Completion& item, int64_t now) {
  absl::StatusOr<uint32_t> found = FindLease(item.task, item.token);
  if (!found.ok()) return {found.status()};
  if (item.result_content_type.size() > 255 || !IsValidUtf8(item.result_content_type)) {
    return {BadField("result_content_type: at most 255 bytes of UTF-8")};
  }
  const uint32_t index = *found;
  const TaskSlot& slot = fold_.tasks[index];
  if (slot.token != item.token.value) return {LeaseLostError(item.task, item.token)};
  if (slot.state == TaskState::kSucceeded) return {absl::OkStatus(), slot.state};
  const bool late = slot.has(kLateComplete) && (slot.state == TaskState::kRetryWait || slot.state == TaskState::kReady);
  if (slot.state != TaskState::kLeased && !late) return {LeaseLostError(item.task, item.token)};
  const uint64_t bytes_max = fold_.queue(slot.queue)->config.result_bytes_max;
  if (item.result.size() > bytes_max) {
    return {MakeError(absl::StatusCode::kInvalidArgument, "PAYLOAD_TOO_LARGE",
                      absl::StrCat("result of ", item.result.size(), " bytes: at most ", bytes_max))};
  }
  Change change{RecordType::kDone, RecordOf(index, now), item.result};
  change.record.content_type = item.result_content_type;
  SetEnd(index, TaskState::kSucceeded, &change.record);
  if (absl::Status s = Transition(index, std::move(change)); !s.ok()) return {s};
  return {absl::OkStatus(), TaskState::kSucceeded};
}

int64_t WorkQueueImpl::BackoffDelay(const TaskPolicy& policy, uint64_t k) {
  const double limit = static_cast<double>(policy.backoff.max_delay_ms);
  const double exponent = static_cast<double>(k == 0 ? 0 : k - 1);
  // Overflows to infinity at worst, which the limit cuts.
  const double curve = static_cast<double>(policy.backoff.initial_ms) * std::pow(policy.backoff.multiplier, exponent);
  const double d = std::min(limit, curve);
  return static_cast<int64_t>(std::ceil(d / 2 + rng_->Unit() * (d / 2)));
}

LeaseOutcome WorkQueueImpl::FailOne(const Failure& item, int64_t now) {
  absl::StatusOr<uint32_t> found = FindLease(item.task, item.token);
  if (!found.ok()) return {found.status()};
  if (item.retry_after_ms < 0) return {BadField("retry_after_ms: must not be negative")};
  if (item.retry_after_ms > kRetryAfterMaxMs) {
    return {MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_LIMITS", "retry_after_ms: at most 24 h")};
  }
  const uint32_t index = *found;
  const TaskSlot& slot = fold_.tasks[index];
  if (slot.token != item.token.value) return {LeaseLostError(item.task, item.token)};
  if (slot.state != TaskState::kLeased) {
    if (!slot.has(kFailRecorded)) return {LeaseLostError(item.task, item.token)};
    return {absl::OkStatus(), slot.state == TaskState::kReady ? TaskState::kRetryWait : slot.state};
  }
  const std::string error = ToValidUtf8(item.error, kErrorBytesMax);
  Change change{RecordType::kRetry, RecordOf(index, now), error};
  TaskRecord& record = change.record;
  const TaskPolicy& policy = fold_.policies[slot.policy];
  record.failures += 1;
  record.reason = "error";
  TaskState state = TaskState::kRetryWait;
  if (slot.has(kCancelRequested)) {
    change.type = RecordType::kCancel;
    state = TaskState::kCancelled;
  } else if (!item.retryable || record.failures >= policy.max_attempts) {
    change.type = RecordType::kDead;
    record.reason = item.retryable ? "max_attempts" : "not_retryable";
    state = TaskState::kDead;
  } else if (slot.expire_ms != 0 && slot.expire_ms <= now) {
    change.type = RecordType::kExpire;
    state = TaskState::kExpired;
  } else {
    record.due_ms = now + (item.retry_after_ms > 0 ? item.retry_after_ms : BackoffDelay(policy, record.failures));
  }
  if (IsTerminal(state)) SetEnd(index, state, &record);
  if (absl::Status s = Transition(index, std::move(change)); !s.ok()) return {s};
  return {absl::OkStatus(), state};
}

int64_t WorkQueueImpl::ExtendTo(TaskSlot& slot, int64_t ttl_ms, int64_t now, bool* final) {
  const int64_t end = slot.attempt_start() + fold_.policies[slot.policy].attempt_timeout_ms;
  const int64_t asked = now + std::min(ttl_ms, kLeaseTtlMaxMs);
  *final = asked >= end;
  const int64_t deadline = std::min(asked, end);
  const bool earlier = deadline < slot.due_ms;
  slot.due_ms = deadline;
  // A later deadline is found when the timer fires; an earlier one needs its own place.
  if (earlier && slot.has(kInWheel)) {
    const uint32_t index = fold_.tasks.Find(slot.id);
    wheel_.Remove(index);
    wheel_.Add(index, deadline);
  }
  return deadline;
}

LeaseOutcome WorkQueueImpl::ExtendOne(const Extension& item, int64_t now) {
  absl::StatusOr<uint32_t> found = FindLease(item.task, item.token);
  if (!found.ok()) return {found.status()};
  if (item.ttl_ms < 0) return {BadField("ttl_ms: must not be negative")};
  TaskSlot& slot = fold_.tasks[*found];
  if (slot.state != TaskState::kLeased || slot.token != item.token.value) return {LeaseLostError(item.task, item.token)};
  LeaseOutcome outcome{absl::OkStatus(), TaskState::kLeased};
  const int64_t ttl_ms = item.ttl_ms == 0 ? int64_t{slot.lease_ttl_s} * 1000 : item.ttl_ms;
  outcome.deadline_ms = ExtendTo(slot, ttl_ms, now, &outcome.final);
  ProbeOf(*fold_.queue(slot.queue)).extended->Add();
  return outcome;
}

absl::Status WorkQueueImpl::Progress(const LeaseRef& lease, uint32_t percent, std::string note, int64_t now) {
  Tick(now);
  if (absl::Status s = Usable(); !s.ok()) return s;
  if (percent > 100) return BadField(absl::StrCat("percent ", percent, ": must be 0..100"));
  if (note.size() > kNoteBytesMax || !IsValidUtf8(note)) return BadField("note: at most 1 KiB of UTF-8");
  absl::StatusOr<uint32_t> found = FindLease(lease.task, lease.token);
  if (!found.ok()) return found.status();
  const TaskSlot& slot = fold_.tasks[*found];
  if (slot.state != TaskState::kLeased || slot.token != lease.token.value) return LeaseLostError(lease.task, lease.token);
  const bool from_before = slot.token >> 40 != epoch_;
  auto [it, is_new] = lease_notes_.try_emplace(*found);
  // Of a lease from before the start nothing is at hand.
  if (is_new && from_before) it->second.description_in_journal = true;
  it->second.has_progress = true;
  it->second.percent = percent;
  it->second.note = std::move(note);
  return absl::OkStatus();
}

LeaseOutcome WorkQueueImpl::ReleaseOne(const LeaseRef& item, int64_t now, bool* wait) {
  absl::StatusOr<uint32_t> found = FindLease(item.task, item.token);
  if (!found.ok()) return {found.status()};
  const uint32_t index = *found;
  const TaskSlot& slot = fold_.tasks[index];
  if (slot.state != TaskState::kLeased || slot.token != item.token.value) return {LeaseLostError(item.task, item.token)};
  const bool expired = slot.expire_ms != 0 && slot.expire_ms <= now;
  absl::Status status;
  if (slot.has(kCancelRequested) || expired || slot.releases >= kReleasesMax) {
    status = LoseLease(index, "worker_lost", now);
  } else {
    Change change{RecordType::kRelease, RecordOf(index, now), {}};
    change.record.releases += 1;
    change.wait = false;
    status = Transition(index, std::move(change));
  }
  if (!status.ok()) return {status};
  *wait |= IsPending(index);
  return {absl::OkStatus(), slot.state};
}

absl::Status WorkQueueImpl::LoseLease(uint32_t index, absl::string_view cause, int64_t now) {
  const TaskSlot& slot = fold_.tasks[index];
  const TaskPolicy& policy = fold_.policies[slot.policy];
  Change change{RecordType::kRetry, RecordOf(index, now), {}};
  TaskRecord& record = change.record;
  record.losses += 1;
  record.reason = std::string(cause);
  TaskState state = TaskState::kRetryWait;
  if (slot.has(kCancelRequested)) {
    change.type = RecordType::kCancel;
    state = TaskState::kCancelled;
  } else if (record.losses >= policy.max_losses) {
    change.type = RecordType::kDead;
    record.reason = "lease_losses";
    record.cause = std::string(cause);
    state = TaskState::kDead;
  } else if (slot.expire_ms != 0 && slot.expire_ms <= now) {
    change.type = RecordType::kExpire;
    state = TaskState::kExpired;
  } else {
    // The first loss is the worker's fault, not the task's: it goes again at once.
    record.due_ms = now + (record.losses == 1 ? 0 : BackoffDelay(policy, record.losses - 1));
    change.wait = false;
  }
  if (IsTerminal(state)) SetEnd(index, state, &record);
  return Transition(index, std::move(change));
}

void WorkQueueImpl::Touch(SessionId session, int64_t now) {
  if (session != 0) Heartbeat(session, now);
}

void WorkQueueImpl::Complete(std::vector<Completion> items, SessionId session, int64_t now, LeaseOutcomesDone done) {
  now = Tick(now);
  Touch(session, now);
  const absl::Status usable = Usable();
  std::vector<LeaseOutcome> outcomes;
  outcomes.reserve(items.size());
  for (const Completion& item : items) outcomes.push_back(usable.ok() ? Noted(LeaseOp::kComplete, item.task, CompleteOne(item, now)) : LeaseOutcome{usable});
  Answer(std::move(outcomes), true, std::move(done));
}

void WorkQueueImpl::Fail(std::vector<Failure> items, SessionId session, int64_t now, LeaseOutcomesDone done) {
  now = Tick(now);
  Touch(session, now);
  const absl::Status usable = Usable();
  std::vector<LeaseOutcome> outcomes;
  outcomes.reserve(items.size());
  for (const Failure& item : items) outcomes.push_back(usable.ok() ? Noted(LeaseOp::kFail, item.task, FailOne(item, now)) : LeaseOutcome{usable});
  Answer(std::move(outcomes), true, std::move(done));
}

void WorkQueueImpl::Extend(std::vector<Extension> items, SessionId session, int64_t now, LeaseOutcomesDone done) {
  now = Tick(now);
  Touch(session, now);
  const absl::Status usable = Usable();
  std::vector<LeaseOutcome> outcomes;
  outcomes.reserve(items.size());
  for (const Extension& item : items) outcomes.push_back(usable.ok() ? Noted(LeaseOp::kExtend, item.task, ExtendOne(item, now)) : LeaseOutcome{usable});
  Answer(std::move(outcomes), false, std::move(done));
}

void WorkQueueImpl::Release(std::vector<LeaseRef> items, SessionId session, int64_t now, LeaseOutcomesDone done) {
  now = Tick(now);
  Touch(session, now);
  const absl::Status usable = Usable();
  std::vector<LeaseOutcome> outcomes;
  outcomes.reserve(items.size());
  bool wait = false;
  for (const LeaseRef& item : items) {
    outcomes.push_back(usable.ok() ? Noted(LeaseOp::kRelease, item.task, ReleaseOne(item, now, &wait)) : LeaseOutcome{usable});
  }
  Answer(std::move(outcomes), wait, std::move(done));
}

void WorkQueueImpl::Answer(std::vector<LeaseOutcome> outcomes, bool wait, LeaseOutcomesDone done) {
  if (!wait) {
    done(std::move(outcomes));
    return;
  }
  WhenDurable([outcomes = std::move(outcomes), done = std::move(done)](const absl::Status& status) mutable {
    // What was refused stays refused; what was done is unknown now.
    for (LeaseOutcome& outcome : outcomes) {
      if (outcome.status.ok() && !status.ok()) outcome = LeaseOutcome{status};
    }
    done(std::move(outcomes));
  });
}

}  // namespace wheelpit
