// Asks the aggregator what it counts: PromQL at one instant, and which series there are.
//
//   auto query = wheelpit::Query::Create(options);
//   auto answer = (*query)->Instant("sum(rate(mails_sent_total[1m]))");
//   for (const wheelpit::InstantElement& e : answer->elements) Use(e.labels, e.value);
//
// Thread-safe; calls block for at most `call_timeout`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/sdk/options.h"

namespace wheelpit {

struct InstantOptions {
  // Aggregator time; InfiniteFuture = now.
  absl::Time time = absl::InfiniteFuture();
  // What cannot be known now (its reporters are silent): an error, or left out while at least one
  // element is known.
  bool omit_unknown = false;
};

struct InstantElement {
  std::vector<LabelPair> labels;
  double value = 0;
  // Some of the reporters that feed it are silent.
  bool partial = false;
};

struct InstantAnswer {
  // A scalar is one element without labels.
  bool scalar = false;
  // Empty: no such series. A known zero is an element of value 0.
  std::vector<InstantElement> elements;
  absl::Time evaluated_at;
  std::vector<std::string> infos;
};

struct SeriesAnswer {
  // Labels of each series, `__name__` first.
  std::vector<std::vector<LabelPair>> series;
  // There were more.
  bool truncated = false;
};

class Query {
 public:
  // Does not wait for the connection. kInvalidArgument: see CheckClientOptions.
  static absl::StatusOr<std::unique_ptr<Query>> Create(ClientOptions options);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  // kInvalidArgument (BAD_QUERY) with the place; kFailedPrecondition (EXECUTION); kUnavailable
  // (UNKNOWN: it cannot be known now; STARTING; or no connection); kDeadlineExceeded.
  absl::StatusOr<InstantAnswer> Instant(absl::string_view promql,
                                        const InstantOptions& options = {});
  // Series that match any of the selectors, at most `series_max` (0 = 10,000).
  absl::StatusOr<SeriesAnswer> Series(absl::Span<const std::string> selectors,
                                      uint32_t series_max = 0);

 private:
  friend class QueryAccess;
  class Impl;
  explicit Query(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace wheelpit
