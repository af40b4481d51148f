// May they? Superusers and open paths at once, everyone else as the API server's
// SubjectAccessReview says.
//
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "adapter/auth/review_call.h"
#include "adapter/http/auth.h"

namespace wheelpit::adapter {

struct DelegatedAuthorizerOptions {
  // A `*` at the end stands for any rest.
  std::vector<std::string> always_allow_paths = {"/healthz", "/readyz", "/livez"};
  // Answers are remembered so long (0: not at all); failed calls are not.
  absl::Duration allowed_ttl = absl::Seconds(10);
  absl::Duration denied_ttl = absl::Seconds(10);
};

std::unique_ptr<Authorizer> NewDelegatedAuthorizer(ReviewParts parts,
                                                   DelegatedAuthorizerOptions options);

}  // namespace wheelpit::adapter
