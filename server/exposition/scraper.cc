#include "server/exposition/scraper.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/errors.h"
#include "server/exposition/probe.h"

namespace wheelpit {
namespace {

class RealScraper final : public Scraper {
 public:
  RealScraper(PageCache* pages, std::vector<Source> sources, const Options& options)
      : pages_(pages), sources_(std::move(sources)), options_(options) {}

  absl::StatusOr<std::shared_ptr<const std::string>> Scrape(const ExpositionStyle& style,
                                                            const std::vector<std::string>& names) override;
  uint64_t renderings() const override {
    MutexLock lock(&mu_);
    return renderings_;
  }

 private:
  // One rendering, begun or not, and those who wait for it.
  struct Job {
    ExpositionStyle style;
    std::vector<std::string> names;
    bool begun = false;
    std::shared_ptr<const std::string> page;  // set when done
  };

  std::shared_ptr<std::string> FreshPage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Render(const Job& job, std::string* page);

  PageCache* const pages_;
  const std::vector<Source> sources_;
  const Options options_;
  mutable Mutex mu_;
  CondVar changed_;
  size_t scrapes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t renderings_ ABSL_GUARDED_BY(mu_) = 0;
  bool rendering_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mu_);
  // Pages that were made before: their memory is used again once nobody sends them.
  std::vector<std::shared_ptr<std::string>> made_ ABSL_GUARDED_BY(mu_);
};

std::shared_ptr<std::string> RealScraper::FreshPage() {
  for (const auto& page : made_) {
    if (page.use_count() > 1) continue;
    // What the last sender read happened before it let go.
    std::atomic_thread_fence(std::memory_order_acquire);
    return page;
  }
  auto page = std::make_shared<std::string>();
  if (made_.size() < options_.scrapes_max) made_.push_back(page);
  return page;
}

void RealScraper::Render(const Job& job, std::string* page) {
  std::vector<RenderedFamily> more;
  for (const Source& source : sources_) {
    for (const prometheus::MetricFamily& family : source()) more.push_back(RenderPrometheusFamily(family, job.style));
  }
  FamilyFilter wanted;
  if (!job.names.empty()) {
    wanted = [&job](absl::string_view name) {
      return std::find(job.names.begin(), job.names.end(), name) != job.names.end();
    };
  }
  page->clear();
  pages_->Render(job.style, more, wanted, page);
  if (job.style.format == ExpositionFormat::kOpenMetrics) *page += "# EOF\n";
}

absl::StatusOr<std::shared_ptr<const std::string>> RealScraper::Scrape(const ExpositionStyle& style,
                                                                       const std::vector<std::string>& names) {
  std::shared_ptr<Job> job;
  std::shared_ptr<std::string> page;
  {
    MutexLock lock(&mu_);
    if (scrapes_ >= options_.scrapes_max) {
      return MakeError(absl::StatusCode::kResourceExhausted, "SCRAPES", "too many scrapes at once", absl::Seconds(1));
    }
    ++scrapes_;
    for (const auto& other : jobs_) {
      if (!other->begun && other->style == style && other->names == names) job = other;
    }
    if (job == nullptr) {
      job = std::make_shared<Job>();
      job->style = style;
      job->names = names;
      jobs_.push_back(job);
    }
    while (job->page == nullptr && (rendering_ || job->begun)) changed_.Wait(&mu_);
    if (job->page != nullptr) {
      --scrapes_;
      return job->page;
    }
    rendering_ = job->begun = true;
    page = FreshPage();
  }
  const int64_t began_ns = options_.monotonic_ns ? options_.monotonic_ns() : 0;
  Render(*job, page.get());
  if (options_.monotonic_ns) ExpositionProbe::Get().render_seconds->Observe(static_cast<double>(options_.monotonic_ns() - began_ns) / 1e9);
  MutexLock lock(&mu_);
  rendering_ = false;
  ++renderings_;
  --scrapes_;
  job->page = std::move(page);
  std::erase(jobs_, job);
  changed_.SignalAll();
  return job->page;
}

}  // namespace

std::unique_ptr<Scraper> Scraper::Create(PageCache* pages, std::vector<Source> sources, const Options& options) {
  return std::make_unique<RealScraper>(pages, std::move(sources), options);
}

}  // namespace wheelpit
