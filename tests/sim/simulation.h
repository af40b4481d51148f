// A whole aggregator from one seed: real folds, real journal, real engine, on a simulated clock and a disk that fails, under clients
// and a nemesis. Deterministic: the same seed and steps give the same run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wheelpit::sim {

struct SimulationOptions {
  uint64_t seed = 1;
  int steps = 2000;
  bool verbose = false;
};

struct SimulationResult {
  std::vector<std::string> violations;
  // What the run came through, so that a test can see that it was worth running.
  uint64_t tasks = 0;
  uint64_t completed = 0;
  uint64_t batches = 0;
  uint64_t kills = 0;
  uint64_t power_cuts = 0;
  uint64_t disk_faults = 0;
  uint64_t damage_refused = 0;
};

SimulationResult RunSimulation(const SimulationOptions& options);

}  // namespace wheelpit::sim
