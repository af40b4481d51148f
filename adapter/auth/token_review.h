// Bearer tokens: the API server is asked whose they are.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "adapter/auth/authentication.h"
#include "adapter/auth/review_call.h"

namespace wheelpit::adapter {

// Answers, good and bad, are remembered for `ttl` (0: not at all); failed calls are not. Tokens are
// kept as digests only.
std::unique_ptr<AuthenticationMethod> NewTokenReviewMethod(ReviewParts parts, absl::Duration ttl);

}  // namespace wheelpit::adapter
