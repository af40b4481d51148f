// What the engine publishes per queue for readers on other threads: gauges, and what scaling and people ask.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/sync.h"
#include "server/model/task.h"

namespace wheelpit {

// What scaling is to keep small: waits, or workers at the price of waits of about half the wait target.
enum class ScalingPolicy { kLatency, kCost };
// What to do when tasks take longer while all workers are busy: nothing, say so, or bound the need too.
enum class ContentionGuard { kOff, kWarn, kCap };

struct QueueConfig {
  int64_t lease_ttl_ms = 30'000;
  int64_t attempt_timeout_ms = 3'600'000;
  uint32_t max_attempts = 5;
  uint32_t max_losses = 5;
  BackoffPolicy backoff;
  uint64_t payload_bytes_max = 1 << 20;
  uint64_t result_bytes_max = 64 << 10;
  int64_t retention_ms = 3'600'000;
  int64_t dead_retention_ms = 14 * 86'400'000LL;
  uint64_t tasks_max = 0;
  uint64_t bytes_max = 0;
  int64_t dedupe_window_ms = 3'600'000;
  uint64_t dead_tasks_max = 100'000;
  uint64_t dead_bytes_max = 1ULL << 30;
  bool lease_sync = false;
  int64_t wait_target_ms = 60'000;
  int64_t service_time_ms = 0;
  ScalingPolicy scaling_policy = ScalingPolicy::kLatency;
  ContentionGuard contention_guard = ContentionGuard::kWarn;
  friend bool operator==(const QueueConfig&, const QueueConfig&) = default;
};

struct QueueFlags {
  bool paused = false;
  bool closed = false;
  bool draining = false;
  friend bool operator==(const QueueFlags&, const QueueFlags&) = default;
};

// How many workers the queue needs, and why (server/scaling).
struct QueueScaling {
  bool active = false;          // work exists, or came within the last minute
  double needed_workers = 0;    // 0 unless active
  double arrival_rate = 0;      // tasks/s that become READY for the first time
  double service_s = 0;         // of one execution
  double offered_slots = 0;     // busy slots that the arrivals come to
  double slots_per_task = 0;    // slots that one waiting task needs
  const char* largest_term = "none";  // static; what decides needed_workers
  // All workers are busy, and tasks take longer than they did before.
  bool service_time_inflated = false;
};

// A snapshot of one queue. Counts are of one moment; they equal a recount.
struct QueueStats {
  std::string name;
  uint32_t number = 0;  // in the journal; no other queue ever has it
  QueueConfig config;
  QueueFlags flags;
  int64_t at_ms = 0;
  std::array<uint64_t, kTaskStates> tasks{};  // by TaskState
  uint64_t live_bytes = 0;
  uint64_t dead_bytes = 0;
  // Aggregator time since which the oldest task has been READY (resp. LEASED); 0 = none.
  int64_t oldest_ready_since_ms = 0;
  int64_t oldest_leased_since_ms = 0;
  // Since when the oldest READY task that was never attempted has been eligible; 0 = none.
  int64_t oldest_first_attempt_since_ms = 0;
  // Earliest timer of the queue (delay, retry); 0 = none.
  int64_t next_due_ms = 0;
  uint64_t worker_sessions = 0;
  uint64_t worker_slots = 0;
  uint64_t worker_slots_busy = 0;
  // Tasks that became READY for the first time (submitted without delay, or their delay over), since the process began.
  uint64_t first_ready = 0;
  // Attempts of which no worker told the end (lost leases, timeouts), since the process began; part of failed_attempts.
  uint64_t lost_attempts = 0;
  // Totals over the whole history, as the journaled counters count them.
  uint64_t submitted = 0, leased = 0, completed = 0, failed_attempts = 0, retried = 0, dead_lettered = 0, released = 0,
           redelivered = 0, cancelled = 0, expired = 0;
  // Absent where nothing measures the queue.
  std::optional<QueueScaling> scaling;
};

struct ShardStats {
  int64_t at_ms = 0;
  std::vector<QueueStats> queues;  // by name
  uint64_t dedupe_entries = 0;
  int64_t dedupe_effective_window_ms = 0;
  uint64_t live_tasks = 0;
  uint64_t terminal_tasks = 0;
  uint64_t payload_cache_bytes = 0;
};

}  // namespace wheelpit
