// Runs simulations by seed: aggregator_sim [--seed=1] [--seeds=1] [--steps=2000] [--verbose]
//
// Exit status 1 with a replay line at the first seed whose run broke a promise.
#include <cstdio>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "tests/sim/simulation.h"

int main(int argc, char** argv) {
  using namespace wheelpit;
  sim::SimulationOptions options;
  uint64_t seeds = 1;
  for (int i = 1; i < argc; ++i) {
    absl::string_view a = argv[i];
    if (a == "--verbose") {
      options.verbose = true;
    } else if (absl::ConsumePrefix(&a, "--seeds=") && absl::SimpleAtoi(a, &seeds)) {
    } else if (absl::ConsumePrefix(&a, "--seed=") && absl::SimpleAtoi(a, &options.seed)) {
    } else if (absl::ConsumePrefix(&a, "--steps=") && absl::SimpleAtoi(a, &options.steps)) {
    } else {
      std::cerr << "usage: aggregator_sim [--seed=1] [--seeds=1] [--steps=2000] [--verbose]\n";
      return 2;
    }
  }
  if (!options.verbose) SetLogLevel(LogLevel::kError);
  sim::SimulationResult sum;
  for (const uint64_t end = options.seed + seeds; options.seed < end; ++options.seed) {
    if (!options.verbose) SetLogSink([](absl::string_view) {});
    const sim::SimulationResult r = sim::RunSimulation(options);
    if (!r.violations.empty()) {
      for (const std::string& v : r.violations) std::cerr << v << "\n";
      std::cerr << "replay: aggregator_sim --seed=" << options.seed << " --steps=" << options.steps << "\n";
      return 1;
    }
    sum.tasks += r.tasks;
    sum.completed += r.completed;
    sum.kills += r.kills;
    sum.power_cuts += r.power_cuts;
    sum.disk_faults += r.disk_faults;
    sum.damage_refused += r.damage_refused;
  }
  std::cout << seeds << " runs: " << sum.tasks << " tasks, " << sum.completed << " completed, " << sum.kills << " kills, " << sum.power_cuts
            << " power cuts, " << sum.disk_faults << " disk faults, " << sum.damage_refused << " damaged journals refused\n";
  return 0;
}
