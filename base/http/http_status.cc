#include "base/http/http_status.h"

#include <string>

#include "base/errors.h"

namespace wheelpit {

int HttpStatusOf(const absl::Status& status) {
  const std::string reason = ErrorReason(status);
  if (reason == "PAYLOAD_TOO_LARGE" || reason == "BATCH_TOO_LARGE") return 413;
  if (reason == "DISK_LOW") return 507;
  switch (status.code()) {
    case absl::StatusCode::kOk: return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange: return 400;
    case absl::StatusCode::kUnauthenticated: return 401;
    case absl::StatusCode::kPermissionDenied: return 403;
    case absl::StatusCode::kNotFound: return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted: return 409;
    case absl::StatusCode::kResourceExhausted: return 429;
    case absl::StatusCode::kCancelled: return 499;
    case absl::StatusCode::kUnimplemented: return 501;
    case absl::StatusCode::kUnavailable: return 503;
    case absl::StatusCode::kDeadlineExceeded: return 504;
    default: return 500;
  }
}

}  // namespace wheelpit
