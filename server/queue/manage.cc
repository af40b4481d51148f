// Cancelling tasks, and making and changing queues.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "server/queue/limits.h"
#include "server/queue/work_queue_impl.h"

namespace wheelpit {
namespace {

absl::Status OutOfLimits(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_LIMITS", message);
}

absl::Status CheckConfig(const QueueConfig& c) {
  for (const int64_t span : {c.lease_ttl_ms, c.attempt_timeout_ms, c.retention_ms, c.dead_retention_ms, c.dedupe_window_ms,
                             c.wait_target_ms, c.service_time_ms}) {
    if (span < 0) return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "config: a time must not be negative");
  }
  if (absl::Status s = CheckBackoff(c.backoff); !s.ok()) return s;
  constexpr int64_t kWeekMs = 7LL * 86'400'000;
  if (c.lease_ttl_ms < 1000 || c.lease_ttl_ms > kLeaseTtlMaxMs) return OutOfLimits("lease_ttl_ms: must be 1 s..12 h");
  if (c.attempt_timeout_ms < 1 || c.attempt_timeout_ms > kAttemptTimeoutMaxMs) {
    return OutOfLimits("attempt_timeout_ms: must be above 0 and at most 7 days");
  }
  if (c.max_attempts < 1 || c.max_attempts > kAttemptsMax) return OutOfLimits("max_attempts: must be 1..1000");
  if (c.max_losses < 1 || c.max_losses > kLossesMax) return OutOfLimits("max_losses: must be 1..100");
  if (c.payload_bytes_max > (16 << 20)) return OutOfLimits("payload_bytes_max: at most 16 MiB");
  if (c.result_bytes_max > (1 << 20)) return OutOfLimits("result_bytes_max: at most 1 MiB");
  if (c.retention_ms > kWeekMs) return OutOfLimits("retention_ms: at most 7 days");
  if (c.dead_retention_ms > 365LL * 86'400'000) return OutOfLimits("dead_retention_ms: at most 365 days");
  if (c.dedupe_window_ms > kWeekMs) return OutOfLimits("dedupe_window_ms: at most 7 days");
  if (c.wait_target_ms > kWeekMs) return OutOfLimits("wait_target_ms: at most 7 days");
  if (c.service_time_ms > kWeekMs) return OutOfLimits("service_time_ms: at most 7 days");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QueueEntry*> WorkQueueImpl::WriteQueue(QueueRecord record, Purpose purpose, Reply reply) {
  std::string meta;
  codec_.Encode(record, &meta);
  const RecordView view{RecordType::kQueueConfig, 0, record.number, meta, {}};
  absl::StatusOr<Lsn> lsn = AppendRecords({&view, 1}, purpose, nullptr);
  if (!lsn.ok()) return lsn.status();
  Effect effect;
  effect.lsn = *lsn;
  effect.created_queue = record.number;
  effect.events = EventsOf(record);
  effect.at_ms = record.at_ms;
  effect.reply = std::move(reply);
  QueueEntry& entry = fold_.ApplyQueue(record);
  fold_.AddTotals(effect.events);
  PushEffect(std::move(effect));
  return &entry;
}

absl::StatusOr<QueueEntry*> WorkQueueImpl::QueueForUse(const std::string& name, Purpose purpose, int64_t now) {
  if (QueueEntry* entry = fold_.FindQueue(name)) return entry;
  if (!options_.auto_create) {
    return MakeError(absl::StatusCode::kNotFound, "QUEUE", absl::StrCat("no queue ", name));
  }
  if (fold_.queue_numbers.size() >= options_.queues_max) {
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_QUEUES",
                     absl::StrCat(fold_.queue_numbers.size(), " queues, the most allowed"));
  }
  QueueRecord record;
  record.at_ms = record.created_at_ms = now;
  record.number = static_cast<uint32_t>(fold_.queues.size());
  record.name = name;
  record.config = options_.queue_defaults;
  return WriteQueue(std::move(record), purpose, nullptr);
}

// The defaults were held against the journal at the start.
absl::Status WorkQueueImpl::CheckFits(const QueueConfig& config) const {
  const uint64_t most = journal_->payload_bytes_max();
  const auto check = [most](absl::string_view field, uint64_t bytes, uint64_t default_bytes) {
    if (bytes <= std::max(most, default_bytes)) return absl::OkStatus();
    return OutOfLimits(absl::StrCat(field, ": ", bytes, " bytes do not fit into the journal's segments, which hold ", most,
                                    " (the server's option journal_segment_bytes)"));
  };
  absl::Status status = check("payload_bytes_max", config.payload_bytes_max, options_.queue_defaults.payload_bytes_max);
  status.Update(check("result_bytes_max", config.result_bytes_max, options_.queue_defaults.result_bytes_max));
  return status;
}

void WorkQueueImpl::PutQueue(std::string name, std::optional<QueueConfig> config, std::optional<QueueFlags> flags, int64_t now,
                             StatusDone done) {
  now = Tick(now);
  absl::Status status = Usable();
  if (status.ok()) status = CheckQueueName(name);
  if (status.ok() && config.has_value()) status = CheckConfig(*config);
  if (status.ok() && config.has_value()) status = CheckFits(*config);
  const QueueEntry* known = status.ok() ? fold_.FindQueue(name) : nullptr;
  if (status.ok() && known == nullptr && fold_.queue_numbers.size() >= options_.queues_max) {
    status = MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_QUEUES",
                       absl::StrCat(fold_.queue_numbers.size(), " queues, the most allowed"));
  }
  if (!status.ok()) {
    done(status);
    return;
  }
  QueueRecord record;
  record.at_ms = now;
  record.name = std::move(name);
  if (known != nullptr) {
    record.number = known->number;
    record.config = known->config;
    record.flags = known->flags;
    record.created_at_ms = known->created_at_ms;
  } else {
    record.number = static_cast<uint32_t>(fold_.queues.size());
    record.config = options_.queue_defaults;
    record.created_at_ms = now;
  }
  if (config.has_value()) record.config = *config;
  if (flags.has_value()) record.flags = *flags;
  // The reply travels as a shared cell: a refused append must answer too.
  auto cell = std::make_shared<StatusDone>(std::move(done));
  absl::StatusOr<QueueEntry*> entry =
      WriteQueue(std::move(record), Purpose::kOngoing, [cell](const absl::Status& s) { (*cell)(s); });
  if (!entry.ok()) {
    (*cell)(entry.status());
    return;
  }
  QueueHasWork(**entry);
}

