// How a client reaches the aggregator: address, TLS, deadlines, retries. Shared by Submitter,
// Worker, Reporter and Query.
//
//   wheelpit::ClientOptions options;
//   options.address = "wheelpit-server.default.svc:7070";
//   options.tls = true;
//   options.tls_ca_file = "/etc/wheelpit/ca.crt";
//
// Plain values. Plaintext is for this machine only: another address needs `tls`, or
// `allow_insecure` said out loud.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace wheelpit {

// Label name and value of a series.
using LabelPair = std::pair<std::string, std::string>;

// Wait before the n-th retry: uniform in [0, min(max, initial * 2^(n-1))) ("full jitter"), or what
// the server asked for if longer.
struct RetryOptions {
  absl::Duration initial = absl::Milliseconds(200);
  absl::Duration max = absl::Seconds(30);
};

struct ClientOptions {
  // `host:port`, or a gRPC target such as `dns:///wheelpit:7070` or `unix:/run/wheelpit.sock`.
  std::string address = "127.0.0.1:7070";

  bool tls = false;
  // PEM files. Empty CA = the system's. Certificate and key: both or none.
  std::string tls_ca_file;
  std::string tls_cert_file;
  std::string tls_key_file;
  // Name to expect in the server's certificate; empty = the host of `address`.
  std::string tls_server_name;
  // Plaintext to an address that is not loopback.
  bool allow_insecure = false;

  // Of one call. A retried operation has a deadline of its own beside it.
  absl::Duration call_timeout = absl::Seconds(10);
  // Silence on a connection after which it is probed, and then given up after `keepalive_timeout`.
  absl::Duration keepalive = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(10);
  RetryOptions retry;
};

// kInvalidArgument: plaintext to another machine without `allow_insecure`, half a key pair, a file
// that cannot be read.
absl::Status CheckClientOptions(const ClientOptions& options);

// The stable reason of an error, for example `QUEUE_FULL`, `IDEMPOTENCY_CONFLICT` or `LEASE_LOST`;
// empty if it has none.
std::string StatusReason(const absl::Status& status);

}  // namespace wheelpit
