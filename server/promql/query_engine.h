// PromQL on live series: the grammar of docs/promql.md, evaluated exactly from the rings (no samples, no extrapolation).
//
// Thread-safe: evaluation takes the store's read lock for short stretches. Parsing is pure (parser.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/model/labels.h"
#include "server/model/queue_stats.h"
#include "server/series/series_store.h"

namespace wheelpit {

struct QueryElement {
  // With `__name__` where PromQL keeps it.
  Labels labels;
  double value = 0;
  bool partial = false;
};

struct QueryResult {
  bool is_scalar = false;
  double scalar = 0;
  std::vector<QueryElement> vector;
  int64_t evaluated_at_ms = 0;
  std::vector<std::string> infos;
};

// Gauges that are not stored but read when asked: the queue gauges `wheelpit_queue_*`.
struct VirtualSeries {
  std::string name;
  Labels labels;
  double value = 0;
};
class VirtualSeriesSource {
 public:
  virtual ~VirtualSeriesSource() = default;
  // Any thread. Families by name with their help, for discovery and exposition alike.
  // With a name: only that family, if it is one of the source's.
  virtual std::vector<VirtualSeries> Read(int64_t now_ms, absl::string_view name) const = 0;
};

enum class UnknownPolicy { kFail, kOmit };

// Where the windows of rates and increases end. kWholeSecond: at the last whole second, so that adjacent windows add up. kNow: now; they
// also count the second that is running and are longer by its part that has run (not with an offset, nor in the past).
enum class WindowEnd { kWholeSecond, kNow };

class QueryEngine {
 public:
  virtual ~QueryEngine() = default;
  // `queues` may be null.
  static std::unique_ptr<QueryEngine> Create(const SeriesStore* store, const VirtualSeriesSource* queues);
  // kInvalidArgument BAD_QUERY (with the place), kFailedPrecondition EXECUTION, kUnavailable UNKNOWN.
  absl::StatusOr<QueryResult> Query(absl::string_view query, int64_t now_ms, UnknownPolicy unknown) const {
    return QueryAt(query, now_ms, now_ms, unknown);
  }
  // As of `at_ms`: later than now, or up to 5 s before, is now. Earlier times are an offset of every selector, within the hour that
  // is kept: gauges, of which only the present is kept, are EXECUTION then.
  virtual absl::StatusOr<QueryResult> QueryAt(absl::string_view query, int64_t at_ms, int64_t now_ms, UnknownPolicy unknown,
                                              WindowEnd end = WindowEnd::kWholeSecond) const = 0;
  // Series (with `__name__`) that match any selector, by name then labels. kInvalidArgument BAD_QUERY.
  virtual absl::StatusOr<std::vector<Labels>> Series(const std::vector<std::string>& selectors, size_t series_max, bool* truncated) const = 0;
};

}  // namespace wheelpit
