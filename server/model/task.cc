#include "server/model/task.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

constexpr int kCounterBits = 58;
constexpr uint64_t kCounterMax = (uint64_t{1} << kCounterBits) - 1;

// Digits only and no leading zero, so that each id has one text.
bool ParseNumber(absl::string_view text, uint64_t* value) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return absl::SimpleAtoi(text, value);
}

}  // namespace

std::string FormatTaskId(TaskId id) {
  return absl::StrCat(id.value >> kCounterBits, "-", id.value & kCounterMax);
}

absl::StatusOr<TaskId> ParseTaskId(absl::string_view text) {
  const size_t dash = text.find('-');
  uint64_t shard = 0;
  uint64_t counter = 0;
  if (dash == absl::string_view::npos || !ParseNumber(text.substr(0, dash), &shard) ||
      !ParseNumber(text.substr(dash + 1), &counter) || shard > 63 || counter == 0 ||
      counter > kCounterMax) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                     absl::StrCat("id ", Quoted(text), ": must be a task id, for example `0-12`"));
  }
  return TaskId{shard << kCounterBits | counter};
}

const char* TaskStateName(TaskState state) {
  switch (state) {
    case TaskState::kUnspecified:
      return "unspecified";
    case TaskState::kDelayed:
      return "delayed";
    case TaskState::kReady:
      return "ready";
    case TaskState::kLeased:
      return "leased";
    case TaskState::kRetryWait:
      return "retry_wait";
    case TaskState::kSucceeded:
      return "succeeded";
    case TaskState::kDead:
      return "dead";
    case TaskState::kCancelled:
      return "cancelled";
    case TaskState::kExpired:
      return "expired";
  }
  return "?";
}

}  // namespace wheelpit
