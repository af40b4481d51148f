#include "adapter/auth/review_call.h"

namespace wheelpit::adapter {
namespace {

constexpr absl::Duration kFirstWait = absl::Milliseconds(500);
constexpr double kGrowth = 1.5;
constexpr double kJitter = 0.2;

}  // namespace

absl::StatusOr<nlohmann::json> CallReview(const ReviewParts& parts, absl::string_view target,
                                          const nlohmann::json& body) {
  const int64_t deadline_ns =
      parts.clock->MonotonicNanos() + absl::ToInt64Nanoseconds(kReviewTimeout);
  absl::Duration wait = kFirstWait;
  for (int attempt = 1;; ++attempt) {
    const absl::Duration left = absl::Nanoseconds(deadline_ns - parts.clock->MonotonicNanos());
    absl::StatusOr<nlohmann::json> answer = parts.client->Post(target, body, left);
    if (answer.ok() || !absl::IsUnavailable(answer.status()) || attempt == kReviewAttempts)
      return answer;
    // Callers that failed together shall not come back together: the clock's last digits are
    // chance enough.
    const double chance = static_cast<double>(parts.clock->MonotonicNanos() % 1000) / 1000;
    const absl::Duration pause = wait * (1 + kJitter * chance);
    if (pause >= absl::Nanoseconds(deadline_ns - parts.clock->MonotonicNanos())) return answer;
    if (!parts.wait(pause)) return answer;
    wait *= kGrowth;
  }
}

}  // namespace wheelpit::adapter
