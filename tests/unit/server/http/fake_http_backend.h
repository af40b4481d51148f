// A backend that keeps tasks in a map: the routes are tested, not the queue.
#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "server/http/http_backend.h"

namespace wheelpit {

class FakeHttpBackend : public HttpBackend {
 public:
  absl::Status Ready() const override { return ready; }
  absl::StatusOr<SubmitOutcome> Submit(TaskSpec spec) override {
    submitted.push_back(spec);
    if (!submit_error.ok()) return submit_error;
    return outcome;
  }
  absl::StatusOr<TaskView> GetTask(TaskId id, int64_t timeout_ms, bool with_result) override {
    last_timeout_ms = timeout_ms;
    if (during_get) std::exchange(during_get, nullptr)();
    auto found = tasks.find(id.value);
    if (found == tasks.end()) return MakeError(absl::StatusCode::kNotFound, "TASK", "no such task");
    TaskView view = found->second;
    if (!with_result) view.result.clear();
    return view;
  }
  absl::StatusOr<TaskView> Cancel(TaskId id, bool force) override {
    last_force = force;
    absl::StatusOr<TaskView> view = GetTask(id, 0, false);
    if (view.ok() && IsTerminal(view->state)) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_TERMINAL", "the task has ended");
    }
    return view;
  }
  int64_t NowMs() const override { return 1'700'000'000'500; }
  int64_t MonotonicNanos() const override { return 1; }

  absl::Status ready;
  absl::Status submit_error;
  SubmitOutcome outcome;
  std::vector<TaskSpec> submitted;
  std::map<uint64_t, TaskView> tasks;
  std::function<void()> during_get;  // called once
  int64_t last_timeout_ms = -1;
  bool last_force = false;
};

inline HttpRequest MakeRequest(const std::string& method, const std::string& target, HttpHeaders headers = {},
                               const std::string& body = "") {
  HttpRequest request;
  request.method = method;
  request.target = target;
  request.headers = std::move(headers);
  request.body = body;
  SplitTarget(&request);
  return request;
}

inline std::string HeaderOf(const HttpResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

}  // namespace wheelpit
