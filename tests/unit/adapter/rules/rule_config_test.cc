#include "adapter/rules/rule_config.h"

#include <gtest/gtest.h>

#include "adapter/rules/query.h"

namespace wheelpit::adapter {
namespace {

// Exercises the grammar: prometheus-adapter loads it as it stands.
constexpr char kSample[] = R"(rules:
- seriesQuery: 'http_requests_total{kubernetes_namespace!="",kubernetes_pod_name!=""}'
  seriesFilters: [{isNot: "_bucket$"}]
  resources:
    overrides:
      kubernetes_namespace: {resource: "namespace"}
      kubernetes_pod_name: {resource: "pod"}
      workload: {group: "apps", resource: "deployment"}
  name: {matches: "^(.*)_total$", as: "${1}_per_second"}
  metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'
- seriesQuery: '{__name__=~"^node_.*",node!=""}'
  resources: {template: "<<.Resource>>"}
  metricsQuery: 'max by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})'
externalRules:
- seriesQuery: 'queue_depth{queue!=""}'
  resources: {overrides: {namespace: {resource: "namespace"}}}
  metricsQuery: 'sum by (queue) (<<.Series>>{<<.LabelMatchers>>})'
- seriesQuery: '{__name__="cloud_lag"}'
  resources: {namespaced: false}
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>})'
resourceRules:
  cpu:
    containerQuery: 'sum by (<<.GroupBy>>) (irate(container_cpu_usage_seconds_total{<<.LabelMatchers>>,container!=""}[4m]))'
    nodeQuery: 'sum by (<<.GroupBy>>) (irate(node_cpu_usage_seconds_total{<<.LabelMatchers>>}[4m]))'
    resources: {overrides: {namespace: {resource: namespace}, node: {resource: node}, pod: {resource: pod}}}
    containerLabel: container
  memory:
    containerQuery: 'sum by (<<.GroupBy>>) (container_memory_working_set_bytes{<<.LabelMatchers>>,container!=""})'
    nodeQuery: 'sum by (<<.GroupBy>>) (node_memory_working_set_bytes{<<.LabelMatchers>>})'
    resources: {overrides: {namespace: {resource: namespace}, node: {resource: node}, pod: {resource: pod}}}
    containerLabel: container
  window: 5m
)";

TEST(RuleConfigTest, LoadsTheSampleUnchanged) {
  const auto set = ParseRuleConfig(kSample);
  ASSERT_TRUE(set.ok()) << set.status();
  ASSERT_EQ(set->rules.size(), 2);
  EXPECT_EQ(set->rules[0].id, "rules[0] (line 2)");
  EXPECT_EQ(set->rules[0].resources.overrides.at("workload").group, "apps");
  EXPECT_EQ(set->rules[0].MetricName("http_requests_total"), "http_requests_per_second");
  EXPECT_EQ(set->rules[0].MetricName("http_requests_bucket"), std::nullopt);
  EXPECT_NE(set->rules[1].resources.label_template, nullptr);
  ASSERT_EQ(set->external_rules.size(), 2);
  EXPECT_TRUE(set->external_rules[0].namespaced);
  EXPECT_FALSE(set->external_rules[1].namespaced);
  EXPECT_EQ(set->external_rules[1].id, "externalRules[1] (line 18)");
  EXPECT_EQ(set->external_rules[1].source, SourceChoice::kAuto);
  ASSERT_TRUE(set->resource_rules.has_value());
  EXPECT_EQ(set->resource_rules->window, absl::Minutes(5));
  ASSERT_TRUE(set->resource_rules->memory.has_value());
  EXPECT_EQ(set->resource_rules->memory->container_label, "container");
}

