#include "server/exposition/page_cache.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "tests/unit/server/exposition/test_store.h"

namespace wheelpit {
namespace {

std::string RenderPage(PageCache* pages, const ExpositionStyle& style = {}) {
  std::string page;
  pages->Render(style, {}, nullptr, &page);
  return page;
}

// A cache that sees the store for the first time renders every line anew.
std::string FreshPage(TestStore* store, const ExpositionStyle& style = {}) {
  // It stays registered with the store for good.
  static std::vector<std::unique_ptr<PageCache>> kept;
  kept.push_back(PageCache::Create(&store->store));
  return RenderPage(kept.back().get(), style);
}

TEST(PageCacheTest, ValuesFollowTheStore) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  EXPECT_EQ(RenderPage(pages.get()), "");
  const SeriesId a = store.Make("x_total", MetricType::kCounter, {{"l", "a"}}, "X.");
  const SeriesId b = store.Make("x_total", MetricType::kCounter, {{"l", "b"}}, "X.");
  EXPECT_EQ(RenderPage(pages.get()), "# HELP x_total X.\n# TYPE x_total counter\nx_total{l=\"a\"} 0\nx_total{l=\"b\"} 0\n");
  store.Count(a, 5);
  store.Count(b, 123);
  EXPECT_EQ(RenderPage(pages.get()), "# HELP x_total X.\n# TYPE x_total counter\nx_total{l=\"a\"} 5\nx_total{l=\"b\"} 123\n");
  EXPECT_EQ(pages->stats().patched, 1u);
  EXPECT_EQ(pages->stats().chunks_moved, 1u);
  store.CountFraction(a, 0.5);
  store.Remove(b);
  EXPECT_EQ(RenderPage(pages.get()), "# HELP x_total X.\n# TYPE x_total counter\nx_total{l=\"a\"} 5.5\n");
  store.Remove(a);
  EXPECT_EQ(RenderPage(pages.get()), "");
}

TEST(PageCacheTest, GaugesWithoutAValueLeaveThePage) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  const SeriesId a = store.Make("g", MetricType::kGauge, {{"l", "a"}});
  const SeriesId b = store.Make("g", MetricType::kGauge, {{"l", "b"}});
  EXPECT_EQ(RenderPage(pages.get()), "");
  store.Set(b, 2);
  EXPECT_EQ(RenderPage(pages.get()), "# TYPE g gauge\ng{l=\"b\"} 2\n");
  store.Set(a, 1e-9);
  EXPECT_EQ(RenderPage(pages.get()), "# TYPE g gauge\ng{l=\"a\"} 1e-09\ng{l=\"b\"} 2\n");
  store.Unset(b);
  EXPECT_EQ(RenderPage(pages.get()), "# TYPE g gauge\ng{l=\"a\"} 1e-09\n");
}

TEST(PageCacheTest, TotalsBeyondExactDoublesAreWrittenAsTheyAreRead) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  store.Count(store.Make("x_total", MetricType::kCounter, {}), (1ULL << 53) + 1);
  EXPECT_EQ(RenderPage(pages.get()), "# TYPE x_total counter\nx_total 9007199254740992\n");
}

TEST(PageCacheTest, ALaterOddLabelNameChangesTheFamilysWay) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  const SeriesId a = store.Make("x_total", MetricType::kCounter, {{"l", "a"}});
  store.Count(a, 1);
  RenderPage(pages.get());
  const SeriesId b = store.Make("x_total", MetricType::kCounter, {{"l.m", "b"}});
  store.Count(a, 100);
  EXPECT_EQ(RenderPage(pages.get()), "# TYPE x_total counter\nx_total{l=\"a\"} 101\nx_total{l_m=\"b\"} 0\n");
  EXPECT_EQ(RenderPage(pages.get(), {.format = ExpositionFormat::kText, .escaping = Escaping::kAllowUtf8}),
            "# TYPE x_total counter\nx_total{l=\"a\"} 101\nx_total{\"l.m\"=\"b\"} 0\n");
  store.Remove(b);
  store.Count(a, 1);
  EXPECT_EQ(RenderPage(pages.get()), "# TYPE x_total counter\nx_total{l=\"a\"} 102\n");
}

