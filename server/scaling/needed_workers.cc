#include "server/scaling/needed_workers.h"

#include <algorithm>
#include <cmath>

namespace wheelpit {

const char* ScalingTermName(ScalingTerm term) {
  switch (term) {
    case ScalingTerm::kNone: return "none";
    case ScalingTerm::kFlow: return "flow";
    case ScalingTerm::kInFlight: return "in_flight";
    case ScalingTerm::kBacklog: return "backlog";
    case ScalingTerm::kGrowth: return "growth";
    case ScalingTerm::kHold: return "hold";
  }
  return "none";
}

NeededWorkers ComputeNeededWorkers(const ScalingInputs& in) {
  const double c = in.slots > 0 ? in.slots : 1;
  const double d = std::max(in.wait_target_s, 0.001);
  const double s = std::max(in.service_s, 0.0);
  NeededWorkers out;
  const double a = in.arrival_rate * s;
  const double flow = a > 0 && !in.cost ? std::max(a / in.utilisation_max, a + in.safety * std::sqrt(a)) : 0;
  // Time left for the oldest task; it does not recede with each evaluation, so a backlog is finished rather than halved.
  const double left = std::clamp(d - in.oldest_age_s, d / 2, d);
  const double g = std::min(1.0, s / left);
  const double served = s > 0 ? in.workers * c / s : 0;
  const double grow = s > 0 ? std::max(0.0, in.arrival_rate - served) * in.startup_s : 0;
  // What is in flight counts only where it exceeds the flow: counted on top it would wind up.
  const double carried = std::max(flow, g * in.leased);
  out.workers = (carried + g * (in.backlog + grow)) / c;
  if (in.backlog + in.leased > 0) out.workers = std::max(out.workers, 0.001);
  out.offered_slots = a;
  out.slots_per_task = g;

  const struct {
    ScalingTerm term;
    double size;
  } terms[] = {{flow >= g * in.leased ? ScalingTerm::kFlow : ScalingTerm::kInFlight, carried},
               {ScalingTerm::kBacklog, g * in.backlog},
               {ScalingTerm::kGrowth, g * grow}};
  double largest = 0;
  for (const auto& t : terms) {
    if (t.size > largest) {
      largest = t.size;
      out.largest = t.term;
    }
  }
  return out;
}

}  // namespace wheelpit
