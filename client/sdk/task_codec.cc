#include "client/sdk/task_codec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/utf8.h"

namespace wheelpit {

v1::TaskSpec ToTaskSpec(NewTask task) {
  v1::TaskSpec spec;
  *spec.mutable_queue() = std::move(task.queue);
  *spec.mutable_payload() = std::move(task.payload);
  *spec.mutable_content_type() = std::move(task.content_type);
  for (auto& [key, value] : task.attributes) (*spec.mutable_attributes())[key] = std::move(value);
  spec.set_priority(task.priority);
  *spec.mutable_fairness_key() = std::move(task.fairness_key);
  *spec.mutable_idempotency_key() = std::move(task.idempotency_key);
  spec.set_delay_ms(absl::ToInt64Milliseconds(task.delay));
  if (task.expire_at != absl::InfiniteFuture()) {
    spec.set_expire_at_ms(absl::ToUnixMillis(task.expire_at));
  }
  spec.set_lease_ttl_ms(absl::ToInt64Milliseconds(task.lease_ttl));
  spec.set_attempt_timeout_ms(absl::ToInt64Milliseconds(task.attempt_timeout));
  spec.set_max_attempts(task.max_attempts);
  spec.set_max_losses(task.max_losses);
  *spec.mutable_trace_context() = std::move(task.trace_context);
  for (NewTask::Count& count : task.counts) {
    v1::CountedSeries* series = spec.add_counts();
    *series->mutable_name() = std::move(count.name);
    for (LabelPair& label : count.labels) {
      v1::Label* added = series->add_labels();
      *added->mutable_name() = std::move(label.first);
      *added->mutable_value() = std::move(label.second);
    }
  }
  return spec;
}

absl::Status CheckText(const NewTask& task) {
  const auto check = [](absl::string_view field, absl::string_view text) {
    if (IsValidUtf8(text)) return absl::OkStatus();
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                     absl::StrCat(field, ": ", Quoted(text), " is not valid UTF-8"));
  };
  absl::Status status = check("queue", task.queue);
  status.Update(check("content_type", task.content_type));
  status.Update(check("fairness_key", task.fairness_key));
  status.Update(check("idempotency_key", task.idempotency_key));
  status.Update(check("trace_context", task.trace_context));
  for (const auto& [key, value] : task.attributes) {
    status.Update(check("attributes", key));
    status.Update(check("attributes", value));
  }
  for (const NewTask::Count& count : task.counts) {
    status.Update(check("counts", count.name));
    for (const LabelPair& label : count.labels) {
      status.Update(check("counts", label.first));
      status.Update(check("counts", label.second));
    }
  }
  return status;
}

TaskInfo::State ToState(v1::TaskState state) {
  using State = TaskInfo::State;
  switch (state) {
    case v1::TASK_STATE_DELAYED:
      return State::kDelayed;
    case v1::TASK_STATE_READY:
      return State::kReady;
    case v1::TASK_STATE_LEASED:
      return State::kLeased;
    case v1::TASK_STATE_RETRY_WAIT:
      return State::kRetryWait;
    case v1::TASK_STATE_SUCCEEDED:
      return State::kSucceeded;
    case v1::TASK_STATE_DEAD:
      return State::kDead;
    case v1::TASK_STATE_CANCELLED:
      return State::kCancelled;
    case v1::TASK_STATE_EXPIRED:
      return State::kExpired;
    default:
      return State::kUnknown;
  }
}

absl::string_view TaskStateName(TaskInfo::State state) {
  using State = TaskInfo::State;
  switch (state) {
    case State::kDelayed:
      return "delayed";
    case State::kReady:
      return "ready";
    case State::kLeased:
      return "leased";
    case State::kRetryWait:
      return "retry_wait";
    case State::kSucceeded:
      return "succeeded";
    case State::kDead:
      return "dead";
    case State::kCancelled:
      return "cancelled";
    case State::kExpired:
      return "expired";
    case State::kUnknown:
      break;
  }
  return "unknown";
}

TaskInfo ToTaskInfo(const v1::Task& task) {
  TaskInfo info;
  info.id = task.id();
  info.queue = task.queue();
  info.state = ToState(task.state());
  info.attempts = task.attempts();
  info.failures = task.failures();
  info.losses = task.losses();
  info.submitted_at = absl::FromUnixMillis(task.submitted_at_ms());
  info.last_error = task.last_error();
  info.dead_reason = task.dead_reason();
  info.result = task.result();
  info.result_content_type = task.result_content_type();
  return info;
}

}  // namespace wheelpit
