// Plain values of the queue side: ids, tokens, states, and what callers see of a task.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/model/labels.h"

namespace wheelpit {

// Shard 6 bits, counter 58 bits; never 0, never reused. Text: `<shard>-<counter>`, opaque to clients.
struct TaskId {
  uint64_t value = 0;
  friend bool operator==(const TaskId&, const TaskId&) = default;
  friend bool operator<(const TaskId& a, const TaskId& b) { return a.value < b.value; }
  template <typename H>
  friend H AbslHashValue(H h, TaskId id) {
    return H::combine(std::move(h), id.value);
  }
};
std::string FormatTaskId(TaskId id);
// kInvalidArgument BAD_FIELD.
absl::StatusOr<TaskId> ParseTaskId(absl::string_view text);

// Epoch << 40 | counter; names one lease of a task. 0 = none.
struct LeaseToken {
  uint64_t value = 0;
  friend bool operator==(const LeaseToken&, const LeaseToken&) = default;
};

// Values as on the wire (wheelpit.v1.TaskState).
enum class TaskState : uint8_t {
  kUnspecified = 0,
  kDelayed = 1,
  kReady = 2,
  kLeased = 3,
  kRetryWait = 4,
  kSucceeded = 5,
  kDead = 6,
  kCancelled = 7,
  kExpired = 8,
};
inline constexpr int kTaskStates = 9;
inline bool IsTerminal(TaskState s) { return s >= TaskState::kSucceeded; }
// `ready`, `retry_wait`, …
const char* TaskStateName(TaskState state);

struct BackoffPolicy {
  int64_t initial_ms = 1000;
  double multiplier = 2;
  int64_t max_delay_ms = 600'000;
  friend bool operator==(const BackoffPolicy&, const BackoffPolicy&) = default;
};

struct CountedSeries {
  std::string name;
  Labels labels;
};

// What a submitter states. Zero = the queue's default, as in wheelpit.v1.TaskSpec.
struct TaskSpec {
  std::string queue;
  std::string payload;
  std::string content_type;
  std::map<std::string, std::string> attributes;
  int priority = 0;
  std::string fairness_key;
  std::string idempotency_key;
  int64_t delay_ms = 0;
  int64_t not_before_ms = 0;
  int64_t expire_at_ms = 0;
  int64_t lease_ttl_ms = 0;
  int64_t attempt_timeout_ms = 0;
  uint32_t max_attempts = 0;
  uint32_t max_losses = 0;
  bool has_backoff = false;
  BackoffPolicy backoff;
  std::string trace_context;
  std::vector<CountedSeries> counts;
};

// What callers see; fields as wheelpit.v1.Task.
struct TaskView {
  TaskId id;
  std::string queue;
  TaskState state = TaskState::kUnspecified;
  std::string payload;
  std::string content_type;
  std::map<std::string, std::string> attributes;
  int priority = 0;
  std::string fairness_key;
  std::string idempotency_key;
  int64_t submitted_at_ms = 0;
  int64_t not_before_ms = 0;
  int64_t expire_at_ms = 0;
  int64_t lease_ttl_ms = 0;
  int64_t attempt_timeout_ms = 0;
  uint32_t max_attempts = 0;
  uint32_t max_losses = 0;
  BackoffPolicy backoff;
  std::string trace_context;
  uint32_t attempts = 0;
  uint32_t failures = 0;
  uint32_t losses = 0;
  uint32_t releases = 0;
  uint32_t redrives = 0;
  bool cancel_requested = false;
  int64_t state_since_ms = 0;
  int64_t due_ms = 0;
  std::string last_error;
  std::string dead_reason;
  std::string loss_cause;
  std::string worker;
  std::string result;
  std::string result_content_type;
  uint64_t result_size_bytes = 0;
  uint32_t progress_percent = 0;
  std::string progress_note;
};

// One attempt given to a worker. The receiver owns the payload.
struct Assignment {
  TaskView task;
  LeaseToken token;
  uint32_t attempt = 0;
  int64_t deadline_ms = 0;
  int64_t lease_ttl_ms = 0;
};

struct LeaseRef {
  TaskId task;
  LeaseToken token;
};

}  // namespace wheelpit
