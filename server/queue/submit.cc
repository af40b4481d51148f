// Submitting: what is allowed, idempotency keys, and the SUBMIT record.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

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

absl::Status OutOfLimits(absl::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_LIMITS", message);
}

absl::Status Full(absl::string_view reason, absl::string_view message) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason, message, absl::Seconds(1));
}

void PutNumber(uint64_t value, std::string* out) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  out->append(bytes, 8);
}

void PutText(absl::string_view text, std::string* out) {
  PutNumber(text.size(), out);
  out->append(text.data(), text.size());
}

uint64_t DoubleBits(double value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Text goes into records and messages whose readers take nothing else.
absl::Status CheckText(const TaskSpec& spec) {
  const auto check = [](absl::string_view field, absl::string_view text) {
    return IsValidUtf8(text) ? absl::OkStatus() : BadField(absl::StrCat(field, ": ", Quoted(text), " is not valid UTF-8"));
  };
  absl::Status status = check("content_type", spec.content_type);
  status.Update(check("fairness_key", spec.fairness_key));
  status.Update(check("idempotency_key", spec.idempotency_key));
  status.Update(check("trace_context", spec.trace_context));
  for (const auto& [key, value] : spec.attributes) {
    status.Update(check("attributes", key));
    status.Update(check("attributes", value));
  }
  for (const CountedSeries& counted : spec.counts) {
    status.Update(check("counts", counted.name));
    for (const auto& [name, value] : counted.labels.pairs()) {
      status.Update(check("counts", name));
      status.Update(check("counts", value));
    }
  }
  return status;
}

absl::Status CheckTimes(const TaskSpec& spec, int64_t now) {
  if (spec.delay_ms < 0 || spec.not_before_ms < 0 || spec.expire_at_ms < 0 || spec.lease_ttl_ms < 0 ||
      spec.attempt_timeout_ms < 0) {
    return BadField("delay_ms, not_before_at_ms, expire_at_ms, lease_ttl_ms, attempt_timeout_ms: must not be negative");
  }
  if (spec.delay_ms != 0 && spec.not_before_ms != 0) return BadField("delay_ms and not_before_at_ms: only one may be set");
  if (spec.delay_ms > kDelayMaxMs || spec.not_before_ms - now > kDelayMaxMs) {
    return OutOfLimits("not_before: at most 30 days ahead");
  }
  const int64_t start = std::max({now, now + spec.delay_ms, spec.not_before_ms});
  if (spec.expire_at_ms - start > kDelayMaxMs) return OutOfLimits("expire_at_ms: at most 30 days after the task may start");
  if (spec.lease_ttl_ms > kLeaseTtlMaxMs) return OutOfLimits("lease_ttl_ms: at most 12 h");
  if (spec.attempt_timeout_ms > kAttemptTimeoutMaxMs) return OutOfLimits("attempt_timeout_ms: at most 7 days");
  if (spec.max_attempts > kAttemptsMax) return OutOfLimits("max_attempts: at most 1000");
  if (spec.max_losses > kLossesMax) return OutOfLimits("max_losses: at most 100");
  return spec.has_backoff ? CheckBackoff(spec.backoff) : absl::OkStatus();
}

}  // namespace

absl::Status CheckBackoff(const BackoffPolicy& backoff) {
  if (backoff.initial_ms < 0 || backoff.max_delay_ms < 0 || std::isnan(backoff.multiplier) || backoff.multiplier < 0) {
    return BadField("backoff: must not be negative");
  }
  if ((backoff.multiplier != 0 && backoff.multiplier < 1) || backoff.multiplier > 1000 ||
      backoff.initial_ms > kDelayMaxMs || backoff.max_delay_ms > kDelayMaxMs) {
    return OutOfLimits("backoff: multiplier 1..1000, delays at most 30 days");
  }
  return absl::OkStatus();
}

