// wheelpit-adapter, between its command line and its server: sources, rights and options from
// flags.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "adapter/app/adapter_server.h"
#include "adapter/app/flags.h"
#include "adapter/source/metric_source.h"
#include "base/clock.h"

namespace wheelpit::adapter {

using Environment = std::function<std::string(const char* name)>;

class AdapterProgram {
 public:
  // In this order: sources, rules, the cluster, the door. Returns when it serves. Errors name the
  // flag or the file.
  static absl::StatusOr<std::unique_ptr<AdapterProgram>> Start(const AdapterFlags& flags,
                                                               const Environment& environment,
                                                               const std::string& version);

  AdapterServer& server() { return *server_; }

 private:
  AdapterProgram() = default;
  absl::Status MakeSources(const AdapterFlags& flags, const Environment& environment);

  SystemClock clock_;
  std::unique_ptr<MetricSource> aggregator_;
  std::unique_ptr<MetricSource> prometheus_;
  std::unique_ptr<AdapterServer> server_;
};

}  // namespace wheelpit::adapter
