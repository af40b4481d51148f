// How long a scrape takes: our page against prometheus-cpp's Collect and TextSerializer, and against a copy of the page.
//
//   scrape_bench [--series=N]… [--rounds=5]     one JSON object a line
//
// Three labels a series. Between two scrapes none, a tenth or all of the series change, on both sides alike.
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "server/exposition/page_cache.h"
#include "server/exposition/scraper.h"
#include "server/series/series_store.h"

namespace wheelpit {
namespace {

constexpr size_t kFamilies = 10;
constexpr int64_t kNowMs = 1'700'000'000'000;

// The same counters on both sides.
class Sides {
 public:
  explicit Sides(size_t series) : store_(SeriesLimits()), pages_(PageCache::Create(&store_)) {
    scraper_ = Scraper::Create(pages_.get(), {}, {});
    std::vector<prometheus::Family<prometheus::Counter>*> families;
    for (size_t f = 0; f < kFamilies; ++f) {
      families.push_back(&prometheus::BuildCounter().Name(absl::StrCat("bench_requests_", f, "_total")).Help("Requests.").Register(registry_));
    }
    for (size_t i = 0; i < series; ++i) {
      const size_t f = i % kFamilies;
      const std::string space = absl::StrCat("namespace-", i / kFamilies % 20), pod = absl::StrCat("worker-7d9f8c-", i / kFamilies),
                        route = absl::StrCat("/api/v1/resource-", i / kFamilies % 50);
      theirs_.push_back(&families[f]->Add({{"namespace", space}, {"pod", pod}, {"route", route}}));
      ours_.push_back(MakeSeries(f, {{"namespace", space}, {"pod", pod}, {"route", route}}));
    }
  }

  // Every `stride`th series grows; 0 = none.
  void Grow(size_t stride, Rng* rng) {
    if (stride == 0) return;
    std::vector<SeriesId> ids;
    std::vector<uint64_t> deltas;
    for (size_t i = rng->Below(stride); i < ours_.size(); i += stride) {
      const uint64_t delta = 1 + rng->Below(100);
      theirs_[i]->Increment(static_cast<double>(delta));
      ids.push_back(ours_[i]);
      deltas.push_back(delta);
    }
    const RingTime time(kNowMs, 0, kNowMs);
    for (size_t from = 0; from < ids.size(); from += 1000) {
      const size_t n = std::min<size_t>(1000, ids.size() - from);
      SeriesStore::WriteLock lock(&store_);
      store_.AddToCounters(absl::MakeConstSpan(ids).subspan(from, n), absl::MakeConstSpan(deltas).subspan(from, n), time, kNowMs, nullptr);
    }
  }

  std::shared_ptr<const std::string> ScrapeOurs() { return *scraper_->Scrape({}, {}); }
  std::string ScrapeTheirs() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

 private:
  SeriesId MakeSeries(size_t f, const Labels& labels) {
    SeriesStore::WriteLock lock(&store_);
    Family family;
    family.name = absl::StrCat("bench_requests_", f, "_total");
    family.type = MetricType::kCounter;
    family.help = "Requests.";
    const auto index = store_.FindOrAddFamily(family, kNowMs, /*limited=*/false);
    WHEELPIT_CHECK(index.ok());
    const auto id = store_.FindOrCreate(*index, labels, kNowMs, /*limited=*/false);
    WHEELPIT_CHECK(id.ok());
    store_.Publish(*id, kNowMs);
    return *id;
  }

  SeriesStore store_;
  std::unique_ptr<PageCache> pages_;
  std::unique_ptr<Scraper> scraper_;
  prometheus::Registry registry_;
  std::vector<SeriesId> ours_;
  std::vector<prometheus::Counter*> theirs_;
};

// Each sample line's series and value, sorted.
std::vector<std::pair<absl::string_view, double>> Parse(absl::string_view page) {
  std::vector<std::pair<absl::string_view, double>> samples;
  for (absl::string_view line : absl::StrSplit(page, '\n', absl::SkipEmpty())) {
    if (line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    WHEELPIT_CHECK(absl::SimpleAtod(line.substr(space + 1), &value), "%s", line);
    samples.emplace_back(line.substr(0, space), value);
  }
  std::sort(samples.begin(), samples.end());
  return samples;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Print(const std::string& name, const char* peer, double ours_ms, double theirs_ms, const std::string& conditions) {
  std::printf("{\"name\":\"%s\",\"peer\":\"%s\",\"ours\":%.3f,\"theirs\":%.3f,\"unit\":\"ms\",\"ratio\":%.2f,\"conditions\":\"%s\"}\n",
              name.c_str(), peer, ours_ms, theirs_ms, theirs_ms / ours_ms, conditions.c_str());
  std::fflush(stdout);
}

void Run(size_t series, int rounds) {
  const SystemClock clock;
  const auto since_ms = [&clock](int64_t start_ns) { return static_cast<double>(clock.MonotonicNanos() - start_ns) / 1e6; };
  Sides sides(series);
  Rng rng(1);
  sides.Grow(1, &rng);
  sides.ScrapeOurs();
  const struct {
    const char* name;
    size_t stride;
  } cases[] = {{"unchanged", 0}, {"tenth_changed", 10}, {"all_changed", 1}};
  for (const auto& c : cases) {
    std::vector<double> ours, theirs, copies;
    size_t bytes = 0;
    for (int round = 0; round < rounds; ++round) {
      sides.Grow(c.stride, &rng);
      int64_t start = clock.MonotonicNanos();
      const std::string their_page = sides.ScrapeTheirs();
      theirs.push_back(since_ms(start));
      start = clock.MonotonicNanos();
      const std::shared_ptr<const std::string> our_page = sides.ScrapeOurs();
      ours.push_back(since_ms(start));
      bytes = our_page->size();
      std::string copy(bytes, '\0');  // its pages are there before the clock runs, as those of our page are
      start = clock.MonotonicNanos();
      std::memcpy(copy.data(), our_page->data(), bytes);
      copies.push_back(since_ms(start));
      const auto samples = Parse(*our_page);
      WHEELPIT_CHECK(samples.size() == series && samples == Parse(their_page), "the pages differ");
    }
    const std::string conditions = absl::StrCat(series, " series of 3 labels, ", kFamilies, " families, text, ", bytes >> 10,
                                                " KiB, medians of ", rounds, " rounds, same values by parsing");
    const std::string name = absl::StrCat("scrape_", series, "_", c.name);
    Print(name, "prometheus-cpp Collect + TextSerializer", Median(ours), Median(theirs), conditions);
    Print(absl::StrCat("page_copy_", series, "_", c.name), "memcpy of the page", Median(ours), Median(copies), conditions);
  }
}

}  // namespace
}  // namespace wheelpit

int main(int argc, char** argv) {
  std::vector<size_t> sizes;
  int rounds = 5;
  for (int i = 1; i < argc; ++i) {
    absl::string_view arg = argv[i];
    size_t number = 0;
    if (absl::ConsumePrefix(&arg, "--series=") && absl::SimpleAtoi(arg, &number) && number > 0) {
      sizes.push_back(number);
    } else if (absl::ConsumePrefix(&arg, "--rounds=") && absl::SimpleAtoi(arg, &rounds) && rounds > 0) {
      continue;
    } else {
      std::fprintf(stderr, "usage: scrape_bench [--series=N]... [--rounds=5]\n");
      return 2;
    }
  }
  if (sizes.empty()) sizes = {100'000, 1'000'000};
  for (const size_t size : sizes) wheelpit::Run(size, rounds);
  return 0;
}
