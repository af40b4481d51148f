// A source that asks another one, and asks once for all who want to know the same at the same time.
//
// Nobody gets a value that was evaluated before they asked: while a question is on its way, those who come to ask it wait together
// for the next one. Errors are shared as values are; whoever runs out of time leaves with an error of their own.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapter/source/metric_source.h"
#include "base/clock.h"
#include "base/sync.h"

namespace wheelpit::adapter {

class SharingSource final : public MetricSource {
 public:
  // `clock` outlives it.
  SharingSource(std::unique_ptr<MetricSource> source, const Clock* clock);

  absl::string_view name() const override { return source_->name(); }
  absl::Duration timeout_max() const override { return source_->timeout_max(); }
  absl::StatusOr<SourceResult> Query(absl::string_view promql, absl::Time time,
                                     absl::Duration timeout) override;
  absl::StatusOr<SourceSeries> Series(const std::vector<std::string>& selectors,
                                      absl::Duration timeout) override;
  // Those who wait for somebody else's answer.
  size_t waiting() const;

 private:
  // Those who get one answer.
  struct Round {
    size_t members = 0;
    bool asked = false;
    std::shared_ptr<const absl::StatusOr<SourceResult>> answer;
    CondVar changed;
  };
  // What is being asked now, and who asks next; with neither there is no Question.
  struct Question {
    std::shared_ptr<Round> asking, next;
  };

  absl::Duration Left(int64_t deadline_ns) const;
  std::shared_ptr<Round> Join(const std::string& key);
  // True once there is an answer, or it is for the caller to get one (`*leads`); false if time is up.
  bool Await(const std::string& key, Round* round, int64_t deadline_ns, bool* leads);
  void Leave(const std::string& key, Round* round) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Finish(const std::string& key, Round* round, const absl::StatusOr<SourceResult>& answer);

  const std::unique_ptr<MetricSource> source_;
  const Clock& clock_;
  mutable Mutex mu_;
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
  std::unordered_map<std::string, Question> questions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit::adapter
