// The stored series of each queue: `wheelpit_tasks_*{queue}` and their like, which the queue's events count. They exist with 0
// from the queue's creation and vanish with it.
//
// Engine thread, under the store's write lock.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "server/queue/queue_observer.h"
#include "server/series/series_store.h"

namespace wheelpit {

class QueueSeries {
 public:
  explicit QueueSeries(SeriesStore* store) : store_(store) {}

  // Makes what is missing of the queue's series, from 0; how many that was.
  size_t AddQueue(absl::string_view queue, int64_t at_ms);
  // Its series, which the caller removes.
  std::vector<SeriesId> TakeQueue(absl::string_view queue, int64_t at_ms);
  // The series that counts the event; made with the queue's if new. 0 for events that no series counts.
  SeriesId Of(const QueueEvent& event);
  std::vector<std::string> QueuesInStore() const;
  void Clear() { queues_.clear(); }

 private:
  static constexpr size_t kSeries = 18;
  using Ids = std::array<SeriesId, kSeries>;
  SeriesStore* const store_;
  absl::flat_hash_map<std::string, Ids> queues_;
};

}  // namespace wheelpit
