// What a rule file says, checked and compiled.
//
// Immutable values, thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/naming/metric_name.h"
#include "adapter/rules/template.h"
#include "re2/re2.h"

namespace wheelpit::adapter {

// Where a rule's series are: kAuto is the aggregator if it has them, else the Prometheus server.
enum class SourceChoice { kAuto, kAggregator, kPrometheus };

struct GroupResource {
  // Empty for the core group.
  std::string group;
  // As written: singular or plural.
  std::string resource;
};

// Labels <-> Kubernetes resources.
struct ResourceMapping {
  // By label.
  std::map<std::string, GroupResource> overrides;
  // Null if the rule has none.
  std::shared_ptr<const Template> label_template;
  // Without either, `namespace` is the label of namespaces; else there is none.
  bool namespace_by_default = true;
};

struct SeriesFilter {
  std::shared_ptr<const RE2> regex;
  // True for `isNot`.
  bool negated = false;
};

struct Rule {
  // For messages and metrics: `externalRules[2] (line 14)`, `built-in jobs_per_second`.
  std::string id;
  std::string series_query;
  std::vector<SeriesFilter> series_filters;
  ResourceMapping resources;
  // Only external rules: add the matcher of the request's namespace.
  bool namespaced = true;
  std::shared_ptr<const MetricNamer> namer;
  std::shared_ptr<const Template> metrics_query;
  SourceChoice source = SourceChoice::kAuto;

  // The name under which the API shows that series; nothing if the rule's filters or its regex
  // leave it out.
  std::optional<std::string> MetricName(absl::string_view series_name) const;
};

struct ResourceRule {
  std::shared_ptr<const Template> container_query;
  std::shared_ptr<const Template> node_query;
  ResourceMapping resources;
  std::string container_label;
};

struct ResourceRules {
  std::optional<ResourceRule> cpu;
  std::optional<ResourceRule> memory;
  absl::Duration window;
};

struct RuleSet {
  std::vector<Rule> rules;
  std::vector<Rule> external_rules;
  // Set if the file has the key, even as `{}`.
  std::optional<ResourceRules> resource_rules;
};

}  // namespace wheelpit::adapter
