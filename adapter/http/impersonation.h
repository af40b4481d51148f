// Asking as somebody else: the Impersonate-* headers, as an API server of Kubernetes reads them
// (`kubectl --as`). kube-apiserver does this by itself for what it hands on; here it is for those
// who come directly.
#pragma once

#include <variant>

#include "adapter/api/api_status.h"
#include "adapter/http/auth.h"
#include "base/http/http_types.h"

namespace wheelpit::adapter {

// Who the request is to be judged as: `user`, or the one named if `user` may impersonate every part
// of that (name, uid, groups, extras). Otherwise the answer to give. May block.
std::variant<UserInfo, ApiStatus> Impersonate(const HttpRequest& request, const UserInfo& user,
                                              Authorizer* authorizer);

// Why that user may not do that to a resource or a path. `reason` may be empty.
ApiStatus ForbiddenStatus(const UserInfo& user, const RequestAttributes& attributes,
                          absl::string_view reason);

}  // namespace wheelpit::adapter
