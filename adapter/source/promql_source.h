// A Prometheus server, or anything with its query API, as source.
//
//   WHEELPIT_ASSIGN_OR_RETURN(auto source, NewPromqlSource({.url =
//   "http://prometheus.monitoring.svc:9090"}, &clock));
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapter/source/metric_source.h"
#include "base/clock.h"
#include "base/http/http_types.h"

namespace wheelpit::adapter {

struct PromqlSourceOptions {
  // May hold a path before /api/v1 and a user.
  std::string url;
  // Always by POST; otherwise only what is too long for a URL, and by GET again if the server takes
  // no POST.
  bool post = false;
  HttpHeaders headers;
  // PEM; read again when the files change. `ca_file` goes before `ca_pem`; both empty = the
  // system's.
  std::string ca_pem;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  bool insecure = false;
  // A bearer token, or a file with one that is read again for each call.
  std::string token;
  std::string token_file;
  // Series without a sample for so long are not listed.
  absl::Duration max_age = absl::Minutes(10);
};

// kInvalidArgument: URL or TLS material are bad. `clock` outlives it.
absl::StatusOr<std::unique_ptr<MetricSource>> NewPromqlSource(PromqlSourceOptions options,
                                                              const Clock* clock);

}  // namespace wheelpit::adapter
