// Own metrics of the promql room.
#pragma once

#include "base/metrics.h"

namespace wheelpit {

struct PromqlProbe {
  Counter* const ok = Queries("ok");
  Counter* const bad_query = Queries("bad_query");
  Counter* const execution = Queries("execution");
  Counter* const unknown = Queries("unknown");

  // For whoever has a clock.
  static Histogram* QuerySeconds() {
    static Histogram* const cell = OwnMetrics().AddHistogram("wheelpit_query_duration_seconds",
                                                             "Time to evaluate a PromQL query. Rising: more series match, or the store is busy.",
                                                             LatencyBounds(), {{"engine", "exact"}});
    return cell;
  }

 private:
  static Counter* Queries(const char* result) {
    return OwnMetrics().AddCounter("wheelpit_queries_total",
                                   "PromQL queries evaluated, by how they ended.",
                                   {{"engine", "exact"}, {"result", result}});
  }
};

}  // namespace wheelpit
