// Own metrics of the promql room.
#pragma once

#include "base/metrics.h"

namespace wheelpit {

struct PromqlProbe {
  Counter* const ok = Queries("ok");
  Counter* const bad_query = Queries("bad_query");
  Counter* const execution = Queries("execution");
  Counter* const unknown = Queries("unknown");

 private:
  static Counter* Queries(const char* result) {
    return OwnMetrics().AddCounter("wheelpit_queries_total",
                                   "PromQL queries evaluated, by how they ended.",
                                   {{"engine", "exact"}, {"result", result}});
  }
};

}  // namespace wheelpit
