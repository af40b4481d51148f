#include "adapter/rules/query.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "adapter/rules/rule_config.h"

namespace wheelpit::adapter {
namespace {

Rule External(const std::string& fields) {
  const auto set =
      ParseRuleConfig(absl::StrCat("externalRules:\n- {seriesQuery: queue_depth, ", fields, "}\n"));
  EXPECT_TRUE(set.ok()) << set.status();
  return set->external_rules.at(0);
}

std::string QueryOf(const std::string& fields, absl::string_view selector) {
  const auto requirements = ParseSelector(selector);
  EXPECT_TRUE(requirements.ok()) << requirements.status();
  const auto query = ExternalQuery(External(fields), "queue_depth", "shop", *requirements);
  return query.ok() ? *query : std::string(query.status().message());
}

TEST(ExternalQueryTest, PutsSelectorThenNamespace) {
  const std::string query = "metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>})'";
  EXPECT_EQ(QueryOf(query, "zone=b,queue in (x,y)"),
            "sum(queue_depth{queue=~\"x|y\",zone=\"b\",namespace=\"shop\"})");
  EXPECT_EQ(QueryOf(query, ""), "sum(queue_depth{namespace=\"shop\"})");
  EXPECT_EQ(QueryOf(query + ", resources: {namespaced: false}", ""), "sum(queue_depth{})");
  EXPECT_EQ(QueryOf(query + ", resources: {namespaced: false}", "queue=a"),
            "sum(queue_depth{queue=\"a\"})");
}

TEST(ExternalQueryTest, FindsTheNamespaceLabel) {
  const std::string query = "metricsQuery: '<<.LabelMatchers>>', resources: ";
  EXPECT_EQ(QueryOf(query + "{overrides: {kube_ns: {resource: namespace}}}", ""),
            "kube_ns=\"shop\"");
  EXPECT_EQ(QueryOf(query + "{overrides: {kube_ns: {resource: Namespaces}}}", ""),
            "kube_ns=\"shop\"");
  EXPECT_EQ(QueryOf(query + "{overrides: {x: {group: a.example, resource: namespace}}}", ""),
            "namespace=\"shop\"");
  EXPECT_EQ(QueryOf(query + "{template: \"k8s_<<.Resource>>\"}", ""), "k8s_namespace=\"shop\"");
}

TEST(ExternalQueryTest, GivesTemplatesTheirFields) {
  EXPECT_EQ(
      QueryOf("metricsQuery: 'sum by (<<.GroupBy>>) (x) <<.GroupBySlice>> <<len .GroupBySlice>>'",
              ""),
      "sum by () (x) [] 0");
  EXPECT_EQ(
      QueryOf(
          "metricsQuery: '<<index .LabelValuesByName \"queue\">> <<.LabelValuesByName.namespace>>'",
          "queue in (b,a)"),
      "a|b shop");
}

TEST(ExternalQueryTest, SaysWhatCannotBeDone) {
  EXPECT_EQ(QueryOf("metricsQuery: '<<.Nothing>>'", ""),
            "metricsQuery: template line 1: can't evaluate field Nothing in type the rule's data");
  EXPECT_EQ(QueryOf("metricsQuery: '<<if false>>x<<end>> '", ""),
            "metricsQuery: gives an empty query");
  EXPECT_EQ(QueryOf("metricsQuery: 'x'", "a>1"),
            "label selector a>1: PromQL has no such matcher; use =, !=, in or notin");
}

}  // namespace
}  // namespace wheelpit::adapter