bool ValidQueueName(absl::string_view name) {
  const auto alnum = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (name.empty() || name.size() > 63 || !alnum(name.front()) || !alnum(name.back())) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

absl::Status CheckQueueName(absl::string_view name) {
  if (ValidQueueName(name)) return absl::OkStatus();
  return BadField(absl::StrCat("queue ", Quoted(name),
                               ": must be 1-63 of letters, digits, `-`, `_`, `.`, beginning and ending with a letter or digit"));
}

absl::Status WorkQueueImpl::CheckSpec(const TaskSpec& spec, int64_t now) const {
  if (absl::Status s = CheckQueueName(spec.queue); !s.ok()) return s;
  if (spec.content_type.size() > 255) return BadField("content_type: at most 255 bytes");
  if (spec.attributes.size() > 32) return BadField("attributes: at most 32");
  size_t attribute_bytes = 0;
  for (const auto& [key, value] : spec.attributes) {
    if (key.empty()) return BadField("attributes: a key must not be empty");
    attribute_bytes += key.size() + value.size();
  }
  if (attribute_bytes > 4096) return BadField("attributes: at most 4 KiB");
  if (spec.priority < -8 || spec.priority > 7) return OutOfLimits(absl::StrCat("priority ", spec.priority, ": must be -8..7"));
  // Accepting it would promise an order that nothing keeps.
  if (!spec.fairness_key.empty()) return BadField("fairness_key: fair turns between keys are not supported yet");
  if (spec.idempotency_key.size() > 128) return BadField("idempotency_key: at most 128 bytes");
  if (spec.trace_context.size() > 256) return BadField("trace_context: at most 256 bytes");
  if (spec.counts.size() > 4) return BadField("counts: at most 4 series");
  for (const CountedSeries& counted : spec.counts) {
    if (counted.name.empty()) return BadField("counts: a name must not be empty");
    size_t bytes = counted.name.size();
    for (const auto& [name, value] : counted.labels.pairs()) bytes += name.size() + value.size();
    if (bytes > 4096) return BadField("counts: at most 4 KiB a series");
  }
  if (absl::Status s = CheckText(spec); !s.ok()) return s;
  return CheckTimes(spec, now);
}

uint64_t WorkQueueImpl::RequestHash(const TaskSpec& spec) const {
  std::string text;
  PutText(spec.queue, &text);
  PutNumber(SipHash64(fold_.hash_key, spec.payload), &text);
  PutNumber(spec.payload.size(), &text);
  PutText(spec.content_type, &text);
  PutNumber(spec.attributes.size(), &text);
  for (const auto& [key, value] : spec.attributes) {
    PutText(key, &text);
    PutText(value, &text);
  }
  PutNumber(static_cast<uint64_t>(spec.priority), &text);
  PutText(spec.fairness_key, &text);
  for (const int64_t number : {spec.delay_ms, spec.not_before_ms, spec.expire_at_ms, (spec.lease_ttl_ms + 999) / 1000,
                               spec.attempt_timeout_ms, int64_t{spec.max_attempts}, int64_t{spec.max_losses},
                               int64_t{spec.has_backoff}}) {
    PutNumber(static_cast<uint64_t>(number), &text);
  }
  if (spec.has_backoff) {
    PutNumber(static_cast<uint64_t>(spec.backoff.initial_ms), &text);
    PutNumber(DoubleBits(spec.backoff.multiplier), &text);
    PutNumber(static_cast<uint64_t>(spec.backoff.max_delay_ms), &text);
  }
  return SipHash64(fold_.hash_key, text);
}

absl::Status WorkQueueImpl::Resolve(const QueueConfig& config, int64_t now, TaskSpec* spec) const {
  if (spec->delay_ms != 0) spec->not_before_ms = now + spec->delay_ms;
  if (spec->not_before_ms <= now) spec->not_before_ms = 0;
  if (spec->expire_at_ms != 0 && spec->expire_at_ms <= std::max(now, spec->not_before_ms)) {
    return OutOfLimits("expire_at_ms: must be after the task may start");
  }
  if (spec->lease_ttl_ms == 0) spec->lease_ttl_ms = config.lease_ttl_ms;
  spec->lease_ttl_ms = (spec->lease_ttl_ms + 999) / 1000 * 1000;
  if (spec->attempt_timeout_ms == 0) spec->attempt_timeout_ms = config.attempt_timeout_ms;
  if (spec->max_attempts == 0) spec->max_attempts = config.max_attempts;
  if (spec->max_losses == 0) spec->max_losses = config.max_losses;
  const BackoffPolicy stated = spec->has_backoff ? spec->backoff : config.backoff;
  spec->backoff = config.backoff;
  if (stated.initial_ms != 0) spec->backoff.initial_ms = stated.initial_ms;
  if (stated.multiplier != 0) spec->backoff.multiplier = stated.multiplier;
  if (stated.max_delay_ms != 0) spec->backoff.max_delay_ms = stated.max_delay_ms;
  spec->has_backoff = true;
  return absl::OkStatus();
}

void WorkQueueImpl::FindExisting(QueueEntry& entry, Prepared* prepared) {
  const std::string& key = prepared->record.spec.idempotency_key;
  const uint32_t found = fold_.dedupe.Find(fold_.KeyHash(entry.number, key), now_ms_);
  if (found == kNoIndex) return;
  const DedupeEntry& known = fold_.dedupe[found];
  const uint32_t index = fold_.tasks.Find(known.task);
  prepared->existing = true;
  prepared->existing_pending = index != kNoIndex && IsPending(index);
  if (known.request_hash != prepared->record.request_hash) {
    prepared->status = MakeError(absl::StatusCode::kAlreadyExists, "IDEMPOTENCY_CONFLICT",
                                 absl::StrCat("idempotency key ", Quoted(key), " was used for another request: task ",
                                              FormatTaskId(TaskId{known.task})));
    return;
  }
  const TaskState state =
      index != kNoIndex ? fold_.tasks[index].state : static_cast<TaskState>(static_cast<uint8_t>(known.state));
  prepared->outcome = {TaskId{known.task}, true, state};
}

int64_t WorkQueueImpl::EndedAt(const DedupeEntry& entry) const {
  const uint32_t index = fold_.tasks.Find(entry.task);
  if (index != kNoIndex && fold_.tasks[index].terminal()) return fold_.tasks[index].attempt_start();
  // The task has vanished, and which queue's window its key has is not known: no window is shorter than this.
  int64_t window_ms = std::numeric_limits<int64_t>::max();
  for (const auto& queue : fold_.queues) {
    if (queue != nullptr) window_ms = std::min(window_ms, queue->config.dedupe_window_ms);
  }
  return int64_t{entry.expiry_s} * 1000 - window_ms;
}

absl::Status WorkQueueImpl::CheckRoom(const QueueEntry& entry, const TaskSpec& spec, const Prepared& prepared) {
  if (entry.flags.closed || entry.flags.draining) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "QUEUE_CLOSED", absl::StrCat("queue ", entry.name, " is closed"));
  }
  const QueueConfig& config = entry.config;
  if ((config.tasks_max != 0 && entry.live_tasks >= config.tasks_max) ||
      (config.bytes_max != 0 && entry.live_bytes + spec.payload.size() > config.bytes_max)) {
    return Full("QUEUE_FULL", absl::StrCat("queue ", entry.name, " is full: ", entry.live_tasks, " tasks, ",
                                           entry.live_bytes, " bytes"));
  }
  if (fold_.live_tasks >= options_.tasks_max) {
    return Full("SHARD_FULL", absl::StrCat(fold_.live_tasks, " live tasks, the most allowed"));
  }
  if (!fold_.policies.HasRoomFor({spec.attempt_timeout_ms, spec.max_attempts, spec.max_losses, spec.backoff})) {
    return Full("SHARD_FULL", "too many different limits and backoff policies among live tasks");
  }
  if (!spec.idempotency_key.empty() && fold_.dedupe.size() >= options_.dedupe_entries_max &&
      fold_.dedupe.Find(prepared.key, 0) == kNoIndex) {
    fold_.dedupe.DropExpired(now_ms_, 16);
    if (fold_.dedupe.size() >= options_.dedupe_entries_max) {
      const int64_t ended = fold_.dedupe.EvictOldest(now_ms_, options_.dedupe_min_window_ms,
                                                     [this](const DedupeEntry& known) { return EndedAt(known); });
      evicted_ended_ms_ = std::max(evicted_ended_ms_, ended);
      if (ended == 0) return Full("DEDUPE_FULL", absl::StrCat(fold_.dedupe.size(), " idempotency keys, the most allowed"));
    }
  }
  return absl::OkStatus();
}

