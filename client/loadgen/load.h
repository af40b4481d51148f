// `wheelpit load`: sends requests at random times, whatever the answers do (open loop), and keeps a
// ledger of what was acknowledged.
//
//   LoadOptions options;
//   options.profile = RateProfile::Decaying(20, 0, 60);
//   options.http_url = "http://127.0.0.1:7080";
//   options.route = "/heavywork";
//   absl::StatusOr<LoadSummary> summary = RunLoad(options);
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "client/loadgen/arrivals.h"
#include "client/sdk/options.h"

namespace wheelpit {

struct LoadOptions {
  RateProfile profile;
  uint64_t seed = 1;
  // Stops after this many arrivals; 0 = by the profile alone.
  uint64_t requests_max = 0;

  // HTTP: POST to url + route. Empty = gRPC submits to `queue` over `client`.
  std::string http_url;
  std::string route = "/heavywork";
  ClientOptions client;
  std::string queue;

  // Payload: a file of this folder (searched through) of a size within bounds, drawn at random;
  // empty = `payload_bytes` bytes.
  std::string payload_dir;
  int64_t payload_bytes_min = 0;
  int64_t payload_bytes_max = 1 << 20;
  int64_t payload_bytes = 64;

  // Requests in flight at most; what arrives beyond waits for one, and its latency counts from its
  // arrival. At most kWaitingPerConnection for each; arrivals beyond fail at once.
  static constexpr int kWaitingPerConnection = 1000;
  int connections = 64;
  int64_t timeout_ms = 10'000;
  // A JSON line for each acknowledged request: id, at_ms (since the start), latency_ms, and
  // `payload` with the file's path.
  std::string ledger;
  // Set by a signal: no more arrivals, and those that wait for a connection are not sent.
  const std::atomic<bool>* stop = nullptr;
  // Called about twice a second with the counts so far; may be empty.
  std::function<void(uint64_t sent, uint64_t acknowledged, uint64_t failed)> on_progress;
};

struct LoadSummary {
  // Sent, or failed before that.
  uint64_t arrivals = 0;
  // Waited for a connection when `stop` was set.
  uint64_t unsent = 0;
  uint64_t acknowledged = 0;
  uint64_t failed = 0;
  // Of the failures: no connection or no answer.
  uint64_t unreachable = 0;
  std::string first_error;
  double seconds = 0;
  // Milliseconds from arrival to answer.
  double latency_p50_ms = 0, latency_p99_ms = 0, latency_max_ms = 0;
};

// Blocks until every arrival is answered, or its time is over. Errors: kInvalidArgument (options),
// kNotFound (no payload file within bounds).
absl::StatusOr<LoadSummary> RunLoad(const LoadOptions& options);

}  // namespace wheelpit
