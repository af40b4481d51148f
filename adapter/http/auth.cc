#include "adapter/http/auth.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace wheelpit::adapter {
namespace {

// Time depends on the lengths only.
bool SameSecret(absl::string_view a, absl::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < b.size(); ++i) {
    difference |= static_cast<unsigned>(static_cast<unsigned char>(b[i]) ^
                                        static_cast<unsigned char>(i < a.size() ? a[i] : 0));
  }
  return difference == 0;
}

class StaticTokenAuthenticator final : public Authenticator {
 public:
  StaticTokenAuthenticator(std::string token, UserInfo user)
      : token_(std::move(token)), user_(std::move(user)) {
    WHEELPIT_CHECK(!token_.empty(), "an empty token opens the door to everyone");
  }

  absl::StatusOr<UserInfo> Authenticate(const HttpRequest& request) override {
    absl::string_view value = absl::StripAsciiWhitespace(request.Header("Authorization"));
    constexpr absl::string_view kScheme = "bearer ";
    if (!absl::StartsWithIgnoreCase(value, kScheme))
      return absl::UnauthenticatedError("no bearer token");
    value.remove_prefix(kScheme.size());
    if (!SameSecret(absl::StripAsciiWhitespace(value), token_))
      return absl::UnauthenticatedError("wrong bearer token");
    return user_;
  }

 private:
  const std::string token_;
  const UserInfo user_;
};

class AllowAllAuthorizer final : public Authorizer {
 public:
  bool AllowsAnyone(const RequestAttributes& attributes) const override {
    const absl::string_view path = attributes.path;
    for (const char* health : {"/healthz", "/livez", "/readyz"}) {
      if (path == health || absl::StartsWith(path, absl::StrCat(health, "/"))) return true;
    }
    return false;
  }
  absl::Status Authorize(const UserInfo&, const RequestAttributes&) override {
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Authenticator> NewStaticTokenAuthenticator(std::string token, UserInfo user) {
  return std::make_unique<StaticTokenAuthenticator>(std::move(token), std::move(user));
}

std::unique_ptr<Authorizer> NewAllowAllAuthorizer() {
  return std::make_unique<AllowAllAuthorizer>();
}

}  // namespace wheelpit::adapter