void WorkQueueImpl::Prepare(TaskSpec spec, int64_t now, Prepared* prepared) {
  prepared->status = CheckSpec(spec, now);
  if (!prepared->status.ok()) return;
  absl::StatusOr<QueueEntry*> entry = QueueForUse(spec.queue, Purpose::kNewWork, now);
  if (!entry.ok()) {
    prepared->status = entry.status();
    return;
  }
  QueueEntry& queue = **entry;
  prepared->record.queue = queue.number;
  // The journal takes less than a queue made under larger segments.
  const uint64_t bytes_max = std::min(queue.config.payload_bytes_max, journal_->payload_bytes_max());
  if (spec.payload.size() > bytes_max) {
    prepared->status = MakeError(absl::StatusCode::kInvalidArgument, "PAYLOAD_TOO_LARGE",
                                 absl::StrCat("payload of ", spec.payload.size(), " bytes: queue ", queue.name, " takes ", bytes_max));
    return;
  }
  SubmitRecord& record = prepared->record;
  record.at_ms = now;
  record.spec = std::move(spec);
  if (!record.spec.idempotency_key.empty()) {
    record.request_hash = RequestHash(record.spec);
    prepared->key = fold_.KeyHash(queue.number, record.spec.idempotency_key);
    FindExisting(queue, prepared);
    if (prepared->existing) return;
  }
  prepared->status = Resolve(queue.config, now, &record.spec);
  if (prepared->status.ok()) prepared->status = CheckRoom(queue, record.spec, *prepared);
  if (!prepared->status.ok()) return;
  codec_.Encode(record, &prepared->meta);
  if (prepared->meta.size() > kRecordMetaMax) {
    prepared->status = BadField("counts, attributes and keys: more than 64 KiB in all");
  }
}

