// Whole pages, byte for byte. UPDATE_GOLDENS=1 in the environment rewrites them.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/exposition/page_cache.h"
#include "server/exposition/scraper.h"
#include "tests/unit/server/exposition/test_store.h"

namespace wheelpit {
namespace {

class PageGoldenTest : public testing::Test {
 protected:
  PageGoldenTest() : pages_(PageCache::Create(&store_.store)) {
    const std::string help = "Hits, \\ and \n escaped, \"quotes\" not.";
    store_.Count(store_.Make("hits", MetricType::kCounter, {}, help), 5);
    store_.Count(store_.Make("jobs_done_total", MetricType::kCounter, {{"namespace", "a"}, {"pod", "w-1"}}), 42);
    store_.Set(store_.Make("k8s.cpu", MetricType::kGauge, {{"k.x", "v"}}), 0.25);
    store_.Set(store_.Make("queue_depth", MetricType::kGauge, {{"queue", "a\"b\\c\nd"}}), 7);
  }

  void ExpectGolden(const ExpositionStyle& style, const std::string& name) {
    auto scraper = Scraper::Create(pages_.get(), {}, {});
    const auto page = scraper->Scrape(style, {});
    ASSERT_TRUE(page.ok()) << page.status();
    const std::string path = absl::StrCat(GOLDEN_DIR, "/", name);
    if (std::getenv("UPDATE_GOLDENS") != nullptr) std::ofstream(path) << **page;
    std::stringstream golden;
    golden << std::ifstream(path).rdbuf();
    EXPECT_EQ(**page, golden.str()) << path;
  }

  TestStore store_;
  std::unique_ptr<PageCache> pages_;
};

TEST_F(PageGoldenTest, TextWithUnderscores) { ExpectGolden({}, "page.underscores.txt"); }

TEST_F(PageGoldenTest, TextWithUtf8Names) {
  ExpectGolden({.format = ExpositionFormat::kText, .escaping = Escaping::kAllowUtf8}, "page.utf8.txt");
}

TEST_F(PageGoldenTest, OpenMetricsWithUtf8NamesAndCreated) {
  ExpectGolden({.format = ExpositionFormat::kOpenMetrics, .escaping = Escaping::kAllowUtf8, .created = true},
               "page.utf8.created.om");
}

TEST_F(PageGoldenTest, OpenMetricsWithDots) {
  ExpectGolden({.format = ExpositionFormat::kOpenMetrics, .escaping = Escaping::kDots}, "page.dots.om");
}

TEST_F(PageGoldenTest, TextWithCreated) {
  ExpectGolden({.format = ExpositionFormat::kText, .escaping = Escaping::kUnderscores, .created = true}, "page.created.txt");
}

}  // namespace
}  // namespace wheelpit
