// Own metrics of the engine loop.
#pragma once

#include "base/metrics.h"

namespace wheelpit {

struct EngineProbe {
  Counter* const commands = OwnMetrics().AddCounter("wheelpit_engine_commands_total", "Commands that the engine thread ran; a rise is load.");
  Counter* const rounds = OwnMetrics().AddCounter("wheelpit_engine_rounds_total", "Rounds of the engine thread; many commands a round mean batching.");
  Counter* const checkpoints = OwnMetrics().AddCounter("wheelpit_checkpoints_total", "Checkpoints made current.");
  Counter* const checkpoint_failures =
      OwnMetrics().AddCounter("wheelpit_checkpoint_failures_total", "Checkpoints given up; the journal keeps growing meanwhile.");
  Gauge* const ready = OwnMetrics().AddGauge("wheelpit_ready", "1 while this process takes work.");
  Gauge* const recovery_progress =
      OwnMetrics().AddGauge("wheelpit_recovery_progress_ratio", "Share of the stored state read back after the start; 1 = done.");
  Gauge* const recovery_seconds = OwnMetrics().AddGauge("wheelpit_recovery_seconds", "How long reading the stored state took at the start.");
  Gauge* const recovery_records =
      OwnMetrics().AddGauge("wheelpit_recovery_replayed_records", "Records replayed after the newest checkpoint at the start.");
  Gauge* const leader_epoch = OwnMetrics().AddGauge("wheelpit_leader_epoch", "Number of this boot; each start has a larger one.");
};

}  // namespace wheelpit
