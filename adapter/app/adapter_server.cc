#include "adapter/app/adapter_server.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapter/app/certificate.h"
#include "adapter/app/secret_files.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

// How often the keeper looks whether a relist is due; below every interval that matters.
constexpr absl::Duration kKeeperStep = absl::Milliseconds(500);
constexpr absl::Duration kCertificateStep = absl::Minutes(1);
// Files are looked at more often: whoever replaces them waits for it.
constexpr absl::Duration kCertificateFilesStep = absl::Seconds(1);
constexpr absl::Duration kRenewBefore = absl::Hours(24 * 30);
constexpr size_t kGzipBytesMin = (128 << 10) + 1;

}  // namespace

absl::StatusOr<std::unique_ptr<AdapterServer>> AdapterServer::Start(AdapterOptions options,
                                                                    MetricSources sources,
                                                                    ThreadFactory threads,
                                                                    const Clock* clock,
                                                                    MetricRegistry* metrics) {
  std::unique_ptr<AdapterServer> server(new AdapterServer(std::move(options), clock));
  WHEELPIT_RETURN_IF_ERROR(server->Init(sources, std::move(threads), metrics));
  return server;
}

AdapterServer::AdapterServer(AdapterOptions options, const Clock* clock)
    : options_(std::move(options)), clock_(clock) {}

AdapterServer::~AdapterServer() { Stop(absl::ZeroDuration()); }

absl::Status AdapterServer::Init(MetricSources sources, ThreadFactory threads,
                                 MetricRegistry* metrics) {
  rule_loader_ = std::make_unique<RuleLoader>(options_.rules, metrics, clock_);
  WHEELPIT_ASSIGN_OR_RETURN(std::vector<Rule> rules, rule_loader_->Load());
  RegistryOptions registry = options_.registry;
  registry.clock = clock_;
  registry.strict_compat = options_.rules.strict_compat;
  WHEELPIT_ASSIGN_OR_RETURN(registry_, Registry::Create(sources, std::move(rules), registry));
  WHEELPIT_RETURN_IF_ERROR(OpenDoor());
  HttpServerOptions http;
  http.name = "adapter";
  http.host = options_.host;
  http.port = options_.port;
  http.gzip_bytes_min = kGzipBytesMin;
  http.tls = options_.tls;
  http.error_response = [this](int status, absl::string_view message) {
    return handler_->Refuse(status, message);
  };
  WHEELPIT_ASSIGN_OR_RETURN(const ServingCertificate certificate, LoadCertificate());
  http.certificate_pem = certificate.certificate_pem;
  http.key_pem = certificate.key_pem;
  certificate_end_ =
      metrics->AddGauge("wheelpit_adapter_certificate_expiry_timestamp_seconds",
                        "When the serving certificate ends, Unix time. Near now: whoever makes it "
                        "has not renewed it.");
  NoteCertificate(certificate.certificate_pem);

  ApiHandlerOptions handler;
  if (options_.port != 0) handler.server_address = absl::StrCat(options_.host, ":", options_.port);
  handler.query_timeout = options_.query_timeout;
  handler.version = options_.version;
  handler.strict_compat = options_.rules.strict_compat;
  handler_ = std::make_unique<ApiHandler>(
      ApiHandlerParts{registry_.get(),
                      delegated_ ? delegated_->authenticator() : token_authenticator_.get(),
                      delegated_ ? delegated_->authorizer() : token_authorizer_.get(), metrics,
                      clock_},
      std::move(handler), RandomSeed());
  WHEELPIT_ASSIGN_OR_RETURN(
      server_,
      HttpServer::Start(
          std::move(http), [this](const HttpRequest& request) { return handler_->Handle(request); },
          threads, clock_));
  join_keeper_ = threads("adapter-rules", [this] { KeepFresh(); });
  if (delegated_ != nullptr) join_auth_ = threads("adapter-auth", [this] { delegated_->Run(); });
  return absl::OkStatus();
}

absl::Status AdapterServer::OpenDoor() {
  if (!options_.delegated.has_value()) {
    WHEELPIT_ASSIGN_OR_RETURN(token_, LoadOrMakeToken(options_.data_dir + "/adapter.token"));
    token_authenticator_ =
        NewStaticTokenAuthenticator(token_, {"wheelpit:token", "", {"system:authenticated"}, {}});
    token_authorizer_ = NewAllowAllAuthorizer();
    return absl::OkStatus();
  }
  const DelegatedOptions& delegated = *options_.delegated;
  WHEELPIT_ASSIGN_OR_RETURN(delegated_,
                            DelegatedAuth::Create(delegated.auth, delegated.authentication,
                                                  delegated.authorization, clock_));
  return delegated_->Load();
}

absl::StatusOr<ServingCertificate> AdapterServer::LoadCertificate() {
  if (options_.certificate_file.empty() != options_.key_file.empty()) {
    return absl::InvalidArgumentError(
        "adapter: a certificate file needs its key file, and a key file its certificate");
  }
  if (!options_.certificate_file.empty()) {
    ServingCertificate pair;
    WHEELPIT_ASSIGN_OR_RETURN(pair.certificate_pem, ReadSmallFile(options_.certificate_file));
    WHEELPIT_ASSIGN_OR_RETURN(pair.key_pem, ReadSmallFile(options_.key_file));
    return pair;
  }
  std::vector<std::string> hosts = {"localhost", "127.0.0.1", "::1"};
  std::vector<std::string> more = options_.certificate_hosts;
  const std::string& own = options_.host;
  if (own != "0.0.0.0" && own != "::" && !own.empty()) more.push_back(own);
  for (std::string& host : more) {
    if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) {
      hosts.push_back(std::move(host));
    }
  }
  if (options_.data_dir.empty()) return CertificateOfFolder(hosts);
  return LoadOrMakeCertificate(options_.data_dir + "/adapter.crt",
                               options_.data_dir + "/adapter.key", hosts, clock_->WallNow());
}

