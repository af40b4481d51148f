// The metrics APIs over HTTPS, whole: rules, sources, certificate, token, server and the thread
// that keeps the registry fresh.
//
// Start and Stop from one thread; the rest is thread-safe. wheelpit-server runs one on a channel to
// its own Query service, and stops it before its gRPC server (aggregator_source.h).
//
//   auto source = NewAggregatorSource(server->InProcessChannel({}));
//   WHEELPIT_ASSIGN_OR_RETURN(auto adapter, AdapterServer::Start(options, {.aggregator =
//   source.get()}, threads, &clock)); adapter->port(); … adapter->Stop(absl::Seconds(5));
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapter/app/certificate.h"
#include "adapter/app/rule_loader.h"
#include "adapter/auth/delegated_auth.h"
#include "adapter/http/api_handler.h"
#include "adapter/http/registry.h"
#include "adapter/kube/kube_config.h"
#include "base/clock.h"
#include "base/http/http_server.h"
#include "base/metrics.h"
#include "base/sync.h"

namespace wheelpit::adapter {

struct DelegatedOptions {
  DelegatedAuthOptions auth;
  // With whose rights tokens are reviewed and settings read, and with whose access is reviewed.
  KubeConfig authentication;
  KubeConfig authorization;
};

struct AdapterOptions {
  std::string host = "127.0.0.1";
  // 0 = any free one.
  int port = 6443;
  // Holds adapter.crt, adapter.key and adapter.token; must exist. May be empty with `delegated`.
  std::string data_dir;
  // PEM files of a certificate from elsewhere; empty = self-signed, in data_dir.
  std::string certificate_file;
  std::string key_file;
  // Host names and addresses that the self-signed certificate carries besides localhost, 127.0.0.1,
  // ::1 and `host`.
  std::vector<std::string> certificate_hosts;
  // Without data_dir and files: a folder whose apiserver.crt and apiserver.key are used if they are
  // good, and made if not. Where that cannot be, and if it is empty: made in memory.
  std::string certificate_dir;
  ServerTlsOptions tls;
  // Set: users and their rights are the cluster's matter. Else adapter.token opens the door.
  std::optional<DelegatedOptions> delegated;
  // Its strict_compat is for the whole server.
  RuleLoaderOptions rules;
  absl::Duration query_timeout = absl::Seconds(1);
  RegistryOptions registry;
  std::string version;
};

class AdapterServer {
 public:
  // `sources`, `clock` and `metrics` outlive it. kInvalidArgument: the rule file or an option is
  // bad; kAlreadyExists: the port is taken; what the API server says, if it cannot be asked for the
  // settings of authentication.
  static absl::StatusOr<std::unique_ptr<AdapterServer>> Start(
      AdapterOptions options, MetricSources sources, ThreadFactory threads, const Clock* clock,
      MetricRegistry* metrics = &OwnMetrics());
  // Stops at once.
  ~AdapterServer();

  int port() const;
  // What clients send as `Authorization: Bearer`; empty with `delegated`.
  const std::string& token() const { return token_; }
  // What new connections are served with.
  std::string certificate_pem() const;

  // Takes certificate files that have changed (the server's own thread looks every second), and
  // renews the self-signed one before it ends (every minute). On an error the old one stays in use.
  absl::Status RefreshCertificate();
  // /readyz fails from here on, requests are still answered.
  void BeginShutdown();
  // Lets requests at work finish for `grace` at most, then joins every thread. Only the first call
  // does anything.
  void Stop(absl::Duration grace);

 private:
  AdapterServer(AdapterOptions options, const Clock* clock);
  absl::Status Init(MetricSources sources, ThreadFactory threads, MetricRegistry* metrics);
  absl::Status OpenDoor();
  absl::StatusOr<ServingCertificate> LoadCertificate();
  absl::StatusOr<ServingCertificate> CertificateOfFolder(const std::vector<std::string>& hosts);
  absl::StatusOr<ServingCertificate> CertificateInMemory(const std::vector<std::string>& hosts);
  // What new connections are served with from now on.
  void NoteCertificate(std::string pem);
  // Relists when due, follows the rule file and minds the certificate, until Stop.
  void KeepFresh();

  const AdapterOptions options_;
  const Clock* const clock_;
  std::string token_;
  Gauge* certificate_end_ = nullptr;
  std::unique_ptr<RuleLoader> rule_loader_;
  std::unique_ptr<Registry> registry_;
  // Either the cluster's, or the token's.
  std::unique_ptr<DelegatedAuth> delegated_;
  std::unique_ptr<Authenticator> token_authenticator_;
  std::unique_ptr<Authorizer> token_authorizer_;
  std::unique_ptr<ApiHandler> handler_;
  std::unique_ptr<HttpServer> server_;
  absl::AnyInvocable<void()> join_keeper_;
  absl::AnyInvocable<void()> join_auth_;

  mutable Mutex mu_;
  CondVar wake_;
  std::string certificate_pem_ ABSL_GUARDED_BY(mu_);
  ServingCertificate in_memory_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit::adapter