void WorkQueueImpl::Cancel(TaskId id, bool force, int64_t now, TaskDone done) {
  now = Tick(now);
  absl::Status status = Usable();
  absl::StatusOr<uint32_t> found = status.ok() ? FindTask(id) : absl::StatusOr<uint32_t>(status);
  if (!found.ok()) {
    done(found.status());
    return;
  }
  const uint32_t index = *found;
  const TaskSlot& slot = fold_.tasks[index];
  const uint32_t holder = slot.worker;
  const LeaseRef lease{id, LeaseToken{slot.token}};
  bool notice = false;
  if (slot.terminal()) {
    if (slot.state != TaskState::kCancelled) {
      status = MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_TERMINAL",
                         absl::StrCat("task ", FormatTaskId(id), " is ", TaskStateName(slot.state)));
    }
  } else if (slot.state == TaskState::kLeased && !force) {
    notice = !slot.has(kCancelRequested);
    if (notice) status = Transition(index, {RecordType::kCancelRequest, RecordOf(index, now), {}});
  } else {
    const bool fenced = slot.state == TaskState::kLeased;
    Change change{RecordType::kCancel, RecordOf(index, now), {}};
    change.record.fenced = fenced;
    SetEnd(index, TaskState::kCancelled, &change.record);
    status = Transition(index, std::move(change));
    if (status.ok() && fenced) LeasesLost(holder, {lease}, "cancelled");
  }
  WhenDurable([this, id, now, holder, lease, notice, status, done = std::move(done)](const absl::Status& durable) mutable {
    if (!durable.ok() || !status.ok()) {
      done(durable.ok() ? status : durable);
      return;
    }
    const uint32_t task = fold_.tasks.Find(id.value);
    if (notice && task != kNoIndex && fold_.tasks[task].worker == holder && fold_.sessions.Has(holder) &&
        fold_.tasks[task].token == lease.token.value && fold_.sessions[holder].channel != nullptr) {
      fold_.sessions[holder].channel->CancelNotice({lease});
    }
    done(GetTask(id, {}, now));
  });
}

}  // namespace wheelpit
