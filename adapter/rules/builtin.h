// The external rules that need no file: rates of the gateway's counters and the queues' figures.
#pragma once

#include <string>
#include <vector>

#include "adapter/rules/rule.h"

namespace wheelpit::adapter {

// For each counter X_total: X_per_second = sum(rate(X_total{…}[30s])), over all namespaces. A name
// without _total gets
// `_per_second` added. For queues (the HPA selects `queue: NAME`): wheelpit_queue_tasks,
// …_demand_tasks, …_oldest_ready_age_seconds, …_needed_workers as they are (the last with AverageValue
// 1; of the first all states, unless the selector names one),
// wheelpit_tasks_{submitted,completed}_per_second over 60 s.
std::vector<Rule> BuiltinExternalRules(const std::vector<std::string>& gateway_counters);

}  // namespace wheelpit::adapter
