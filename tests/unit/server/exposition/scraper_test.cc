#include "server/exposition/scraper.h"

#include "absl/synchronization/notification.h"
#include "base/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/exposition/gauge_families.h"
#include "tests/support/std_threads.h"
#include "tests/unit/server/exposition/test_store.h"

namespace wheelpit {
namespace {

prometheus::MetricFamily OneGauge(const std::string& name, double value) {
  prometheus::MetricFamily family;
  family.name = name;
  family.type = prometheus::MetricType::Gauge;
  family.metric.emplace_back().gauge.value = value;
  return family;
}

TEST(ScraperTest, SourcesAreMergedIntoThePage) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  store.Count(store.Make("m_total", MetricType::kCounter, {}), 3);
  auto scraper = Scraper::Create(
      pages.get(), {[] { return std::vector<prometheus::MetricFamily>{OneGauge("z", 1), OneGauge("a", 2)}; }}, {});
  EXPECT_EQ(**scraper->Scrape({}, {}),
            "# TYPE a gauge\na 2\n# TYPE m_total counter\nm_total 3\n# TYPE z gauge\nz 1\n");
  EXPECT_EQ(**scraper->Scrape({.format = ExpositionFormat::kOpenMetrics}, {"m", "nothing"}),
            "# TYPE m counter\nm_total 3\n# EOF\n");
}

TEST(ScraperTest, QueueGaugesStandOnThePage) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  const std::vector<GaugeFamily> gauges = {
      {"wheelpit_queue_tasks", "Tasks.", {{"wheelpit_queue_tasks", {{"queue", "q"}, {"state", "ready"}}, 3}}}};
  auto scraper = Scraper::Create(pages.get(), {[&gauges] { return ToPageFamilies(gauges); }}, {});
  EXPECT_EQ(**scraper->Scrape({}, {}),
            "# HELP wheelpit_queue_tasks Tasks.\n# TYPE wheelpit_queue_tasks gauge\n"
            "wheelpit_queue_tasks{queue=\"q\",state=\"ready\"} 3\n");
}

TEST(ScraperTest, WaitingScrapesShareARenderingAndTooManyAreRefused) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  absl::Notification begun, go_on;
  auto scraper = Scraper::Create(pages.get(),
                                 {[&]() -> std::vector<prometheus::MetricFamily> {
                                   if (!begun.HasBeenNotified()) begun.Notify();
                                   go_on.WaitForNotification();
                                   return {OneGauge("g", 1)};
                                 }},
                                 {.scrapes_max = 4});
  std::vector<absl::AnyInvocable<void()>> joins;
  std::atomic<int> pages_read{0}, refused{0};
  const auto scrape = [&] {
    const auto page = scraper->Scrape({}, {});
    if (page.ok()) {
      EXPECT_EQ(**page, "# TYPE g gauge\ng 1\n");
      ++pages_read;
    } else {
      EXPECT_EQ(ErrorReason(page.status()), "SCRAPES");
      // All four places are taken: let them go on.
      if (++refused == 1) go_on.Notify();
    }
  };
  joins.push_back(StartStdThread("scrape", scrape));
  begun.WaitForNotification();
  // One renders; of these some wait and at least one is refused, whatever the order.
  for (int i = 0; i < 4; ++i) joins.push_back(StartStdThread("scrape", scrape));
  for (auto& join : joins) join();
  EXPECT_EQ(refused.load(), 1);
  EXPECT_EQ(pages_read.load(), 4);
  // The three that waited shared one.
  EXPECT_EQ(scraper->renderings(), 2u);
}

}  // namespace
}  // namespace wheelpit
