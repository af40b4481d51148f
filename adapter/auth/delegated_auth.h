// Delegated authentication and authorization, whole: what an extension API server asks of the
// cluster that it belongs to.
//
// Thread-safe. Run needs a thread of its own.
//
//   WHEELPIT_ASSIGN_OR_RETURN(auto auth, DelegatedAuth::Create(options, kube_config, &clock));
//   WHEELPIT_RETURN_IF_ERROR(auth->Load());
//   thread: auth->Run();   …   auth->Stop(); join
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapter/auth/auth_feed.h"
#include "adapter/auth/delegated_authorizer.h"
#include "adapter/http/auth.h"
#include "adapter/kube/kube_config.h"
#include "base/clock.h"
#include "base/sync.h"

namespace wheelpit::adapter {

struct DelegatedAuthOptions {
  AuthFeedOptions feed;
  // A first lookup of the ConfigMap that fails does not end the start.
  bool tolerate_lookup_failure = false;
  absl::Duration token_ttl = absl::Seconds(10);
  DelegatedAuthorizerOptions authorizer;
};

class DelegatedAuth {
 public:
  // One connection pool each for the one who reads the settings and asks who users are, and the one
  // who asks what they may: they may be different users of the API server. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<DelegatedAuth>> Create(
      DelegatedAuthOptions options, const KubeConfig& authentication,
      const KubeConfig& authorization, const Clock* clock);
  ~DelegatedAuth();

  // The first lookup. An error is fatal unless failures are tolerated.
  absl::Status Load();
  // Follows the settings until Stop.
  void Run();
  // Ends Run and every call at work.
  void Stop();

  Authenticator* authenticator() { return authenticator_.get(); }
  Authorizer* authorizer() { return authorizer_.get(); }

 private:
  DelegatedAuth(DelegatedAuthOptions options, std::unique_ptr<KubeClient> authentication,
                std::unique_ptr<KubeClient> authorization, const Clock* clock);
  // False if stopped meanwhile.
  bool Wait(absl::Duration time);

  const DelegatedAuthOptions options_;
  const std::unique_ptr<KubeClient> authentication_client_;
  const std::unique_ptr<KubeClient> authorization_client_;
  LiveAuthConfig live_;
  AuthFeed feed_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<Authorizer> authorizer_;

  Mutex mu_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit::adapter
