#include "adapter/auth/authentication.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr char kAuthenticated[] = "system:authenticated";
constexpr char kUnauthenticated[] = "system:unauthenticated";
constexpr char kAnonymous[] = "system:anonymous";

// The value of the first of these headers that is there and not empty.
std::string FirstValue(const HttpRequest& request, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const absl::string_view value = absl::StripAsciiWhitespace(request.Header(name));
    if (!value.empty()) return std::string(value);
  }
  return "";
}

class RequestHeaderMethod final : public AuthenticationMethod {
 public:
  RequestHeaderMethod(const LiveAuthConfig* config, const Clock* clock)
      : config_(*config), clock_(*clock) {}

  absl::StatusOr<std::optional<UserInfo>> Try(const HttpRequest& request) override {
    const auto proxy = config_.Get().request_header;
    if (proxy == nullptr || request.peer.certificates_der.empty()) return std::nullopt;
    WHEELPIT_ASSIGN_OR_RETURN(const CertificateSubject subject,
                              proxy->ca->Verify(request.peer.certificates_der, clock_.WallNow(),
                                                clock_.MonotonicNanos()));
    const auto& allowed = proxy->allowed_names;
    if (!allowed.empty() &&
        std::find(allowed.begin(), allowed.end(), subject.common_name) == allowed.end()) {
      return absl::UnauthenticatedError(absl::StrCat("front proxy ", Quoted(subject.common_name),
                                                     " is not one of the allowed names"));
    }
    UserInfo user;
    user.name = FirstValue(request, proxy->username_headers);
    if (user.name.empty()) return std::nullopt;
    user.uid = FirstValue(request, proxy->uid_headers);
    for (const std::string& name : proxy->group_headers) {
      for (const absl::string_view value : request.HeaderValues(name))
        user.groups.emplace_back(absl::StripAsciiWhitespace(value));
    }
    for (const std::string& prefix : proxy->extra_header_prefixes) AddExtra(request, prefix, &user);
    return user;
  }

 private:
  // Keys are percent-encoded in header names; values are as they stand.
  static void AddExtra(const HttpRequest& request, const std::string& prefix, UserInfo* user) {
    for (const auto& [name, value] : request.headers) {
      if (!absl::StartsWithIgnoreCase(name, prefix)) continue;
      const std::string raw = absl::AsciiStrToLower(absl::string_view(name).substr(prefix.size()));
      std::string key;
      if (!PercentDecode(raw, /*plus=*/false, &key)) key = raw;
      user->extra[key].emplace_back(absl::StripAsciiWhitespace(value));
    }
  }

  const LiveAuthConfig& config_;
  const Clock& clock_;
};

class ClientCertificateMethod final : public AuthenticationMethod {
 public:
  ClientCertificateMethod(const LiveAuthConfig* config, const Clock* clock)
      : config_(*config), clock_(*clock) {}

  absl::StatusOr<std::optional<UserInfo>> Try(const HttpRequest& request) override {
    const auto ca = config_.Get().client_ca;
    if (ca == nullptr || request.peer.certificates_der.empty()) return std::nullopt;
    WHEELPIT_ASSIGN_OR_RETURN(const CertificateSubject subject,
                              ca->Verify(request.peer.certificates_der, clock_.WallNow(),
                                         clock_.MonotonicNanos()));
    if (subject.common_name.empty()) return std::nullopt;
    UserInfo user;
    user.name = subject.common_name;
    user.groups = subject.organizations;
    return user;
  }

 private:
  const LiveAuthConfig& config_;
  const Clock& clock_;
};

class MethodsAuthenticator final : public Authenticator {
 public:
  explicit MethodsAuthenticator(std::vector<std::unique_ptr<AuthenticationMethod>> methods)
      : methods_(std::move(methods)) {}

  absl::StatusOr<UserInfo> Authenticate(const HttpRequest& request) override {
    std::string disbelieved;
    for (const auto& method : methods_) {
      absl::StatusOr<std::optional<UserInfo>> user = method->Try(request);
      if (!user.ok()) {
        absl::StrAppend(&disbelieved, disbelieved.empty() ? "" : "; ", user.status().message());
        continue;
      }
      if (user->has_value()) return WithGroup(**std::move(user));
    }
    if (!disbelieved.empty()) return absl::UnauthenticatedError(disbelieved);
    return UserInfo{kAnonymous, "", {kUnauthenticated}, {}};
  }

 private:
  static UserInfo WithGroup(UserInfo user) {
    const auto in = [&](absl::string_view group) {
      return std::find(user.groups.begin(), user.groups.end(), group) != user.groups.end();
    };
    // The front proxy's anonymous user stays one.
    if (user.name != kAnonymous && !in(kAuthenticated) && !in(kUnauthenticated))
      user.groups.emplace_back(kAuthenticated);
    return user;
  }

  const std::vector<std::unique_ptr<AuthenticationMethod>> methods_;
};

}  // namespace

std::unique_ptr<AuthenticationMethod> NewRequestHeaderMethod(const LiveAuthConfig* config,
                                                             const Clock* clock) {
  return std::make_unique<RequestHeaderMethod>(config, clock);
}

std::unique_ptr<AuthenticationMethod> NewClientCertificateMethod(const LiveAuthConfig* config,
                                                                 const Clock* clock) {
  return std::make_unique<ClientCertificateMethod>(config, clock);
}

std::unique_ptr<Authenticator> NewMethodsAuthenticator(
    std::vector<std::unique_ptr<AuthenticationMethod>> methods) {
  return std::make_unique<MethodsAuthenticator>(std::move(methods));
}

}  // namespace wheelpit::adapter
