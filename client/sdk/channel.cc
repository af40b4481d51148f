#include "client/sdk/channel.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "client/sdk/stream.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace wheelpit {
namespace {

constexpr int kMessageBytesMax = 18 << 20;

bool IsSocketFile(absl::string_view address) {
  return absl::StartsWith(address, "unix:") || absl::StartsWith(address, "unix-abstract:");
}

// HOST:PORT of a gRPC target such as dns:///HOST:PORT.
absl::string_view WithoutScheme(absl::string_view address) {
  const size_t slash = address.rfind('/');
  if (slash != absl::string_view::npos) address.remove_prefix(slash + 1);
  for (absl::string_view scheme : {"dns:", "ipv4:", "ipv6:"}) absl::ConsumePrefix(&address, scheme);
  return address;
}

bool IsLocal(absl::string_view address) {
  if (IsSocketFile(address)) return true;
  address = WithoutScheme(address);
  if (absl::StartsWith(address, "[::1]")) return true;
  const absl::string_view host = address.substr(0, address.rfind(':'));
  return host == "localhost" || absl::StartsWith(host, "127.");
}

// Without one gRPC dials port 0, or that of HTTPS.
bool HasPort(absl::string_view address) {
  if (IsSocketFile(address)) return true;
  address = WithoutScheme(address);
  const size_t colon = address.rfind(':');
  // A colon within brackets is the address'.
  return colon != absl::string_view::npos && colon + 1 < address.size() &&
         address.find(']', colon) == absl::string_view::npos;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read ", path));
  }
  return text.str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const ClientOptions& o) {
  if (!o.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  if (!o.tls_ca_file.empty()) {
    WHEELPIT_ASSIGN_OR_RETURN(ssl.pem_root_certs, ReadFile(o.tls_ca_file));
  }
  if (!o.tls_cert_file.empty()) {
    WHEELPIT_ASSIGN_OR_RETURN(ssl.pem_cert_chain, ReadFile(o.tls_cert_file));
    WHEELPIT_ASSIGN_OR_RETURN(ssl.pem_private_key, ReadFile(o.tls_key_file));
  }
  return grpc::SslCredentials(ssl);
}

}  // namespace

absl::Status CheckClientOptions(const ClientOptions& options) {
  if (options.address.empty()) return absl::InvalidArgumentError("address: must not be empty");
  if (!HasPort(options.address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", Quoted(options.address), " has no port: give HOST:PORT"));
  }
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError("tls_cert_file and tls_key_file: give both or none");
  }
  if (!options.tls && !options.tls_ca_file.empty()) {
    return absl::InvalidArgumentError("tls_ca_file is set but tls is off");
  }
  if (!options.tls && !options.allow_insecure && !IsLocal(options.address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("address ", Quoted(options.address),
                     " is not on this machine: turn tls on, or allow_insecure for plaintext"));
  }
  if (options.call_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("call_timeout: must be positive");
  }
  return Credentials(options).status();
}

std::string StatusReason(const absl::Status& status) { return ErrorReason(status); }

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ClientOptions& options) {
  WHEELPIT_RETURN_IF_ERROR(CheckClientOptions(options));
  WHEELPIT_ASSIGN_OR_RETURN(auto credentials, Credentials(options));
  static std::atomic<int> next_channel{0};  // Relaxed: only has to differ.
  grpc::ChannelArguments arguments;
  arguments.SetInt("wheelpit.channel", next_channel.fetch_add(1, std::memory_order_relaxed));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  // Our own backoff decides when to try again; gRPC's below it only must not be slower.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.keepalive)));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(options.keepalive_timeout)));
  if (!options.tls_server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls_server_name);
  }
  return grpc::CreateCustomChannel(options.address, credentials, arguments);
}

void ReleaseChannel(std::shared_ptr<grpc::Channel>* channel) {
  Wakeup never;
  while (channel->use_count() > 1) never.Wait(absl::Microseconds(50));
  channel->reset();
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  std::string reason;
  absl::Duration retry_after;
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& any : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::RetryInfo retry;
      if (any.UnpackTo(&info)) {
        reason = info.reason();
      } else if (any.UnpackTo(&retry)) {
        retry_after = absl::Seconds(retry.retry_delay().seconds()) +
                      absl::Nanoseconds(retry.retry_delay().nanos());
      }
    }
  }
  return MakeError(static_cast<absl::StatusCode>(status.error_code()), reason,
                   status.error_message(), retry_after);
}

absl::Status FromItemStatus(const v1::ItemStatus& status) {
  if (status.code() == 0) return absl::OkStatus();
  return MakeError(static_cast<absl::StatusCode>(status.code()), status.reason(), status.message(),
                   absl::Milliseconds(status.retry_after_ms()));
}

bool IsRetryable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    // How gRPC names a call cut off by a server that went away.
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return ErrorRetryAfter(status) > absl::ZeroDuration();
  }
}

void SetDeadline(grpc::ClientContext* context, absl::Duration timeout) {
  gpr_timespec span =
      gpr_time_from_millis(std::max<int64_t>(1, absl::ToInt64Milliseconds(timeout)), GPR_TIMESPAN);
  context->set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), span));
}

const Clock& ClientClock() {
  static const SystemClock* const clock = new SystemClock();
  return *clock;
}

int64_t Backoff::DelayMs(int retry, const absl::Status& error) {
  const int doublings = std::clamp(retry - 1, 0, 30);
  const double ceiling =
      std::min(absl::ToDoubleMilliseconds(options_.max),
               absl::ToDoubleMilliseconds(options_.initial) * static_cast<double>(1 << doublings));
  const auto jittered = static_cast<int64_t>(rng_.Unit() * ceiling);
  return std::max(jittered, absl::ToInt64Milliseconds(ErrorRetryAfter(error)));
}

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::string RandomHex(int bytes) {
  Rng rng(RandomSeed());
  std::string text;
  for (int i = 0; i < bytes; ++i) absl::StrAppendFormat(&text, "%02x", rng.Below(256));
  return text;
}

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace wheelpit
