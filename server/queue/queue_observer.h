// What the queue tells of each durable transition, live and in replay, from the record alone: the counter fold counts it.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/journal/record.h"
#include "server/model/task.h"

namespace wheelpit {

enum class QueueEventKind {
  kSubmitted,       // + its `counts`
  kLeased,
  kRedelivered,     // a lease with attempt > 1; besides kLeased
  kReleased,
  kCompleted,
  kAttemptFailed,   // reason: error | lease_expired | attempt_timeout | worker_lost
  kRetried,
  kDeadLettered,    // reason: not_retryable | max_attempts | lease_losses | corrupt
  kRedriven,
  kCancelled,
  kExpired,
  kDeadLetterDropped,
  kQueueCreated,    // its series appear with 0
  kQueueDeleted,    // its series vanish
};

struct QueueEvent {
  QueueEventKind kind;
  absl::string_view queue;
  absl::string_view reason;
  int64_t at_ms = 0;
  uint64_t n = 1;
  absl::Span<const CountedSeries> counts;
};

// Engine thread, in lsn order. Must not call back into the queue.
class QueueObserver {
 public:
  virtual ~QueueObserver() = default;
  virtual void OnQueueEvent(Lsn lsn, const QueueEvent& event) = 0;
};

}  // namespace wheelpit
