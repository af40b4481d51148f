#include "server/http/task_routes.h"

#include <google/protobuf/util/json_util.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/http/error_response.h"
#include "base/options.h"
#include "base/status_macros.h"
#include "server/queue/probe.h"
#include "server/rpc/task_codec.h"
#include "wheelpit/v1/types.pb.h"

namespace wheelpit {
namespace {

constexpr absl::string_view kPrefix = "X-Task-";
constexpr int64_t kWaitMsMax = 600'000;

absl::Status BadHeader(absl::string_view name, absl::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", absl::StrCat("header ", name, ": ", what));
}

template <typename Int>
absl::Status ReadInt(absl::string_view name, absl::string_view text, Int* value) {
  return absl::SimpleAtoi(text, value) ? absl::OkStatus() : BadHeader(name, absl::StrCat(Quoted(text), " is no whole number"));
}

absl::Status ReadDuration(absl::string_view name, absl::string_view text, int64_t* value_ms) {
  const absl::StatusOr<int64_t> ms = ParseDurationMs(text);
  if (!ms.ok()) return BadHeader(name, absl::StrCat(Quoted(text), " is no duration such as 30s"));
  *value_ms = *ms;
  return absl::OkStatus();
}

absl::Status ReadAttribute(absl::string_view name, absl::string_view text, TaskSpec* spec) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos || equals == 0) return BadHeader(name, "must be name=value");
  const std::string key(text.substr(0, equals));
  if (!spec->attributes.emplace(key, std::string(text.substr(equals + 1))).second) {
    return BadHeader(name, absl::StrCat("attribute ", Quoted(key), " appears twice"));
  }
  return absl::OkStatus();
}

absl::Status ReadTaskHeader(const std::string& name, absl::string_view value, TaskSpec* spec) {
  const std::string field = absl::AsciiStrToLower(absl::string_view(name).substr(kPrefix.size()));
  if (field == "priority") return ReadInt(name, value, &spec->priority);
  if (field == "delay") return ReadDuration(name, value, &spec->delay_ms);
  if (field == "not-before-ms") return ReadInt(name, value, &spec->not_before_ms);
  if (field == "expire-at-ms") return ReadInt(name, value, &spec->expire_at_ms);
  if (field == "lease-ttl") return ReadDuration(name, value, &spec->lease_ttl_ms);
  if (field == "attempt-timeout") return ReadDuration(name, value, &spec->attempt_timeout_ms);
  if (field == "max-attempts") return ReadInt(name, value, &spec->max_attempts);
  if (field == "max-losses") return ReadInt(name, value, &spec->max_losses);
  if (field == "attribute") return ReadAttribute(name, value, spec);
  if (field == "fairness-key") {
    spec->fairness_key = std::string(value);
    return absl::OkStatus();
  }
  return BadHeader(name,
                   "unknown; there are Priority, Delay, Not-Before-Ms, Expire-At-Ms, Lease-TTL, Attempt-Timeout, Max-Attempts, "
                   "Max-Losses, Fairness-Key, Attribute");
}

template <typename Message>
std::string ToJson(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Fails only for Any and the like.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  json.push_back('\n');
  return json;
}

// `?wait=`; 0 if there is none.
absl::StatusOr<int64_t> WaitMs(const HttpRequest& request) {
  if (!request.HasQuery("wait")) return 0;
  const absl::StatusOr<int64_t> ms = ParseDurationMs(request.Query("wait"));
  if (!ms.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                     absl::StrCat("wait: ", Quoted(request.Query("wait")), " is no duration such as 30s"));
  }
  if (*ms < 0 || *ms > kWaitMsMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "OUT_OF_LIMITS", "wait: must be 0s..10m");
  }
  return *ms;
}

bool IsSet(const HttpRequest& request, absl::string_view name) {
  return request.HasQuery(name) && request.Query(name) != "0" && request.Query(name) != "false";
}

}  // namespace

absl::StatusOr<TaskSpec> TaskSpecFromRequest(const HttpRequest& request, absl::string_view queue) {
  TaskSpec spec;
  spec.queue = std::string(queue);
  spec.payload = request.body;
  spec.content_type = std::string(request.Header("Content-Type"));
  spec.idempotency_key = std::string(request.Header("Idempotency-Key"));
  spec.trace_context = std::string(request.Header("traceparent"));
  for (const auto& [name, value] : request.headers) {
    if (!absl::StartsWithIgnoreCase(name, kPrefix)) continue;
    WHEELPIT_RETURN_IF_ERROR(ReadTaskHeader(name, value, &spec));
  }
  return spec;
}

