#include "server/scaling/queue_scaler.h"

#include <algorithm>
#include <cmath>

namespace wheelpit {
namespace {

constexpr int64_t kIdleTimeoutMs = 60'000;
constexpr int64_t kHoldMs = 60'000;
constexpr double kStartupMaxS = 120;
constexpr size_t kStartupsKept = 9;
constexpr double kPriorWeight = 5;
constexpr double kHalfLifeS = 300;
constexpr double kTrustedFinished = 20;
// Busy slots, of all, from which on workers may hinder each other; how much longer executions then take before it is told of.
constexpr double kSaturated = 0.9;
constexpr double kInflation = 1.5;

// A configured service time, else ten tasks per slot within the wait target.
double PriorServiceSeconds(const QueueConfig& config) {
  if (config.service_time_ms > 0) return static_cast<double>(config.service_time_ms) / 1000;
  return static_cast<double>(config.wait_target_ms) / 1000 / 10;
}

}  // namespace

void ArrivalRate::MoveTo(int64_t second) {
  if (second <= second_) return;
  const int64_t steps = std::min<int64_t>(second - second_, kSlots);
  for (int64_t i = 0; i < steps; ++i) slots_[static_cast<size_t>((second - i) % kSlots)] = 0;
  second_ = second;
}

void ArrivalRate::Add(uint64_t tasks, int64_t now_ms) {
  if (tasks == 0) return;
  MoveTo(now_ms / 1000);
  slots_[static_cast<size_t>(second_ % kSlots)] += tasks;
  last_arrival_ms_ = now_ms;
}

double ArrivalRate::PerSecond(int64_t now_ms) const {
  constexpr int kBuckets = 12, kWidth = 5, kRecent = 3;
  const int64_t now = std::max(now_ms / 1000, second_);
  std::array<double, kBuckets> buckets{};  // newest first
  for (int i = 0; i < kSlots; ++i) {
    const int64_t second = now - i;
    if (second > second_ || second <= second_ - kSlots || second < 0) continue;
    buckets[static_cast<size_t>(i / kWidth)] += static_cast<double>(slots_[static_cast<size_t>(second % kSlots)]);
  }
  std::array<double, kBuckets> sorted = buckets;
  std::sort(sorted.begin(), sorted.end());
  const double median = (sorted[kBuckets / 2 - 1] + sorted[kBuckets / 2]) / 2;
  const double cap = 3 * std::max(median, 1.0);
  double recent = 0, all = 0;
  for (int i = 0; i < kBuckets; ++i) {
    const double capped = std::min(buckets[static_cast<size_t>(i)], cap);
    all += capped;
    if (i < kRecent) recent += capped;
  }
  return std::max(recent / kRecent, all / kBuckets) / kWidth;
}

void ServiceTime::Add(double busy_slot_s, double finished, int64_t now_ms) {
  if (at_ms_ != 0 && now_ms > at_ms_) {
    const double decay = std::exp2(-static_cast<double>(now_ms - at_ms_) / 1000 / kHalfLifeS);
    busy_ *= decay;
    finished_ *= decay;
  }
  at_ms_ = std::max(at_ms_, now_ms);
  busy_ += busy_slot_s;
  finished_ += finished;
  // Enough was seen: the measurement becomes the prior, so that idleness does not forget it.
  if (finished_ >= kTrustedFinished) {
    prior_s_ = busy_ / finished_;
    measured_ = true;
  }
}

double ServiceTime::Seconds() const { return (kPriorWeight * prior_s_ + busy_) / (kPriorWeight + finished_); }

void RecentServiceTime::Add(double busy_slot_s, double finished, int64_t now_ms) {
  const int64_t second = now_ms / 1000;
  Slot& slot = slots_[static_cast<size_t>(second % kSlots)];
  if (slot.second != second) slot = {second, 0, 0};
  slot.busy += busy_slot_s;
  slot.finished += finished;
}

double RecentServiceTime::Seconds(double usual_s, int64_t now_ms) const {
  double busy = kPriorWeight * usual_s, finished = kPriorWeight;
  for (const Slot& slot : slots_) {
    if (slot.second <= now_ms / 1000 - kSlots) continue;
    busy += slot.busy;
    finished += slot.finished;
  }
  return busy / finished;
}

QueueScaler::QueueScaler(const QueueConfig& config)
    : service_(PriorServiceSeconds(config)), unhindered_(PriorServiceSeconds(config)) {}

bool QueueScaler::Saturated(const QueueStats& stats) {
  const auto leased = static_cast<double>(stats.tasks[static_cast<size_t>(TaskState::kLeased)]);
  return stats.worker_slots > 0 && leased >= kSaturated * static_cast<double>(stats.worker_slots);
}

void QueueScaler::Update(const QueueStats& stats) {
  if (has_stats_ && stats.at_ms > stats_.at_ms) {
    arrivals_.Add(stats.first_ready - stats_.first_ready, stats.at_ms);
    const double seconds = static_cast<double>(stats.at_ms - stats_.at_ms) / 1000;
    const auto leased = [](const QueueStats& s) { return static_cast<double>(s.tasks[static_cast<size_t>(TaskState::kLeased)]); };
    // What was lost kept a slot busy, but tells nothing of how long an execution takes.
    const auto ended = [](const QueueStats& s) { return s.completed + s.failed_attempts - s.lost_attempts; };
    const uint64_t finished = ended(stats) - ended(stats_);
    // Between two looks the number of running tasks is taken as their mean.
    const double busy = (leased(stats) + leased(stats_)) / 2 * seconds;
    service_.Add(busy, static_cast<double>(finished), stats.at_ms);
    recent_.Add(busy, static_cast<double>(finished), stats.at_ms);
    if (!Saturated(stats) && !Saturated(stats_)) unhindered_.Add(busy, static_cast<double>(finished), stats.at_ms);
  }
  // What the operator says of the queue counts from now on; measurements go on from there.
  if (has_stats_ && PriorServiceSeconds(stats.config) != PriorServiceSeconds(stats_.config)) {
    service_.SetPrior(PriorServiceSeconds(stats.config));
  }
  has_stats_ = true;
  stats_ = stats;
  MeasureStartup(stats);
}

void QueueScaler::MeasureStartup(const QueueStats& stats) {
  if (wanted_since_ms_ != 0 && stats.worker_sessions > wanted_from_) {
    startups_.push_back(std::min(static_cast<double>(stats.at_ms - wanted_since_ms_) / 1000, kStartupMaxS));
    if (startups_.size() > kStartupsKept) startups_.erase(startups_.begin());
    wanted_since_ms_ = 0;
  }
  const bool wanting = std::ceil(Answer(stats.at_ms).workers) > static_cast<double>(stats.worker_sessions);
  if (!wanting) {
    wanted_since_ms_ = 0;
  } else if (wanted_since_ms_ == 0) {
    wanted_since_ms_ = stats.at_ms;
    wanted_from_ = stats.worker_sessions;
  }
}

double QueueScaler::StartupSeconds() const {
  if (startups_.size() < 3) return restored_startup_s_;
  std::vector<double> sorted = startups_;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

ScalingAnswer QueueScaler::Answer(int64_t now_ms) const {
  ScalingAnswer answer;
  const auto count = [&](TaskState s) { return static_cast<double>(stats_.tasks[static_cast<size_t>(s)]); };
  ScalingInputs& in = answer.inputs;
  in.backlog = stats_.flags.paused ? 0 : count(TaskState::kReady);
  in.leased = count(TaskState::kLeased);
  if (stats_.oldest_first_attempt_since_ms > 0 && in.backlog > 0) {
    in.oldest_age_s = static_cast<double>(std::max<int64_t>(now_ms - stats_.oldest_first_attempt_since_ms, 0)) / 1000;
  }
  in.workers = static_cast<double>(stats_.worker_sessions);
  in.slots = stats_.worker_sessions > 0 ? static_cast<double>(stats_.worker_slots) / in.workers : 1;
  in.arrival_rate = arrivals_.PerSecond(now_ms);
  in.service_s = service_.Seconds();
  in.startup_s = StartupSeconds();
  in.wait_target_s = static_cast<double>(stats_.config.wait_target_ms) / 1000;
  const bool work = in.backlog + in.leased > 0;
  const bool recent = arrivals_.last_arrival_ms() > 0 && now_ms - arrivals_.last_arrival_ms() < kIdleTimeoutMs;
  answer.active = work || recent;
  in.cost = stats_.config.scaling_policy == ScalingPolicy::kCost;
  answer.computed = ComputeNeededWorkers(in);
  if (answer.active) {
    answer.workers = answer.computed.workers;
    answer.largest = answer.computed.largest;
  }
  GuardContention(now_ms, &answer);
  if (now_ms < hold_until_ms_ && hold_ > answer.workers) {
    answer.workers = hold_;
    answer.largest = ScalingTerm::kHold;
    answer.active = true;
  }
  return answer;
}

void QueueScaler::GuardContention(int64_t now_ms, ScalingAnswer* answer) const {
  const ContentionGuard guard = stats_.config.contention_guard;
  // Without a measurement of better times there is nothing to compare with: a service time that was only assumed proves nothing.
  if (guard == ContentionGuard::kOff || !unhindered_.measured() || !Saturated(stats_)) return;
  const double usual = unhindered_.Seconds();
  const double recent = recent_.Seconds(usual, now_ms);
  if (recent <= kInflation * usual) return;
  answer->service_time_inflated = true;
  if (guard != ContentionGuard::kCap) return;
  const double workers = answer->inputs.workers;
  const double most = workers * std::max(0.5, kInflation * usual / recent) + std::sqrt(workers);
  answer->workers = std::min(answer->workers, most);
}

ScalingState QueueScaler::State(int64_t now_ms) const {
  const ScalingAnswer a = Answer(now_ms);
  return {now_ms, a.inputs.arrival_rate, a.inputs.service_s, service_.prior_s(), a.inputs.startup_s, a.workers};
}

void QueueScaler::Restore(const ScalingState& state, int64_t now_ms) {
  // The measured time goes on as the prior: the executions behind it are not kept.
  if (state.prior_service_s > 0) service_.SetPrior(state.service_s > 0 ? state.service_s : state.prior_service_s);
  restored_startup_s_ = state.startup_s;
  hold_ = state.needed_workers;
  hold_until_ms_ = now_ms + kHoldMs;
}

}  // namespace wheelpit
