#include "adapter/auth/delegated_auth.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapter/auth/token_review.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr absl::Duration kLookupTimeout = absl::Seconds(10);
// Where a failure is no matter, nobody shall wait for it.
constexpr absl::Duration kTolerantLookupTimeout = absl::Seconds(2);
// A watch that has been quiet for so long is begun anew with a list.
constexpr absl::Duration kResync = absl::Minutes(1);
constexpr absl::Duration kRetryMin = absl::Seconds(1);
constexpr absl::Duration kRetryMax = absl::Seconds(30);

}  // namespace

absl::StatusOr<std::unique_ptr<DelegatedAuth>> DelegatedAuth::Create(
    DelegatedAuthOptions options, const KubeConfig& authentication,
    const KubeConfig& authorization, const Clock* clock) {
  WHEELPIT_ASSIGN_OR_RETURN(auto who, NewKubeClient(authentication, clock));
  WHEELPIT_ASSIGN_OR_RETURN(auto what, NewKubeClient(authorization, clock));
  return std::unique_ptr<DelegatedAuth>(
      new DelegatedAuth(std::move(options), std::move(who), std::move(what), clock));
}

DelegatedAuth::DelegatedAuth(DelegatedAuthOptions options,
                             std::unique_ptr<KubeClient> authentication,
                             std::unique_ptr<KubeClient> authorization, const Clock* clock)
    : options_(std::move(options)),
      authentication_client_(std::move(authentication)),
      authorization_client_(std::move(authorization)),
      feed_(options_.feed, authentication_client_.get(), &live_) {
  const auto wait = [this](absl::Duration time) { return Wait(time); };
  std::vector<std::unique_ptr<AuthenticationMethod>> methods;
  methods.push_back(NewRequestHeaderMethod(&live_, clock));
  methods.push_back(NewClientCertificateMethod(&live_, clock));
  methods.push_back(
      NewTokenReviewMethod({authentication_client_.get(), clock, wait}, options_.token_ttl));
  authenticator_ = NewMethodsAuthenticator(std::move(methods));
  authorizer_ =
      NewDelegatedAuthorizer({authorization_client_.get(), clock, wait}, options_.authorizer);
}

DelegatedAuth::~DelegatedAuth() = default;

bool DelegatedAuth::Wait(absl::Duration time) {
  MutexLock lock(&mu_);
  // Nobody but Stop signals: a wait that ends early is the end.
  if (!stopping_) stop_.WaitWithTimeout(&mu_, time);
  return !stopping_;
}

absl::Status DelegatedAuth::Load() {
  const absl::Status loaded =
      feed_.Load(options_.tolerate_lookup_failure ? kTolerantLookupTimeout : kLookupTimeout);
  if (loaded.ok()) return loaded;
  if (options_.tolerate_lookup_failure) {
    Log(LogLevel::kWarning, "adapter_auth_lookup_failed",
        {{"error", std::string(loaded.message())}, {"why_go_on", "failures are tolerated"}});
    return absl::OkStatus();
  }
  return absl::Status(
      loaded.code(),
      absl::StrCat("authentication settings (ConfigMap "
                   "kube-system/extension-apiserver-authentication): ",
                   loaded.message(),
                   absl::IsPermissionDenied(loaded)
                       ? "; a RoleBinding in kube-system to the Role "
                         "extension-apiserver-authentication-reader allows it"
                       : ""));
}

void DelegatedAuth::Run() {
  absl::Duration retry = kRetryMin;
  bool listed = false;
  while (true) {
    absl::Status status = feed_.Load(kLookupTimeout);
    if (status.ok()) listed = true;
    if (status.ok() && feed_.follows()) status = feed_.Follow(kResync);
    if (status.ok()) {
      retry = kRetryMin;
      // Even a server that ends every watch at once is not asked in a circle.
      if (!Wait(feed_.follows() ? kRetryMin : kResync)) return;
      continue;
    }
    if (!Wait(absl::ZeroDuration())) return;
    Log(LogLevel::kWarning, "adapter_auth_lookup_failed",
        {{"error", std::string(status.message())},
         {"settings", listed ? "the last ones stay in use" : "none yet"}});
    if (!Wait(retry)) return;
    retry = std::min(retry * 2, kRetryMax);
  }
}

void DelegatedAuth::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    stop_.SignalAll();
  }
  authentication_client_->Cancel();
  authorization_client_->Cancel();
}

}  // namespace wheelpit::adapter
