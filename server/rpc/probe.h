// Own metrics of the gRPC services.
#pragma once

#include "absl/status/statusor.h"
#include "base/metrics.h"
#include "server/queue/work_queue.h"

namespace wheelpit {

struct RpcProbe {
  static RpcProbe& Get() {
    static RpcProbe* const probe = new RpcProbe();
    return *probe;
  }
  static double Seconds(int64_t began_ns, int64_t now_ns) { return static_cast<double>(now_ns - began_ns) / 1e9; }

  Histogram* const apply_seconds =
      OwnMetrics().AddHistogram("wheelpit_apply_duration_seconds",
                                "Time to check a report batch and hand it to the journal. Rising: larger batches, or the engine is slow.", LatencyBounds());
  Histogram* const ack_durable = Ack("durable");
  Histogram* const ack_applied = Ack("applied");

 private:
  static Histogram* Ack(const char* level) {
    return OwnMetrics().AddHistogram("wheelpit_ack_delay_seconds",
                                     "Time from a report batch's arrival to its ack. Rising: the disk or the engine is slow.", LatencyBounds(),
                                     {{"level", level}});
  }
};

// A submit that arrived `seconds` ago has its durable answer.
inline void ObserveSubmit(const absl::StatusOr<SubmitOutcome>& outcome, double seconds) {
  if (outcome.ok() && outcome->submit_seconds != nullptr) outcome->submit_seconds->Observe(seconds);
}

}  // namespace wheelpit
