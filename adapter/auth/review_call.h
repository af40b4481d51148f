// A review asked of the API server, patiently: what fails for a moment is asked again.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/kube/kube_client.h"
#include "base/clock.h"
#include "nlohmann/json.hpp"

namespace wheelpit::adapter {

// Waits for that long; false if it was ended early because the adapter stops.
using WaitFunction = std::function<bool(absl::Duration)>;

// What asks. All outlive their user.
struct ReviewParts {
  KubeClient* client = nullptr;
  const Clock* clock = nullptr;
  WaitFunction wait;
};

// Of all attempts together.
inline constexpr absl::Duration kReviewTimeout = absl::Seconds(10);
inline constexpr int kReviewAttempts = 5;

// At most 5 attempts, 500 ms apart, growing by half, with a fifth of chance. kUnavailable answers
// are tried again.
absl::StatusOr<nlohmann::json> CallReview(const ReviewParts& parts, absl::string_view target,
                                          const nlohmann::json& body);

}  // namespace wheelpit::adapter
