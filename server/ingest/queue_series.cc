#include "server/ingest/queue_series.h"

#include <utility>

#include "base/check.h"

namespace wheelpit {
namespace {

struct Definition {
  QueueEventKind event;
  const char* name;
  const char* reason;  // "" = no such label
  const char* help;
};

constexpr char kFailedHelp[] = "Attempts that ended without completing their task, by reason";
constexpr char kDeadHelp[] = "Tasks given up and kept as dead letters, by reason";

constexpr Definition kDefinitions[] = {
    {QueueEventKind::kSubmitted, "wheelpit_tasks_submitted_total", "", "Tasks accepted; repeats of an idempotency key not counted"},
    {QueueEventKind::kLeased, "wheelpit_tasks_leased_total", "", "Attempts given to workers"},
    {QueueEventKind::kRedelivered, "wheelpit_tasks_redelivered_total", "", "Attempts after a task's first"},
    {QueueEventKind::kReleased, "wheelpit_tasks_released_total", "", "Attempts that workers gave back unfinished, at no fault"},
    {QueueEventKind::kCompleted, "wheelpit_tasks_completed_total", "", "Tasks completed"},
    {QueueEventKind::kRetried, "wheelpit_tasks_retried_total", "", "Failed attempts that will be tried again"},
    {QueueEventKind::kRedriven, "wheelpit_tasks_redriven_total", "", "Dead letters put back to work"},
    {QueueEventKind::kCancelled, "wheelpit_tasks_cancelled_total", "", "Tasks cancelled by callers"},
    {QueueEventKind::kExpired, "wheelpit_tasks_expired_total", "", "Tasks that passed their expiry before they were done"},
    {QueueEventKind::kDeadLetterDropped, "wheelpit_dead_letters_dropped_total", "", "Dead letters dropped to keep within the queue's bounds"},
    {QueueEventKind::kAttemptFailed, "wheelpit_attempts_failed_total", "error", kFailedHelp},
    {QueueEventKind::kAttemptFailed, "wheelpit_attempts_failed_total", "lease_expired", kFailedHelp},
    {QueueEventKind::kAttemptFailed, "wheelpit_attempts_failed_total", "attempt_timeout", kFailedHelp},
    {QueueEventKind::kAttemptFailed, "wheelpit_attempts_failed_total", "worker_lost", kFailedHelp},
    {QueueEventKind::kDeadLettered, "wheelpit_tasks_dead_lettered_total", "not_retryable", kDeadHelp},
    {QueueEventKind::kDeadLettered, "wheelpit_tasks_dead_lettered_total", "max_attempts", kDeadHelp},
    {QueueEventKind::kDeadLettered, "wheelpit_tasks_dead_lettered_total", "lease_losses", kDeadHelp},
    {QueueEventKind::kDeadLettered, "wheelpit_tasks_dead_lettered_total", "corrupt", kDeadHelp},
};

}  // namespace

size_t QueueSeries::AddQueue(absl::string_view queue, int64_t at_ms) {
  static_assert(std::size(kDefinitions) == kSeries);
  const auto [it, is_new] = queues_.try_emplace(std::string(queue));
  if (!is_new) return 0;
  size_t made = 0;
  for (size_t i = 0; i < kSeries; ++i) {
    const Definition& d = kDefinitions[i];
    Family family;
    family.name = d.name;
    family.type = MetricType::kCounter;
    family.help = d.help;
    const auto index = store_->FindOrAddFamily(family, at_ms, /*limited=*/false);
    // Nobody else may use these names.
    WHEELPIT_CHECK(index.ok(), "%s: %s", d.name, index.status().ToString());
    Labels labels({{"queue", std::string(queue)}});
    if (d.reason[0] != 0) labels.Set("reason", d.reason);
    const auto id = store_->FindOrCreate(*index, labels, at_ms, /*limited=*/false);
    WHEELPIT_CHECK(id.ok(), "%s", id.status().ToString());
    Series& series = store_->at(*id);
    series.queue_fed = true;
    series.pinned = true;
    made += series.published ? 0 : 1;
    store_->Publish(*id, at_ms);
    it->second[i] = *id;
  }
  return made;
}

std::vector<SeriesId> QueueSeries::TakeQueue(absl::string_view queue, int64_t at_ms) {
  // After recovery they may be in the store alone.
  AddQueue(queue, at_ms);
  const auto it = queues_.find(queue);
  std::vector<SeriesId> ids(it->second.begin(), it->second.end());
  queues_.erase(it);
  return ids;
}

SeriesId QueueSeries::Of(const QueueEvent& event) {
  auto it = queues_.find(event.queue);
  if (it == queues_.end()) {
    AddQueue(event.queue, event.at_ms);
    it = queues_.find(event.queue);
  }
  for (size_t i = 0; i < kSeries; ++i) {
    if (kDefinitions[i].event == event.kind && (kDefinitions[i].reason[0] == 0 || event.reason == kDefinitions[i].reason)) {
      return it->second[i];
    }
  }
  return 0;
}

std::vector<std::string> QueueSeries::QueuesInStore() const {
  std::vector<std::string> names;
  const auto family = store_->FindFamily(kDefinitions[0].name);
  if (!family.has_value()) return names;
  for (const SeriesId id : store_->family_at(*family).series) names.emplace_back(store_->at(id).labels().Get("queue"));
  return names;
}

}  // namespace wheelpit
