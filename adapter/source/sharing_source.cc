#include "adapter/source/sharing_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit::adapter {

SharingSource::SharingSource(std::unique_ptr<MetricSource> source, const Clock* clock)
    : source_(std::move(source)), clock_(*clock) {}

absl::Duration SharingSource::Left(int64_t deadline_ns) const {
  return absl::Nanoseconds(deadline_ns - clock_.MonotonicNanos());
}

absl::StatusOr<SourceResult> SharingSource::Query(absl::string_view promql, absl::Time time,
                                                  absl::Duration timeout) {
  // Who asks for a moment of the past asks alone, and so does who has no time to lose.
  if (time != absl::InfinitePast() || timeout <= absl::ZeroDuration())
    return source_->Query(promql, time, timeout);
  // Those with little time get an error that is not everyone's.
  const std::string key = absl::StrCat(absl::ToInt64Nanoseconds(timeout), " ", promql);
  const int64_t deadline_ns = clock_.MonotonicNanos() + absl::ToInt64Nanoseconds(timeout);
  while (true) {
    const std::shared_ptr<Round> round = Join(key);
    bool leads = false;
    if (!Await(key, round.get(), deadline_ns, &leads)) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout,
                       absl::StrCat(name(), ": no answer in time"));
    }
    if (leads) {
      absl::StatusOr<SourceResult> answer =
          source_->Query(promql, absl::InfinitePast(), Left(deadline_ns));
      Finish(key, round.get(), answer);
      return answer;
    }
    // The one who asked had less time left than this one has.
    if (!absl::IsDeadlineExceeded(round->answer->status()) || Left(deadline_ns) <= absl::ZeroDuration())
      return *round->answer;
  }
}

absl::StatusOr<SourceSeries> SharingSource::Series(const std::vector<std::string>& selectors,
                                                   absl::Duration timeout) {
  return source_->Series(selectors, timeout);
}

size_t SharingSource::waiting() const {
  MutexLock lock(&mu_);
  return waiting_;
}

std::shared_ptr<SharingSource::Round> SharingSource::Join(const std::string& key) {
  MutexLock lock(&mu_);
  std::shared_ptr<Round>& next = questions_[key].next;
  if (next == nullptr) next = std::make_shared<Round>();
  ++next->members;
  return next;
}

bool SharingSource::Await(const std::string& key, Round* round, int64_t deadline_ns, bool* leads) {
  MutexLock lock(&mu_);
  while (round->answer == nullptr) {
    if (!round->asked) {
      // A round that is not asked yet is its question's next one.
      Question& question = questions_.find(key)->second;
      if (question.asking == nullptr) {
        question.asking = std::exchange(question.next, nullptr);
        round->asked = *leads = true;
        return true;
      }
    }
    const absl::Duration left = Left(deadline_ns);
    if (left <= absl::ZeroDuration()) {
      Leave(key, round);
      return false;
    }
    ++waiting_;
    round->changed.WaitWithTimeout(&mu_, left);
    --waiting_;
  }
  return true;
}

void SharingSource::Leave(const std::string& key, Round* round) {
  --round->members;
  // While it was not asked another question was, or this one would have asked: who ends that one wakes those who are left.
  if (!round->asked && round->members == 0) questions_.find(key)->second.next = nullptr;
}

void SharingSource::Finish(const std::string& key, Round* round,
                           const absl::StatusOr<SourceResult>& answer) {
  MutexLock lock(&mu_);
  const auto it = questions_.find(key);
  it->second.asking = nullptr;
  if (it->second.next == nullptr) {
    questions_.erase(it);
  } else {
    it->second.next->changed.Signal();
  }
  if (round->members == 1) return;
  round->answer = std::make_shared<const absl::StatusOr<SourceResult>>(answer);
  round->changed.SignalAll();
}

}  // namespace wheelpit::adapter