absl::StatusOr<ServingCertificate> AdapterServer::CertificateOfFolder(
    const std::vector<std::string>& hosts) {
  const std::string& folder = options_.certificate_dir;
  if (folder.empty()) return CertificateInMemory(hosts);
  const std::string certificate_path = folder + "/apiserver.crt", key_path = folder + "/apiserver.key";
  const absl::StatusOr<std::string> certificate_pem = ReadSmallFile(certificate_path);
  const absl::StatusOr<std::string> key_pem = ReadSmallFile(key_path);
  if (certificate_pem.ok() && key_pem.ok()) {
    // Perhaps somebody's own: its names are their matter.
    ServingCertificate pair{*certificate_pem, *key_pem};
    const absl::Status good = CheckCertificate(pair, {}, clock_->WallNow(), absl::ZeroDuration());
    if (good.ok()) return pair;
    Log(LogLevel::kWarning, "adapter_certificate_replaced",
        {{"path", certificate_path}, {"why", std::string(good.message())}});
  }
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  absl::StatusOr<ServingCertificate> made =
      LoadOrMakeCertificate(certificate_path, key_path, hosts, clock_->WallNow());
  if (made.ok()) return made;
  {
    MutexLock lock(&mu_);
    if (in_memory_.key_pem.empty()) {
      Log(LogLevel::kInfo, "adapter_certificate_in_memory",
          {{"why", std::string(made.status().message())}});
    }
  }
  return CertificateInMemory(hosts);
}

absl::StatusOr<ServingCertificate> AdapterServer::CertificateInMemory(
    const std::vector<std::string>& hosts) {
  MutexLock lock(&mu_);
  const absl::Time now = clock_->WallNow();
  if (in_memory_.key_pem.empty() || !CheckCertificate(in_memory_, hosts, now, kRenewBefore).ok()) {
    WHEELPIT_ASSIGN_OR_RETURN(in_memory_, MakeSelfSigned(hosts, now));
  }
  return in_memory_;
}

absl::Status AdapterServer::RefreshCertificate() {
  WHEELPIT_ASSIGN_OR_RETURN(ServingCertificate pair, LoadCertificate());
  if (pair.certificate_pem == certificate_pem()) return absl::OkStatus();
  WHEELPIT_RETURN_IF_ERROR(server_->SetCertificate(pair.certificate_pem, pair.key_pem));
  NoteCertificate(std::move(pair.certificate_pem));
  Log(LogLevel::kInfo, "adapter_certificate_changed", {});
  return absl::OkStatus();
}

void AdapterServer::NoteCertificate(std::string pem) {
  if (const absl::StatusOr<absl::Time> end = CertificateEnd(pem); end.ok())
    certificate_end_->Set(absl::ToDoubleSeconds(*end - absl::UnixEpoch()));
  MutexLock lock(&mu_);
  certificate_pem_ = std::move(pem);
}

void AdapterServer::KeepFresh() {
  const int64_t step_ns = absl::ToInt64Nanoseconds(
      options_.certificate_file.empty() ? kCertificateStep : kCertificateFilesStep);
  int64_t refresh_ns = clock_->MonotonicNanos() + step_ns;
  std::string complaint;
  while (true) {
    rule_loader_->Look(registry_.get());
    registry_->Tick(absl::FromUnixMillis(clock_->NowMs()));
    handler_->RefreshGauges();
    if (const int64_t now_ns = clock_->MonotonicNanos(); now_ns >= refresh_ns) {
      refresh_ns = now_ns + step_ns;
      const std::string error(RefreshCertificate().message());
      if (!error.empty() && error != complaint)
        Log(LogLevel::kError, "adapter_certificate_failed", {{"error", error}});
      complaint = error;
    }
    MutexLock lock(&mu_);
    if (stopping_) return;
    wake_.WaitWithTimeout(&mu_, kKeeperStep);
    if (stopping_) return;
  }
}

std::string AdapterServer::certificate_pem() const {
  MutexLock lock(&mu_);
  return certificate_pem_;
}

int AdapterServer::port() const { return server_->port(); }

void AdapterServer::BeginShutdown() { handler_->BeginShutdown(); }

void AdapterServer::Stop(absl::Duration grace) {
  {
    MutexLock lock(&mu_);
    if (stopping_) return;
    stopping_ = true;
    wake_.SignalAll();
  }
  if (handler_ != nullptr) handler_->BeginShutdown();
  // Requests that wait for the API server would hold everything up.
  if (delegated_ != nullptr) delegated_->Stop();
  if (server_ != nullptr) server_->Stop(absl::ToInt64Milliseconds(grace));
  if (join_keeper_ != nullptr) join_keeper_();
  if (join_auth_ != nullptr) join_auth_();
}

}  // namespace wheelpit::adapter
