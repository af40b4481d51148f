#include "server/rpc/task_codec.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/errors.h"
#include "server/ingest/families.h"
#include "server/queue/probe.h"
#include "server/rpc/status_map.h"

namespace wheelpit {
namespace {

absl::Status BadField(absl::string_view message) { return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", message); }

void BackoffToProto(const BackoffPolicy& policy, v1::Backoff* out) {
  out->set_initial_ms(policy.initial_ms);
  out->set_multiplier(policy.multiplier);
  out->set_max_delay_ms(policy.max_delay_ms);
}

BackoffPolicy BackoffFromProto(const v1::Backoff& proto, BackoffPolicy policy) {
  if (proto.initial_ms() != 0) policy.initial_ms = proto.initial_ms();
  if (proto.multiplier() != 0) policy.multiplier = proto.multiplier();
  if (proto.max_delay_ms() != 0) policy.max_delay_ms = proto.max_delay_ms();
  return policy;
}

absl::Status CountsFromProto(const v1::TaskSpec& proto, const SeriesStore& store, TaskSpec* out) {
  out->counts.reserve(static_cast<size_t>(proto.counts_size()));
  for (const v1::CountedSeries& counted : proto.counts()) {
    std::vector<Labels::Pair> pairs;
    for (const v1::Label& label : counted.labels()) pairs.emplace_back(label.name(), label.value());
    absl::Status allowed = CheckReportName(store, counted.name());
    allowed.Update(store.CheckLabels(pairs, MetricType::kCounter));
    if (!allowed.ok()) return BadField(absl::StrCat("counts: ", allowed.message()));
    out->counts.push_back({counted.name(), Labels(std::move(pairs))});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SpecFromProto(const v1::TaskSpec& proto, const SeriesStore& store, TaskSpec* out) {
  out->queue = proto.queue();
  out->content_type = proto.content_type();
  for (const auto& [key, value] : proto.attributes()) out->attributes[key] = value;
  out->priority = proto.priority();
  out->fairness_key = proto.fairness_key();
  out->idempotency_key = proto.idempotency_key();
  out->delay_ms = proto.delay_ms();
  out->not_before_ms = proto.not_before_at_ms();
  out->expire_at_ms = proto.expire_at_ms();
  out->lease_ttl_ms = proto.lease_ttl_ms();
  out->attempt_timeout_ms = proto.attempt_timeout_ms();
  out->max_attempts = proto.max_attempts();
  out->max_losses = proto.max_losses();
  out->has_backoff = proto.has_backoff();
  if (proto.has_backoff()) out->backoff = BackoffFromProto(proto.backoff(), BackoffPolicy());
  out->trace_context = proto.trace_context();
  return proto.counts().empty() ? absl::OkStatus() : CountsFromProto(proto, store, out);
}

void ViewToProto(TaskView&& view, v1::Task* out) {
  out->set_id(FormatTaskId(view.id));
  out->set_queue(std::move(view.queue));
  out->set_state(static_cast<v1::TaskState>(view.state));
  if (!view.payload.empty()) out->set_payload(std::move(view.payload));
  if (!view.content_type.empty()) out->set_content_type(std::move(view.content_type));
  for (auto& [key, value] : view.attributes) (*out->mutable_attributes())[key] = std::move(value);
  out->set_priority(view.priority);
  if (!view.fairness_key.empty()) out->set_fairness_key(std::move(view.fairness_key));
  if (!view.idempotency_key.empty()) out->set_idempotency_key(std::move(view.idempotency_key));
  out->set_submitted_at_ms(view.submitted_at_ms);
  out->set_not_before_at_ms(view.not_before_ms);
  out->set_expire_at_ms(view.expire_at_ms);
  out->set_lease_ttl_ms(view.lease_ttl_ms);
  out->set_attempt_timeout_ms(view.attempt_timeout_ms);
  out->set_max_attempts(view.max_attempts);
  out->set_max_losses(view.max_losses);
  if (!view.trace_context.empty()) out->set_trace_context(std::move(view.trace_context));
  out->set_attempts(view.attempts);
  out->set_failures(view.failures);
  out->set_losses(view.losses);
  out->set_releases(view.releases);
  out->set_redrives(view.redrives);
  out->set_cancel_requested(view.cancel_requested);
  out->set_state_since_at_ms(view.state_since_ms);
  out->set_due_at_ms(view.due_ms);
  if (!view.last_error.empty()) out->set_last_error(std::move(view.last_error));
  if (!view.dead_reason.empty()) out->set_dead_reason(std::move(view.dead_reason));
  if (!view.loss_cause.empty()) out->set_loss_cause(std::move(view.loss_cause));
  if (!view.worker.empty()) out->set_worker(std::move(view.worker));
  if (!view.result.empty()) out->set_result(std::move(view.result));
  if (!view.result_content_type.empty()) out->set_result_content_type(std::move(view.result_content_type));
  out->set_result_size_bytes(view.result_size_bytes);
  out->set_progress_percent(view.progress_percent);
  if (!view.progress_note.empty()) out->set_progress_note(std::move(view.progress_note));
  if (!(view.backoff == BackoffPolicy())) BackoffToProto(view.backoff, out->mutable_backoff());
}

void AssignmentToProto(Assignment&& assignment, v1::Assignment* out) {
  out->set_token(assignment.token.value);
  out->set_attempt(assignment.attempt);
  out->set_deadline_at_ms(assignment.deadline_ms);
  out->set_lease_ttl_ms(assignment.lease_ttl_ms);
  ViewToProto(std::move(assignment.task), out->mutable_task());
}

void SubmitResultToProto(const absl::StatusOr<SubmitOutcome>& outcome, v1::SubmitResult* out) {
  if (!outcome.ok()) return ToItemStatus(outcome.status(), out->mutable_status());
  out->set_id(FormatTaskId(outcome->id));
  out->set_deduplicated(outcome->deduplicated);
  out->set_state(static_cast<v1::TaskState>(outcome->state));
}

void SubmitPlan::Add(v1::TaskSpec* proto) {
  TaskSpec spec;
  absl::Status status = SpecFromProto(*proto, *store_, &spec);
  payload_bytes_ += proto->payload().size();
  outcomes_.push_back(status.ok() ? absl::UnknownError("no outcome") : status);
  if (!status.ok()) {
    QueueProbe::CountRejected(QueueProbe::kOther, ErrorReason(status));
    first_error_.Update(status);
    return;
  }
  spec.payload = std::move(*proto->mutable_payload());
  open_.push_back(outcomes_.size() - 1);
  specs_.push_back(std::move(spec));
}

void SubmitPlan::Fill(absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> outcomes) {
  for (size_t i = 0; i < open_.size(); ++i) {
    if (!outcomes.ok()) {
      outcomes_[open_[i]] = outcomes.status();
    } else if (i < outcomes->size()) {
      outcomes_[open_[i]] = std::move((*outcomes)[i]);
    }
  }
}

std::string FormatSessionId(SessionId id) { return absl::StrFormat("%016x", id); }

absl::StatusOr<SessionId> ParseSessionId(absl::string_view text) {
  if (text.empty()) return SessionId{0};
  SessionId id = 0;
  if (text.size() > 16 || !absl::SimpleHexAtoi(text, &id)) {
    return BadField(absl::StrCat("session_id ", Quoted(text), ": must be what a Welcome gave"));
  }
  return id;
}

absl::StatusOr<std::vector<QueueWeight>> QueuesFromProto(const google::protobuf::RepeatedPtrField<v1::WorkQueue>& proto) {
  if (proto.empty()) return BadField("queues: at least one is needed");
  if (proto.size() > 1000) return BadField("queues: at most 1000");
  std::vector<QueueWeight> queues;
  for (const v1::WorkQueue& queue : proto) {
    if (queue.weight() > 1000) return BadField(absl::StrCat("weight of queue ", Quoted(queue.name()), ": must be 1..1000"));
    queues.push_back({queue.name(), queue.weight() == 0 ? 1 : queue.weight()});
  }
  return queues;
}

bool LeaseResults::Add(const std::string& task_id, uint64_t token, LeaseRef* ref) {
  v1::LeaseResult* result = results_.Add();
  result->set_task_id(task_id);
  result->set_token(token);
  result->set_operation(operation_);
  absl::StatusOr<TaskId> id = ParseTaskId(task_id);
  absl::Status status = id.status();
  if (status.ok() && token == 0) status = BadField("token: must not be 0");
  if (!status.ok()) {
    ToItemStatus(status, result->mutable_status());
    return false;
  }
  open_.push_back(results_.size() - 1);
  ref->task = *id;
  ref->token.value = token;
  return true;
}

void LeaseResults::Fill(const std::vector<LeaseOutcome>& outcomes) {
  for (size_t i = 0; i < outcomes.size() && i < open_.size(); ++i) {
    v1::LeaseResult* result = results_.Mutable(open_[i]);
    const LeaseOutcome& outcome = outcomes[i];
    if (!outcome.status.ok()) ToItemStatus(outcome.status, result->mutable_status());
    result->set_state(static_cast<v1::TaskState>(outcome.state));
    result->set_deadline_at_ms(outcome.deadline_ms);
    result->set_final(outcome.final);
  }
}

std::vector<Completion> CompletionsFromProto(google::protobuf::RepeatedPtrField<v1::Completion>* proto, LeaseResults* results) {
  std::vector<Completion> items;
  items.reserve(static_cast<size_t>(proto->size()));
  for (v1::Completion& item : *proto) {
    LeaseRef ref;
    if (!results->Add(item.task_id(), item.token(), &ref)) continue;
    items.push_back({ref.task, ref.token, std::move(*item.mutable_result()), std::move(*item.mutable_result_content_type())});
  }
  return items;
}

std::vector<Failure> FailuresFromProto(google::protobuf::RepeatedPtrField<v1::Failure>* proto, LeaseResults* results) {
  std::vector<Failure> items;
  items.reserve(static_cast<size_t>(proto->size()));
  for (v1::Failure& item : *proto) {
    LeaseRef ref;
    if (!results->Add(item.task_id(), item.token(), &ref)) continue;
    items.push_back({ref.task, ref.token, std::move(*item.mutable_error()), !item.not_retryable(), item.retry_after_ms()});
  }
  return items;
}

std::vector<Extension> ExtensionsFromProto(const google::protobuf::RepeatedPtrField<v1::Extension>& proto, LeaseResults* results) {
  std::vector<Extension> items;
  items.reserve(static_cast<size_t>(proto.size()));
  for (const v1::Extension& item : proto) {
    LeaseRef ref;
    if (results->Add(item.task_id(), item.token(), &ref)) items.push_back({ref.task, ref.token, item.ttl_ms()});
  }
  return items;
}

std::vector<LeaseRef> LeasesFromProto(const google::protobuf::RepeatedPtrField<v1::LeaseRef>& proto, LeaseResults* results) {
  std::vector<LeaseRef> items;
  items.reserve(static_cast<size_t>(proto.size()));
  for (const v1::LeaseRef& item : proto) {
    LeaseRef ref;
    if (results->Add(item.task_id(), item.token(), &ref)) items.push_back(ref);
  }
  return items;
}

namespace {

absl::Status ScalingFromProto(const v1::QueueConfig& proto, QueueConfig* config) {
  switch (proto.scaling_policy()) {
    case v1::SCALING_POLICY_UNSPECIFIED:
      break;
    case v1::SCALING_POLICY_LATENCY:
      config->scaling_policy = ScalingPolicy::kLatency;
      break;
    case v1::SCALING_POLICY_COST:
      config->scaling_policy = ScalingPolicy::kCost;
      break;
    default:
      return BadField(absl::StrCat("scaling_policy: unknown value ", proto.scaling_policy()));
  }
  switch (proto.contention_guard()) {
    case v1::CONTENTION_GUARD_UNSPECIFIED:
      break;
    case v1::CONTENTION_GUARD_OFF:
      config->contention_guard = ContentionGuard::kOff;
      break;
    case v1::CONTENTION_GUARD_WARN:
      config->contention_guard = ContentionGuard::kWarn;
      break;
    case v1::CONTENTION_GUARD_CAP:
      config->contention_guard = ContentionGuard::kCap;
      break;
    default:
      return BadField(absl::StrCat("contention_guard: unknown value ", proto.contention_guard()));
  }
  return absl::OkStatus();
}

void ScalingToProto(const QueueConfig& config, v1::QueueConfig* out) {
  out->set_scaling_policy(config.scaling_policy == ScalingPolicy::kCost ? v1::SCALING_POLICY_COST : v1::SCALING_POLICY_LATENCY);
  switch (config.contention_guard) {
    case ContentionGuard::kOff:
      out->set_contention_guard(v1::CONTENTION_GUARD_OFF);
      break;
    case ContentionGuard::kWarn:
      out->set_contention_guard(v1::CONTENTION_GUARD_WARN);
      break;
    case ContentionGuard::kCap:
      out->set_contention_guard(v1::CONTENTION_GUARD_CAP);
      break;
  }
}

}  // namespace

absl::StatusOr<QueueConfig> ConfigFromProto(const v1::QueueConfig& proto, const QueueConfig& defaults) {
  // Accepting them would promise what nothing keeps.
  const std::pair<const char*, bool> unsupported[] = {
      {"fairness_weights", !proto.fairness_weights().empty()}, {"starvation_share", proto.has_starvation_share() && proto.starvation_share() != 16},
      {"max_in_flight", proto.max_in_flight() != 0},           {"max_in_flight_per_key", proto.max_in_flight_per_key() != 0},
      {"dispatch_rate", proto.dispatch_rate() != 0},           {"submit_rate", proto.submit_rate() != 0}};
  for (const auto& [field, set] : unsupported) {
    if (set) return BadField(absl::StrCat("config.", field, ": not supported yet"));
  }
  QueueConfig config = defaults;
  if (proto.lease_ttl_ms() != 0) config.lease_ttl_ms = proto.lease_ttl_ms();
  if (proto.attempt_timeout_ms() != 0) config.attempt_timeout_ms = proto.attempt_timeout_ms();
  if (proto.max_attempts() != 0) config.max_attempts = proto.max_attempts();
  if (proto.max_losses() != 0) config.max_losses = proto.max_losses();
  if (proto.has_backoff()) config.backoff = BackoffFromProto(proto.backoff(), defaults.backoff);
  if (proto.payload_bytes_max() != 0) config.payload_bytes_max = proto.payload_bytes_max();
  if (proto.result_bytes_max() != 0) config.result_bytes_max = proto.result_bytes_max();
  if (proto.has_retention_ms()) config.retention_ms = proto.retention_ms();
  if (proto.has_dead_retention_ms()) config.dead_retention_ms = proto.dead_retention_ms();
  config.tasks_max = proto.tasks_max();
  config.bytes_max = proto.bytes_max();
  if (proto.has_dedupe_window_ms()) config.dedupe_window_ms = proto.dedupe_window_ms();
  if (proto.dead_tasks_max() != 0) config.dead_tasks_max = proto.dead_tasks_max();
  if (proto.dead_bytes_max() != 0) config.dead_bytes_max = proto.dead_bytes_max();
  config.lease_sync = proto.lease_sync();
  if (proto.wait_target_ms() != 0) config.wait_target_ms = proto.wait_target_ms();
  config.service_time_ms = proto.service_time_ms();
  if (absl::Status scaling = ScalingFromProto(proto, &config); !scaling.ok()) return scaling;
  return config;
}

absl::StatusOr<QueueFlags> FlagsFromProto(const v1::QueueFlags& proto) {
  if (proto.draining()) {
    return BadField("flags.draining: not supported yet; set closed, and wait until no live task is left");
  }
  return QueueFlags{proto.paused(), proto.closed(), false};
}

void QueueInfoToProto(const QueueStats& stats, v1::QueueInfo* out) {
  out->set_name(stats.name);
  v1::QueueConfig* config = out->mutable_config();
  config->set_lease_ttl_ms(stats.config.lease_ttl_ms);
  config->set_attempt_timeout_ms(stats.config.attempt_timeout_ms);
  config->set_max_attempts(stats.config.max_attempts);
  config->set_max_losses(stats.config.max_losses);
  BackoffToProto(stats.config.backoff, config->mutable_backoff());
  config->set_payload_bytes_max(stats.config.payload_bytes_max);
  config->set_result_bytes_max(stats.config.result_bytes_max);
  config->set_retention_ms(stats.config.retention_ms);
  config->set_dead_retention_ms(stats.config.dead_retention_ms);
  config->set_tasks_max(stats.config.tasks_max);
  config->set_bytes_max(stats.config.bytes_max);
  config->set_dedupe_window_ms(stats.config.dedupe_window_ms);
  config->set_dead_tasks_max(stats.config.dead_tasks_max);
  config->set_dead_bytes_max(stats.config.dead_bytes_max);
  config->set_lease_sync(stats.config.lease_sync);
  config->set_wait_target_ms(stats.config.wait_target_ms);
  config->set_service_time_ms(stats.config.service_time_ms);
  ScalingToProto(stats.config, config);
  out->mutable_flags()->set_paused(stats.flags.paused);
  out->mutable_flags()->set_closed(stats.flags.closed);
  out->mutable_flags()->set_draining(stats.flags.draining);
  const auto count = [&](TaskState state) { return stats.tasks[static_cast<size_t>(state)]; };
  v1::QueueCounts* counts = out->mutable_counts();
  counts->set_delayed(count(TaskState::kDelayed));
  counts->set_ready(count(TaskState::kReady));
  counts->set_leased(count(TaskState::kLeased));
  counts->set_retry_wait(count(TaskState::kRetryWait));
  counts->set_succeeded(count(TaskState::kSucceeded));
  counts->set_dead(count(TaskState::kDead));
  counts->set_cancelled(count(TaskState::kCancelled));
  counts->set_expired(count(TaskState::kExpired));
  counts->set_live_bytes(stats.live_bytes);
  if (stats.oldest_ready_since_ms != 0) counts->set_oldest_ready_age_ms(stats.at_ms - stats.oldest_ready_since_ms);
  v1::QueueTotals* totals = out->mutable_totals();
  totals->set_submitted(stats.submitted);
  totals->set_leased(stats.leased);
  totals->set_completed(stats.completed);
  totals->set_failed_attempts(stats.failed_attempts);
  totals->set_retried(stats.retried);
  totals->set_dead_lettered(stats.dead_lettered);
  totals->set_released(stats.released);
  totals->set_redelivered(stats.redelivered);
  out->set_worker_sessions(static_cast<uint32_t>(stats.worker_sessions));
  out->set_worker_slots(stats.worker_slots);
}

}  // namespace wheelpit
