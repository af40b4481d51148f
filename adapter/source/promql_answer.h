// What a PromQL server's HTTP API answers, read. Pure.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/source/metric_source.h"

namespace wheelpit::adapter {

// As received.
struct PromqlAnswer {
  int http_status = 0;
  absl::string_view content_type;
  absl::string_view body;
};

// An instant query's. `asked_at` is the time of a result without samples. Errors as MetricSource
// says, the server's own words in the message; a matrix or a string is EXECUTION.
absl::StatusOr<SourceResult> ReadQueryAnswer(const PromqlAnswer& answer, absl::Time asked_at);

absl::StatusOr<SourceSeries> ReadSeriesAnswer(const PromqlAnswer& answer);

}  // namespace wheelpit::adapter
