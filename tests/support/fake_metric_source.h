// A metric source whose answers are written down: queries by their exact text, series by their
// exact selector.
//
//   FakeMetricSource source;
//   source.SetSeries("jobs_total", {{{"__name__", "jobs_total"}}});
//   source.SetValues("sum(jobs_total{})", {{{}, 42}});
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapter/source/metric_source.h"
#include "base/errors.h"
#include "base/sync.h"

namespace wheelpit::adapter {

// Thread-safe. What was not written down is no series, and an error for queries.
class FakeMetricSource final : public MetricSource {
 public:
  explicit FakeMetricSource(std::string name = "aggregator") : name_(std::move(name)) {}

  absl::string_view name() const override { return name_; }

  absl::StatusOr<SourceResult> Query(absl::string_view promql, absl::Time,
                                     absl::Duration timeout) override {
    MutexLock lock(&mu_);
    queries_.emplace_back(promql);
    last_timeout_ = timeout;
    const auto it = results_.find(std::string(promql));
    if (it == results_.end())
      return MakeError(absl::StatusCode::kInvalidArgument, kReasonBadQuery,
                       absl::StrCat("no such query: ", promql));
    return it->second;
  }

  absl::StatusOr<SourceSeries> Series(const std::vector<std::string>& selectors,
                                      absl::Duration) override {
    MutexLock lock(&mu_);
    SourceSeries all;
    for (const std::string& selector : selectors) {
      series_queries_.push_back(selector);
      const auto it = series_.find(selector);
      if (it == series_.end()) continue;
      if (!it->second.ok()) return it->second.status();
      all.series.insert(all.series.end(), it->second->series.begin(), it->second->series.end());
      all.truncated |= it->second->truncated;
    }
    return all;
  }

  void SetSeries(const std::string& selector, std::vector<SourceLabels> series,
                 bool truncated = false) {
    MutexLock lock(&mu_);
    series_.insert_or_assign(selector, SourceSeries{std::move(series), truncated});
  }
  void SetSeriesError(const std::string& selector, absl::Status status) {
    MutexLock lock(&mu_);
    series_.insert_or_assign(selector, std::move(status));
  }
  void SetValues(const std::string& query, std::vector<SourceElement> elements,
                 absl::Time at = absl::FromUnixSeconds(1714557600)) {
    MutexLock lock(&mu_);
    results_.insert_or_assign(query, SourceResult{false, std::move(elements), at});
  }
  void SetScalar(const std::string& query, double value,
                 absl::Time at = absl::FromUnixSeconds(1714557600)) {
    MutexLock lock(&mu_);
    results_.insert_or_assign(query, SourceResult{true, {{{}, value}}, at});
  }
  void SetQueryError(const std::string& query, absl::Status status) {
    MutexLock lock(&mu_);
    results_.insert_or_assign(query, std::move(status));
  }

  // What was asked so far.
  std::vector<std::string> queries() const {
    MutexLock lock(&mu_);
    return queries_;
  }
  std::vector<std::string> series_queries() const {
    MutexLock lock(&mu_);
    return series_queries_;
  }
  absl::Duration last_timeout() const {
    MutexLock lock(&mu_);
    return last_timeout_;
  }

 private:
  const std::string name_;
  mutable Mutex mu_;
  std::map<std::string, absl::StatusOr<SourceResult>> results_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, absl::StatusOr<SourceSeries>> series_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> queries_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> series_queries_ ABSL_GUARDED_BY(mu_);
  absl::Duration last_timeout_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit::adapter