std::string TaskJson(TaskView task) {
  v1::Task proto;
  ViewToProto(std::move(task), &proto);
  return ToJson(proto);
}

HttpResponse TaskRoutes::Submit(const HttpRequest& request, absl::string_view queue) {
  absl::StatusOr<TaskSpec> spec = TaskSpecFromRequest(request, queue);
  if (!spec.ok()) {
    QueueProbe::CountRejected(QueueProbe::kOther, ErrorReason(spec.status()));
    return ErrorJsonResponse(spec.status());
  }
  const absl::StatusOr<SubmitOutcome> outcome = backend_->Submit(*std::move(spec));
  if (!outcome.ok()) return ErrorJsonResponse(outcome.status());
  v1::SubmitResponse proto;
  proto.set_id(FormatTaskId(outcome->id));
  proto.set_deduplicated(outcome->deduplicated);
  proto.set_state(static_cast<v1::TaskState>(outcome->state));
  const bool ended = outcome->deduplicated && IsTerminal(outcome->state);
  HttpResponse response = JsonResponse(ended ? 200 : 202, ToJson(proto));
  response.headers.emplace_back("Location", absl::StrCat("/v1/tasks/", proto.id()));
  return response;
}

absl::StatusOr<TaskView> TaskRoutes::Find(const HttpRequest& request, absl::string_view id, bool with_result) {
  WHEELPIT_ASSIGN_OR_RETURN(const TaskId task, ParseTaskId(id));
  WHEELPIT_ASSIGN_OR_RETURN(const int64_t wait_ms, WaitMs(request));
  if (wait_ms == 0) return backend_->GetTask(task, 0, with_result);
  // A wait holds its thread: the rest of the pool is for those who do not.
  if (waits_.fetch_add(1, std::memory_order_relaxed) >= waits_max_) {
    waits_.fetch_sub(1, std::memory_order_relaxed);
    return MakeError(absl::StatusCode::kResourceExhausted, "TOO_MANY_WAITS", "too many requests wait for tasks", absl::Seconds(1));
  }
  absl::StatusOr<TaskView> view = backend_->GetTask(task, wait_ms, with_result);
  waits_.fetch_sub(1, std::memory_order_relaxed);
  return view;
}

HttpResponse TaskRoutes::Get(const HttpRequest& request, absl::string_view id) {
  absl::StatusOr<TaskView> view = Find(request, id, /*with_result=*/false);
  return view.ok() ? JsonResponse(200, TaskJson(*std::move(view))) : ErrorJsonResponse(view.status());
}

HttpResponse TaskRoutes::Cancel(const HttpRequest& request, absl::string_view id) {
  const absl::StatusOr<TaskId> task = ParseTaskId(id);
  if (!task.ok()) return ErrorJsonResponse(task.status());
  absl::StatusOr<TaskView> view = backend_->Cancel(*task, IsSet(request, "force"));
  return view.ok() ? JsonResponse(200, TaskJson(*std::move(view))) : ErrorJsonResponse(view.status());
}

HttpResponse TaskRoutes::Result(const HttpRequest& request, absl::string_view id) {
  absl::StatusOr<TaskView> view = Find(request, id, /*with_result=*/true);
  if (!view.ok()) return ErrorJsonResponse(view.status());
  if (view->state != TaskState::kSucceeded) {
    return ErrorJsonResponse(MakeError(absl::StatusCode::kFailedPrecondition, "NO_RESULT",
                                       absl::StrCat("task ", FormatTaskId(view->id), " is ", TaskStateName(view->state))));
  }
  HttpResponse response;
  response.content_type = view->result_content_type.empty() ? "application/octet-stream" : view->result_content_type;
  response.body = std::move(view->result);
  // The bytes are a worker's: no browser shall run them as a page of ours.
  response.headers = {{"X-Content-Type-Options", "nosniff"}, {"Content-Security-Policy", "sandbox"}};
  return response;
}

}  // namespace wheelpit
