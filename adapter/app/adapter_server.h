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
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapter/app/certificate.h"
#include "adapter/http/api_handler.h"
#include "adapter/http/registry.h"
#include "base/clock.h"
#include "base/http/http_server.h"
#include "base/metrics.h"
#include "base/sync.h"

namespace wheelpit::adapter {

struct AdapterOptions {
  std::string host = "127.0.0.1";
  // 0 = any free one.
  int port = 6443;
  // Holds adapter.crt, adapter.key and adapter.token; must exist.
  std::string data_dir;
  // PEM files of a certificate from elsewhere; empty = self-signed, in data_dir.
  std::string certificate_file;
  std::string key_file;
  // Host names and addresses that the self-signed certificate carries besides localhost, 127.0.0.1,
  // ::1 and `host`.
  std::vector<std::string> certificate_hosts;
  // prometheus-adapter's configuration; empty = built-in rules only.
  std::string rules_file;
  bool builtin_rules = true;
  // Each counter X_total gets X_per_second.
  std::vector<std::string> gateway_counters;
  absl::Duration query_timeout = absl::Seconds(1);
  RegistryOptions registry;
  std::string version;
};

class AdapterServer {
 public:
  // `sources`, `clock` and `metrics` outlive it. kInvalidArgument: the rule file or an option is
  // bad; kAlreadyExists: the port is taken.
  static absl::StatusOr<std::unique_ptr<AdapterServer>> Start(
      AdapterOptions options, MetricSources sources, ThreadFactory threads, const Clock* clock,
      MetricRegistry* metrics = &OwnMetrics());
  // Stops at once.
  ~AdapterServer();

  int port() const;
  // What clients send as `Authorization: Bearer`.
  const std::string& token() const { return token_; }
  // What new connections are served with.
  std::string certificate_pem() const;

  // Takes certificate files that have changed, and renews the self-signed one before it ends; the
  // server's own thread does so every minute. On an error the old one stays in use.
  absl::Status RefreshCertificate();
  // /readyz fails from here on, requests are still answered.
  void BeginShutdown();
  // Lets requests at work finish for `grace` at most, then joins every thread. Only the first call
  // does anything.
  void Stop(absl::Duration grace);

 private:
  AdapterServer(AdapterOptions options, const Clock* clock);
  absl::Status Init(MetricSources sources, ThreadFactory threads, MetricRegistry* metrics);
  absl::StatusOr<std::vector<Rule>> LoadRules() const;
  absl::StatusOr<ServingCertificate> LoadCertificate() const;
  // Relists when due and minds the certificate, until Stop.
  void KeepFresh();

  const AdapterOptions options_;
  const Clock* const clock_;
  std::string token_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<ApiHandler> handler_;
  std::unique_ptr<HttpServer> server_;
  absl::AnyInvocable<void()> join_keeper_;

  mutable Mutex mu_;
  CondVar wake_;
  std::string certificate_pem_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit::adapter
