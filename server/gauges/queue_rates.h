// Tasks per second of each queue, from the rings of its journaled counters: what `rate()` of them gives, ready to read.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "server/series/series_store.h"

namespace wheelpit {

enum class QueueFlow : uint8_t { kSubmit, kCompletion, kLease };
inline constexpr size_t kQueueFlows = 3;
inline constexpr std::array<int64_t, 3> kQueueRateWindowsMs = {10'000, 60'000, 300'000};

// Per second, over each of kQueueRateWindowsMs.
using WindowRates = std::array<double, kQueueRateWindowsMs.size()>;

struct QueueRates {
  std::array<WindowRates, kQueueFlows> flows{};

  const WindowRates& of(QueueFlow flow) const { return flows[static_cast<size_t>(flow)]; }
};

using QueueRatesByName = absl::flat_hash_map<std::string, QueueRates>;

// Thread-safe; holds the store's read lock for short stretches. Queues without counters are left out: nothing was counted.
QueueRatesByName ReadQueueRates(const SeriesStore& store, int64_t now_ms);

}  // namespace wheelpit
