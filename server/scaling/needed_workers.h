// How many workers a queue needs now: one number that an autoscaler can follow with AverageValue 1. Pure: everything is an argument.
//
// A worker pool with c slots each must carry the offered load (Little's law, plus square-root safety: Halfin and Whitt 1981) and work off
// the backlog within the wait target. docs/decisions/0002-needed-workers.md has the reasoning and a comparison with other rules.
#pragma once

namespace wheelpit {

struct ScalingInputs {
  double backlog = 0;           // B: READY tasks (0 while the queue is paused)
  double leased = 0;            // F
  double oldest_age_s = 0;      // A: of the oldest waiting task that was never attempted
  double workers = 0;           // N: live sessions
  double slots = 1;             // c: per worker, mean; <= 0 counts as 1
  double arrival_rate = 0;      // L: tasks/s becoming READY for the first time
  double service_s = 0;         // S: seconds of one execution
  double startup_s = 0;         // T_up: from wanting a worker to its first lease
  double wait_target_s = 60;    // D
  double safety = 1;            // beta
  double utilisation_max = 0.9; // rho
  bool cost = false;            // no flow term: waits settle at about D/2, with fewer workers
};

enum class ScalingTerm { kNone, kFlow, kInFlight, kBacklog, kGrowth, kHold };
// `flow`, `in_flight`, …
const char* ScalingTermName(ScalingTerm term);

struct NeededWorkers {
  double workers = 0;          // x; never 0 while work exists
  double offered_slots = 0;    // a = L * S
  double slots_per_task = 0;   // g: slots that one waiting task needs
  ScalingTerm largest = ScalingTerm::kNone;
};

NeededWorkers ComputeNeededWorkers(const ScalingInputs& in);

}  // namespace wheelpit
