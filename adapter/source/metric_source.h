// Where the adapter asks for series and values: an aggregator's Query service, or (promql_source) a
// PromQL server.
//
// Thread-safe; calls block until their deadline at most. A value that is known to be 0 comes as 0;
// a series that does not exist is an empty result; what cannot be known now is an error.
//
//   absl::StatusOr<SourceResult> result = source.Query("sum(rate(jobs_total[30s]))",
//   absl::InfinitePast(), absl::Seconds(1));
//
// Errors carry a reason (base/errors.h): UNKNOWN (kUnavailable: silent reporters, recovery, no
// leader), UNREACHABLE (kUnavailable: no answer from the source), TIMEOUT (kDeadlineExceeded),
// BAD_QUERY (kInvalidArgument), EXECUTION (kFailedPrecondition), UNAUTHORIZED (kPermissionDenied),
// BAD_ANSWER (kInternal: what came back is none).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace wheelpit::adapter {

inline constexpr char kReasonUnknown[] = "UNKNOWN";
inline constexpr char kReasonUnreachable[] = "UNREACHABLE";
inline constexpr char kReasonTimeout[] = "TIMEOUT";
inline constexpr char kReasonBadQuery[] = "BAD_QUERY";
inline constexpr char kReasonExecution[] = "EXECUTION";
inline constexpr char kReasonUnauthorized[] = "UNAUTHORIZED";
inline constexpr char kReasonBadAnswer[] = "BAD_ANSWER";

// Sorted by name; with `__name__` where the source keeps it.
using SourceLabels = std::map<std::string, std::string>;

struct SourceElement {
  SourceLabels labels;
  // May be NaN or infinite.
  double value = 0;
};

struct SourceResult {
  // A scalar is one element without labels.
  bool is_scalar = false;
  std::vector<SourceElement> elements;
  // When the query was evaluated, by the source's clock.
  absl::Time evaluated_at;
};

struct SourceSeries {
  std::vector<SourceLabels> series;
  // There are more: these are the first ones.
  bool truncated = false;
};

class MetricSource {
 public:
  virtual ~MetricSource() = default;
  // For messages and metrics: `aggregator`, `prometheus`.
  virtual absl::string_view name() const = 0;
  // No question to it may take longer: it answers at once or is not well.
  virtual absl::Duration timeout_max() const { return absl::InfiniteDuration(); }
  // Evaluates PromQL at `time` (InfinitePast: now). If any element cannot be known: UNKNOWN.
  virtual absl::StatusOr<SourceResult> Query(absl::string_view promql, absl::Time time,
                                             absl::Duration timeout) = 0;
  // Series that match any selector.
  virtual absl::StatusOr<SourceSeries> Series(const std::vector<std::string>& selectors,
                                              absl::Duration timeout) = 0;
};

}  // namespace wheelpit::adapter