TEST(RuleConfigTest, EmptyFilesHaveNoRules) {
  for (const char* text :
       {"", "\n# nothing\n", "rules: []\n", "rules:\nexternalRules:\n", "---\n"}) {
    const auto set = ParseRuleConfig(text);
    ASSERT_TRUE(set.ok()) << text << set.status();
    EXPECT_TRUE(set->rules.empty());
    EXPECT_FALSE(set->resource_rules.has_value());
  }
  const auto set = ParseRuleConfig("resourceRules: {}\n");
  ASSERT_TRUE(set.ok());
  EXPECT_TRUE(set->resource_rules.has_value());
}

TEST(RuleConfigTest, MapsTakeOthersOver) {
  const auto set = ParseRuleConfig(
      "externalRules:\n"
      "- &base {seriesQuery: a, metricsQuery: x, resources: &none {namespaced: false}}\n"
      "- {<<: *base, seriesQuery: b}\n"
      "- {metricsQuery: y, <<: [{seriesQuery: c}, *base]}\n"
      "- {seriesQuery: d, metricsQuery: z, resources: {<<: *none}}\n");
  ASSERT_TRUE(set.ok()) << set.status();
  ASSERT_EQ(set->external_rules.size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(set->external_rules[i].series_query, std::string(1, static_cast<char>('a' + i)));
    EXPECT_FALSE(set->external_rules[i].namespaced) << i;
  }
  for (const char* wrong :
       {"externalRules:\n- {seriesQuery: a, metricsQuery: b, <<: 7}\n",
        "externalRules:\n- {seriesQuery: a, metricsQuery: b, <<: {nmae: 1}}\n",
        "externalRules:\n- &x {seriesQuery: a, metricsQuery: b, <<: [*x, *x, *x, *x]}\n",
        "externalRules:\n- {seriesQuery: a, metricsQuery: b, <<: {}, <<: {}}\n"}) {
    EXPECT_EQ(ParseRuleConfig(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(RuleConfigTest, TakesItsOwnSourceKeyAndQuotedBooleans) {
  const auto set = ParseRuleConfig(
      "externalRules:\n"
      "- {seriesQuery: a, metricsQuery: b, source: aggregator, resources: {namespaced: "
      "\"false\"}}\n"
      "- {seriesQuery: a, metricsQuery: b, source: \"prometheus\"}\n");
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->external_rules[0].source, SourceChoice::kAggregator);
  EXPECT_FALSE(set->external_rules[0].namespaced);
  EXPECT_EQ(set->external_rules[1].source, SourceChoice::kPrometheus);
}

TEST(RuleConfigTest, RefusesWithTheLineAndTheRule) {
  const struct {
    const char *yaml, *message;
  } kCases[] = {
      {"rulez: []\n", "line 1: unknown key \"rulez\"; known: rules, externalRules, resourceRules"},
      {"externalRules:\n- seriesQuery: a\n  metricQuery: b\n",
       "line 3: externalRules[0]: unknown key \"metricQuery\"; known: seriesQuery, seriesFilters, "
       "resources, name, metricsQuery, source"},
      {"rules: []\nrules: []\n", "line 2: key \"rules\" stands here twice"},
      {"externalRules:\n- seriesQuery: a\n  seriesQuery: b\n  metricsQuery: c\n",
       "line 3: externalRules[0]: key \"seriesQuery\" stands here twice"},
      {"externalRules:\n- {seriesQuery: a, metricsQuery: b, name: {as: x, as: y}}\n",
       "line 2: externalRules[0].name: key \"as\" stands here twice"},
      {"externalRules:\n- seriesQuery: a\n  metricsQuery: b\n  resources:\n    overrides:\n      "
       "ns: {resource: namespace}\n      ns: {resource: pod}\n",
       "line 7: externalRules[0].resources.overrides.ns: this label stands here twice"},
      {"externalRules:\n- seriesQuery: a\n  metricsQuery: b\n  name:\n    matches: '^(.*'\n",
       "line 4: externalRules[0]: name.matches \"^(.*\": missing ): ^(.*"},
      {"rules:\n- {seriesQuery: a, metricsQuery: b, name: {matches: '(a)(b)'}}\n",
       "line 2: rules[0]: name.matches \"(a)(b)\" has 2 groups: name.as must say which to use"},
      {"rules:\n- seriesQuery: a\n  metricsQuery: b\n  seriesFilters:\n  - is: '['\n",
       "line 5: rules[0].seriesFilters[0].is: \"[\": missing ]: ["},
      {"rules:\n- {seriesQuery: a, metricsQuery: b, seriesFilters: [{is: a, isNot: b}]}\n",
       "line 2: rules[0].seriesFilters[0]: must have exactly one of is and isNot"},
      {"rules:\n- {seriesQuery: a, metricsQuery: b, seriesFilters: [{}]}\n",
       "line 2: rules[0].seriesFilters[0]: must have exactly one of is and isNot"},
      {"externalRules:\n- seriesQuery: a\n  metricsQuery: 'x <<joinx .Series>>'\n",
       "line 3: externalRules[0].metricsQuery: template line 1: function \"joinx\" not defined"},
      {"rules:\n- {seriesQuery: a, metricsQuery: b, resources: {template: \"label\"}}\n",
       "line 2: rules[0].resources.template: must use <<.Resource>>"},
      {"rules:\n- {seriesQuery: a, metricsQuery: b, resources: {overrides: {x: {group: apps}}}}\n",
       "line 2: rules[0].resources.overrides.x: must name a resource"},
      {"externalRules:\n- {seriesQuery: a, metricsQuery: b, source: both}\n",
       "line 2: externalRules[0].source: \"both\": must be auto, aggregator or prometheus"},
      {"externalRules:\n- {seriesQuery: a, metricsQuery: b, resources: {namespaced: perhaps}}\n",
       "line 2: externalRules[0].resources.namespaced: must be true or false"},
      {"externalRules:\n- {metricsQuery: b}\n", "line 2: externalRules[0]: seriesQuery is missing"},
      {"externalRules:\n- {seriesQuery: b}\n", "line 2: externalRules[0]: metricsQuery is missing"},
      {"externalRules: {a: b}\n", "line 1: externalRules: must be a list"},
      {"- a\n", "line 1: must be a map"},
      {"resourceRules: {window: 5}\n",
       "line 1: resourceRules.window: not a valid duration string: \"5\"; such as 5m, 1h30m, 15s"},
      {"resourceRules:\n  cpu: {containerQuery: a}\n",
       "line 2: resourceRules.cpu: nodeQuery is missing"},
      {"a: b\n---\nc: d\n", "more than one YAML document"},
  };
  for (const auto& c : kCases) {
    const auto set = ParseRuleConfig(c.yaml);
    EXPECT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument) << c.yaml;
    EXPECT_EQ(set.status().message(), c.message) << c.yaml;
  }
  EXPECT_EQ(ParseRuleConfig("rules: [\n").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PrometheusDurationTest, ReadsUnitsInOrder) {
  const struct {
    const char* text;
    absl::Duration want;
  } kCases[] = {{"5m", absl::Minutes(5)},   {"1h30m", absl::Minutes(90)},
                {"15s", absl::Seconds(15)}, {"250ms", absl::Milliseconds(250)},
                {"1w", absl::Hours(168)},   {"0", absl::ZeroDuration()},
                {"1d", absl::Hours(24)}};
  for (const auto& c : kCases) {
    const auto got = ParsePrometheusDuration(c.text);
    ASSERT_TRUE(got.ok()) << c.text;
    EXPECT_EQ(*got, c.want) << c.text;
  }
  for (const char* text : {"", "5", "m", "1m1h", "1m1m", "-1m", "1.5h", "99999999999999s"}) {
    EXPECT_FALSE(ParsePrometheusDuration(text).ok()) << text;
  }
}

}  // namespace
}  // namespace wheelpit::adapter
