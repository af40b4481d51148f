// Errors with a stable reason: what google.rpc.ErrorInfo.reason, HTTP bodies and metrics call the same thing.
//
//   return MakeError(absl::StatusCode::kFailedPrecondition, "LEASE_LOST", "token 7 of task 0-12 is not current");
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace wheelpit {

// `reason` is UPPER_SNAKE_CASE from the references; empty = none. `retry_after` > 0 becomes google.rpc.RetryInfo.
absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       absl::Duration retry_after = absl::ZeroDuration());

// Empty if the status has none.
std::string ErrorReason(const absl::Status& status);
absl::Duration ErrorRetryAfter(const absl::Status& status);

// Outside text made safe to quote in a message: escaped, cut at 128 bytes.
std::string Quoted(absl::string_view text);

}  // namespace wheelpit