void WorkQueueImpl::NoteRejected(const Prepared& prepared, uint64_t n) {
  QueueEntry* entry = fold_.queue(prepared.record.queue);
  const std::string reason = ErrorReason(prepared.status);
  if (entry != nullptr) {
    ProbeOf(*entry).Rejected(reason, n);
  } else {
    QueueProbe::CountRejected(QueueProbe::kOther, reason, n);
  }
}

SubmitOutcome WorkQueueImpl::ApplyPrepared(Prepared& prepared, uint64_t id, Lsn lsn, RecordPosition position) {
  SubmitRecord& record = prepared.record;
  const std::string payload = std::move(record.spec.payload);
  const uint32_t index = fold_.ApplySubmit(id, position, static_cast<uint32_t>(payload.size()), record);
  MarkPending(index, lsn, false);
  TaskSlot& slot = fold_.tasks[index];
  Effect effect;
  effect.lsn = lsn;
  effect.index = index;
  effect.counts_state = true;
  effect.to = slot.state;
  effect.bytes = slot.len;
  effect.events = EventsOf(record);
  effect.counted = std::move(record.spec.counts);
  effect.at_ms = record.at_ms;
  fold_.AddTotals(effect.events);
  const uint64_t bytes = prepared.meta.size() + payload.size();
  if (cache_bytes_ + bytes <= options_.payload_cache_bytes) {
    CachedSubmit cached;
    cached.meta_bytes = static_cast<uint32_t>(prepared.meta.size());
    cached.bytes = std::move(prepared.meta);
    cached.bytes.append(payload);
    cache_bytes_ += bytes;
    cache_.emplace(index, std::move(cached));
    slot.set(kCached);
  }
  QueueProbe& probe = ProbeOf(*fold_.queue(slot.queue));
  probe.Submitted(payload.size());
  const SubmitOutcome outcome{TaskId{id}, false, slot.state, probe.submit_seconds()};
  PushEffect(std::move(effect));
  return outcome;
}

void WorkQueueImpl::Submit(TaskSpec spec, int64_t now, SubmitDone done) {
  std::vector<TaskSpec> specs;
  specs.push_back(std::move(spec));
  SubmitBatch(std::move(specs), false, now,
              [done = std::move(done)](absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> results) mutable {
                if (!results.ok()) {
                  done(results.status());
                } else {
                  done(std::move(results->front()));
                }
              });
}

void WorkQueueImpl::SubmitBatch(std::vector<TaskSpec> specs, bool atomic, int64_t now, SubmitBatchDone done) {
  now = Tick(now);
  absl::Status usable = UsableForNew();
  if (usable.ok()) usable = CheckBatch(specs);
  if (!usable.ok()) {
    QueueProbe::CountRejected(QueueProbe::kOther, ErrorReason(usable), specs.size());
    done(usable);
    return;
  }
  std::vector<absl::StatusOr<SubmitOutcome>> results;
  results.reserve(specs.size());
  bool wait = false;
  if (atomic) {
    if (absl::Status s = SubmitAtomic(std::move(specs), now, &results, &wait); !s.ok()) {
      done(s);
      return;
    }
  } else {
    for (TaskSpec& spec : specs) results.push_back(SubmitOne(std::move(spec), now, &wait));
  }
  if (!wait) {
    done(std::move(results));
    return;
  }
  WhenDurable([done = std::move(done), results = std::move(results)](const absl::Status& status) mutable {
    if (status.ok()) {
      done(std::move(results));
    } else {
      done(status);
    }
  });
}

