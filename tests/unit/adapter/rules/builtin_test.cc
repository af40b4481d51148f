#include "adapter/rules/builtin.h"

#include <gtest/gtest.h>

#include "adapter/rules/query.h"

namespace wheelpit::adapter {
namespace {

TEST(BuiltinRulesTest, GiveRatesOfGatewayCountersAndQueueFigures) {
  const struct {
    const char *series, *metric, *query;
  } kWant[] = {
      {"heavywork_requests_total", "heavywork_requests_per_second",
       "sum(rate(heavywork_requests_total{queue=\"q\"}[30s]))"},
      {"hits", "hits_per_second", "sum(rate(hits{queue=\"q\"}[30s]))"},
      {"wheelpit_queue_tasks", "wheelpit_queue_tasks",
       "sum by (queue) (wheelpit_queue_tasks{queue=\"q\"})"},
      {"wheelpit_queue_demand_tasks", "wheelpit_queue_demand_tasks",
       "sum by (queue) (wheelpit_queue_demand_tasks{queue=\"q\"})"},
      {"wheelpit_queue_oldest_ready_age_seconds", "wheelpit_queue_oldest_ready_age_seconds",
       "sum by (queue) (wheelpit_queue_oldest_ready_age_seconds{queue=\"q\"})"},
      {"wheelpit_queue_needed_workers", "wheelpit_queue_needed_workers",
       "sum by (queue) (wheelpit_queue_needed_workers{queue=\"q\"})"},
      {"wheelpit_tasks_submitted_total", "wheelpit_tasks_submitted_per_second",
       "sum by (queue) (rate(wheelpit_tasks_submitted_total{queue=\"q\"}[60s]))"},
      {"wheelpit_tasks_completed_total", "wheelpit_tasks_completed_per_second",
       "sum by (queue) (rate(wheelpit_tasks_completed_total{queue=\"q\"}[60s]))"},
  };
  const std::vector<Rule> rules = BuiltinExternalRules({"heavywork_requests_total", "hits"});
  ASSERT_EQ(rules.size(), std::size(kWant));
  const auto selector = ParseSelector("queue=q");
  ASSERT_TRUE(selector.ok());
  for (size_t i = 0; i < rules.size(); ++i) {
    EXPECT_EQ(SeriesNameOfSelector(rules[i].series_query), kWant[i].series);
    EXPECT_EQ(rules[i].MetricName(kWant[i].series), kWant[i].metric);
    EXPECT_EQ(rules[i].MetricName("another_total"), std::nullopt);
    // No namespace matcher: these series have none, or those of the pods that count.
    const auto query = ExternalQuery(rules[i], kWant[i].series, "shop", *selector);
    ASSERT_TRUE(query.ok()) << query.status();
    EXPECT_EQ(*query, kWant[i].query);
  }
}

}  // namespace
}  // namespace wheelpit::adapter
