// Asks the external metrics API as the HorizontalPodAutoscaler's controller does: the same path, the name in lower case, the same
// selector, all items summed by the caller.
//
// Not thread-safe. Blocks up to its timeout.
#pragma once

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "client/hpa/hpa.h"

namespace wheelpit {

class MetricsApiClient {
 public:
  // `certificate_file`: the server's own certificate or its CA, PEM. `token`: bearer token; empty = none.
  MetricsApiClient(std::string host, int port, std::string certificate_file, std::string token, absl::Duration timeout);
  ~MetricsApiClient();

  // External metrics; others are an error. An error answer becomes a status with the server's message.
  hpa::Reading Read(const hpa::MetricSpec& metric, absl::string_view namespace_name);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace wheelpit
