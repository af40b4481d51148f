// The rules of a registry: built-in ones and a file's, which is followed while the adapter runs.
//
// One thread at a time.
//
//   RuleLoader loader(options, &metrics, &clock);
//   WHEELPIT_ASSIGN_OR_RETURN(auto rules, loader.Load());   // then Registry::Create
//   twice a second: loader.Look(registry);
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapter/http/registry.h"
#include "adapter/rules/rule.h"
#include "base/clock.h"
#include "base/metrics.h"

namespace wheelpit::adapter {

struct RuleLoaderOptions {
  // prometheus-adapter's configuration; empty = built-in rules only.
  std::string file;
  bool builtin_rules = true;
  // Each counter X_total gets X_per_second.
  std::vector<std::string> gateway_counters;
  // A namespaced rule of the file without a label for namespaces is an error of each question, not
  // `namespace`.
  bool strict_compat = false;
};

// What is in a rule file, in a line for people; kInvalidArgument: what is wrong with it, and where.
absl::StatusOr<std::string> CheckRuleFile(const std::string& path);

class RuleLoader {
 public:
  // `metrics` and `clock` outlive it.
  RuleLoader(RuleLoaderOptions options, MetricRegistry* metrics, const Clock* clock);

  // kInvalidArgument: the file cannot be read or is wrong; the message names file and line.
  absl::StatusOr<std::vector<Rule>> Load();

  // Gives a changed file to the registry. A file that is being written is waited for: two looks must
  // find the same. One that is wrong, or gone, changes nothing and is told of once, in the log and by
  // wheelpit_adapter_config_last_reload_successful.
  void Look(Registry* registry);

 private:
  absl::StatusOr<std::vector<Rule>> Parse(const absl::StatusOr<std::string>& text) const;
  void Judge(const absl::Status& status);

  const RuleLoaderOptions options_;
  const Clock* const clock_;
  Gauge* const successful_;
  Gauge* const succeeded_at_;
  // As last taken, and as last seen: the file's text, or why there is none.
  std::string taken_;
  std::string seen_;
};

}  // namespace wheelpit::adapter