absl::Status WorkQueueImpl::CheckBatch(const std::vector<TaskSpec>& specs) const {
  if (specs.empty()) return MakeError(absl::StatusCode::kInvalidArgument, "EMPTY", "a batch of no tasks");
  size_t bytes = 0;
  for (const TaskSpec& spec : specs) bytes += spec.payload.size();
  if (specs.size() > kBatchItemsMax || (specs.size() > 1 && bytes > kBatchBytesMax)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BATCH_TOO_LARGE",
                     absl::StrCat("a batch of ", specs.size(), " tasks and ", bytes, " bytes: at most 1000 and 4 MiB"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SubmitOutcome> WorkQueueImpl::SubmitOne(TaskSpec spec, int64_t now, bool* wait) {
  Prepared prepared;
  Prepare(std::move(spec), now, &prepared);
  if (prepared.existing) {
    *wait |= prepared.existing_pending;
    if (prepared.status.ok()) {
      ProbeOf(*fold_.queue(prepared.record.queue)).deduplicated->Add();
      return prepared.outcome;
    }
  }
  if (!prepared.status.ok()) {
    NoteRejected(prepared, 1);
    return prepared.status;
  }
  const uint64_t id = MakeId(fold_.next_counter);
  const RecordView view{RecordType::kSubmit, 0, id, prepared.meta, prepared.record.spec.payload};
  RecordPosition position;
  absl::StatusOr<Lsn> lsn = AppendRecords({&view, 1}, Purpose::kNewWork, &position);
  if (!lsn.ok()) {
    prepared.status = lsn.status();
    NoteRejected(prepared, 1);
    return lsn.status();
  }
  *wait = true;
  return ApplyPrepared(prepared, id, *lsn, position);
}

absl::Status WorkQueueImpl::SubmitAtomic(std::vector<TaskSpec> specs, int64_t now,
                                         std::vector<absl::StatusOr<SubmitOutcome>>* results, bool* wait) {
  std::vector<Prepared> prepared(specs.size());
  std::vector<RecordView> views;
  std::vector<size_t> same(specs.size(), 0);  // 1 + the earlier item with this key
  absl::flat_hash_map<std::pair<std::string, std::string>, size_t> keys;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!specs[i].idempotency_key.empty()) {
      const auto [it, inserted] = keys.try_emplace({specs[i].queue, specs[i].idempotency_key}, i);
      if (!inserted) same[i] = it->second + 1;
    }
    Prepare(std::move(specs[i]), now, &prepared[i]);
    if (!prepared[i].status.ok()) {
      NoteRejected(prepared[i], specs.size());
      return prepared[i].status;
    }
    if (same[i] != 0 && prepared[i].record.request_hash != prepared[same[i] - 1].record.request_hash) {
      prepared[i].status = MakeError(absl::StatusCode::kAlreadyExists, "IDEMPOTENCY_CONFLICT",
                                     "two tasks of the batch have one idempotency key");
      NoteRejected(prepared[i], specs.size());
      return prepared[i].status;
    }
    *wait |= prepared[i].existing_pending;
    if (prepared[i].existing || same[i] != 0) continue;
    const uint64_t id = MakeId(fold_.next_counter + views.size());
    views.push_back({RecordType::kSubmit, 0, id, prepared[i].meta, prepared[i].record.spec.payload});
  }
  std::vector<RecordPosition> positions(views.size());
  Lsn lsn = 0;
  if (!views.empty()) {
    absl::StatusOr<Lsn> first = AppendRecords(views, Purpose::kNewWork, positions.data());
    if (!first.ok()) {
      prepared.front().status = first.status();
      NoteRejected(prepared.front(), specs.size());
      return first.status();
    }
    lsn = *first;
    *wait = true;
  }
  size_t written = 0;
  for (size_t i = 0; i < prepared.size(); ++i) {
    if (same[i] != 0) {
      SubmitOutcome outcome = *(*results)[same[i] - 1];
      outcome.deduplicated = true;
      outcome.submit_seconds = nullptr;
      ProbeOf(*fold_.queue(prepared[i].record.queue)).deduplicated->Add();
      results->push_back(outcome);
    } else if (prepared[i].existing) {
      ProbeOf(*fold_.queue(prepared[i].record.queue)).deduplicated->Add();
      results->push_back(prepared[i].outcome);
    } else {
      results->push_back(ApplyPrepared(prepared[i], views[written].id, lsn + written, positions[written]));
      ++written;
    }
  }
  return absl::OkStatus();
}

}  // namespace wheelpit