TEST(PageCacheTest, OfTwoFamiliesOfOneExposedNameTheFirstIsKept) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  store.Set(store.Make("a_b", MetricType::kGauge, {}), 1);
  store.Set(store.Make("a.b", MetricType::kGauge, {}), 2);
  std::string page;
  pages->Render({}, {{"a_b", "# TYPE a_b gauge\na_b 3\n"}, {"z", "# TYPE z gauge\nz 1\n"}, {"empty", ""}}, nullptr, &page);
  EXPECT_EQ(page, "# TYPE a_b gauge\na_b 2\n# TYPE z gauge\nz 1\n");
  EXPECT_EQ(pages->stats().name_collisions, 2u);
}

TEST(PageCacheTest, UnitsAreSaidOnlyWhereTheNameEndsInThem) {
  TestStore store;
  auto pages = PageCache::Create(&store.store);
  store.Count(store.Make("io_bytes_total", MetricType::kCounter, {}, "", "bytes"), 1);
  store.Set(store.Make("level", MetricType::kGauge, {}, "", "metres"), 1);
  EXPECT_EQ(RenderPage(pages.get(), {.format = ExpositionFormat::kOpenMetrics}),
            "# TYPE io_bytes counter\n# UNIT io_bytes bytes\nio_bytes_total 1\n# TYPE level gauge\nlevel 1\n");
}

// Random life of many series: after each step the patched page is what a fresh rendering gives.
TEST(PageCacheTest, PatchedPagesEqualFreshOnes) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    TestStore store;
    auto pages = PageCache::Create(&store.store);
    std::map<SeriesId, bool> live;  // -> is it a gauge
    int made = 0;
    for (int step = 0; step < 40; ++step) {
      const uint64_t changes = rng.Below(300);
      for (uint64_t i = 0; i < changes; ++i) {
        const uint64_t kind = rng.Below(10);
        if (kind < 3 || live.empty()) {
          const bool gauge = rng.Chance(0.4);
          const int family = static_cast<int>(rng.Below(4));
          const bool odd = rng.Chance(0.002);
          const SeriesId id =
              store.Make(absl::StrCat(gauge ? "g" : "c", family, gauge ? "" : "_total"),
                         gauge ? MetricType::kGauge : MetricType::kCounter,
                         {{odd ? "l.odd" : "label", absl::StrCat("value", made++)}, {"other", std::string(rng.Below(60), 'v')}});
          live[id] = gauge;
          continue;
        }
        auto it = live.lower_bound(static_cast<SeriesId>(rng.Below(live.rbegin()->first + 1)));
        if (kind == 3) {
          store.Remove(it->first);
          live.erase(it);
        } else if (it->second) {
          if (rng.Chance(0.3)) {
            store.Unset(it->first);
          } else {
            store.Set(it->first, rng.Chance(0.5) ? static_cast<double>(rng.Below(200)) : rng.Unit() * 1e-3);
          }
        } else if (rng.Chance(0.05)) {
          store.CountFraction(it->first, rng.Unit());
        } else {
          store.Count(it->first, rng.Below(30));
        }
      }
      ASSERT_EQ(RenderPage(pages.get()), FreshPage(&store)) << "step " << step;
    }
    EXPECT_GT(pages->stats().patched, 100u);
    EXPECT_GT(pages->stats().chunks_moved, 10u);
    const ExpositionStyle open = {.format = ExpositionFormat::kOpenMetrics, .escaping = Escaping::kValues, .created = true};
    EXPECT_EQ(RenderPage(pages.get(), open), FreshPage(&store, open));
  }
}

}  // namespace
}  // namespace wheelpit
