#include "adapter/rules/builtin.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/check.h"

namespace wheelpit::adapter {
namespace {

Rule MakeRule(absl::string_view series, absl::string_view metric, absl::string_view query) {
  Rule rule;
  rule.id = absl::StrCat("built-in ", metric);
  rule.series_query = absl::StrCat("{__name__=\"", series, "\"}");
  rule.namespaced = false;
  // Metric names have no $, so the name expands to itself.
  auto namer = MetricNamer::Create(absl::StrCat("^", series, "$"), metric);
  WHEELPIT_CHECK(namer.ok(), "%s", std::string(namer.status().message()));
  rule.namer = *std::move(namer);
  auto compiled = Template::Parse(query);
  WHEELPIT_CHECK(compiled.ok(), "%s", std::string(compiled.status().message()));
  rule.metrics_query = *std::move(compiled);
  return rule;
}

}  // namespace

std::vector<Rule> BuiltinExternalRules(const std::vector<std::string>& gateway_counters) {
  std::vector<Rule> rules;
  for (const std::string& counter : gateway_counters) {
    rules.push_back(MakeRule(counter,
                             absl::StrCat(absl::StripSuffix(counter, "_total"), "_per_second"),
                             "sum(rate(<<.Series>>{<<.LabelMatchers>>}[30s]))"));
  }
  for (absl::string_view gauge : {"wheelpit_queue_tasks", "wheelpit_queue_demand_tasks",
                                  "wheelpit_queue_oldest_ready_age_seconds", "wheelpit_queue_needed_workers"}) {
    rules.push_back(MakeRule(gauge, gauge, "sum by (queue) (<<.Series>>{<<.LabelMatchers>>})"));
  }
  for (absl::string_view verb : {"submitted", "completed"}) {
    rules.push_back(MakeRule(absl::StrCat("wheelpit_tasks_", verb, "_total"),
                             absl::StrCat("wheelpit_tasks_", verb, "_per_second"),
                             "sum by (queue) (rate(<<.Series>>{<<.LabelMatchers>>}[60s]))"));
  }
  return rules;
}

}  // namespace wheelpit::adapter
