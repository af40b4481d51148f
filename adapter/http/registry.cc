#include "adapter/http/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

// Remembered misses: beyond it the memory is dropped whole, which only costs a few more series
// queries.
constexpr size_t kAbsentMax = 4096;

std::string SeriesName(const SourceLabels& labels) {
  const auto it = labels.find("__name__");
  return it == labels.end() ? std::string() : it->second;
}

// The source itself is silent; the question was not the fault.
bool NoAnswer(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || ErrorReason(status) == kReasonUnreachable;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> Registry::Create(MetricSources sources,
                                                           std::vector<Rule> rules,
                                                           RegistryOptions options) {
  WHEELPIT_CHECK(sources.aggregator != nullptr || sources.prometheus != nullptr,
                 "no metric source");
  for (const Rule& rule : rules) {
    const bool aggregator =
        rule.source == SourceChoice::kAggregator && sources.aggregator == nullptr;
    const bool prometheus =
        rule.source == SourceChoice::kPrometheus && sources.prometheus == nullptr;
    if (aggregator || prometheus) {
      return absl::InvalidArgumentError(absl::StrCat(
          rule.id, ": source ", aggregator ? "aggregator" : "prometheus",
          " is not configured here; use auto or ", aggregator ? "prometheus" : "aggregator"));
    }
  }
  return std::unique_ptr<Registry>(new Registry(sources, std::move(rules), options));
}

Registry::Registry(MetricSources sources, std::vector<Rule> rules, RegistryOptions options)
    : sources_(sources), rules_(std::move(rules)), options_(options), listings_(rules_.size()) {}

absl::StatusOr<Registry::Answer> Registry::Ask(const Rule& rule, absl::Duration timeout,
                                               DeadSources* dead) const {
  Answer answer;
  // In auto, what the aggregator has hides what Prometheus has under the same name.
  for (MetricSource* source : {sources_.aggregator, sources_.prometheus}) {
    const SourceChoice own =
        source == sources_.aggregator ? SourceChoice::kAggregator : SourceChoice::kPrometheus;
    if (source == nullptr || (rule.source != SourceChoice::kAuto && rule.source != own)) continue;
    const auto it = dead->find(source);
    const absl::StatusOr<SourceSeries> series =
        it != dead->end() ? it->second : source->Series({rule.series_query}, timeout);
    if (!series.ok()) {
      if (NoAnswer(series.status())) dead->emplace(source, series.status());
      // What the aggregator has stays visible while Prometheus is away; the other way round the
      // aggregator's answer could be the one that counts.
      if (source == sources_.aggregator || answer.series.empty()) return series.status();
      answer.truncated = true;
      answer.status = series.status();
      break;
    }
    for (const SourceLabels& labels : series->series) {
      std::string name = SeriesName(labels);
      if (!name.empty()) answer.series.emplace(std::move(name), source);
    }
    answer.truncated |= series->truncated;
  }
  return answer;
}

void Registry::Relist(const std::vector<size_t>& rules, absl::Duration timeout, bool impatient) {
  // Rules often share a selector: each is asked once.
  std::map<std::pair<SourceChoice, std::string>, absl::StatusOr<Answer>> answers;
  DeadSources dead;
  for (size_t index : rules) {
    const auto key = std::make_pair(rules_[index].source, rules_[index].series_query);
    if (answers.count(key) != 0) continue;
    if (!impatient) dead.clear();
    answers.emplace(key, Ask(rules_[index], timeout, &dead));
  }
  std::vector<std::pair<std::string, absl::Status>> failed;
  {
    MutexLock lock(&mu_);
    for (size_t index : rules) {
      const auto& answer = answers.at({rules_[index].source, rules_[index].series_query});
      Listing& listing = listings_[index];
      const absl::Status& status = answer.ok() ? answer->status : answer.status();
      const bool news = !listing.asked || listing.status.code() != status.code();
      listing.asked = true;
      listing.status = status;
      if (answer.ok()) {
        std::map<std::string, MetricSource*> series = answer->series;
        if (answer->truncated) series.insert(listing.series.begin(), listing.series.end());
        listing.series = std::move(series);
      }
      if (!status.ok() && news) failed.emplace_back(rules_[index].id, status);
    }
    Rebuild();
  }
  for (const auto& [id, status] : failed) {
    Log(LogLevel::kWarning, "adapter_rule_failed",
        {{"rule", id}, {"error", std::string(status.message())}});
  }
}

void Registry::Rebuild() {
  entries_.clear();
  folded_.clear();
  for (size_t index = 0; index < rules_.size(); ++index) {
    for (const auto& [series_name, source] : listings_[index].series) {
      const std::optional<std::string> metric = rules_[index].MetricName(series_name);
      if (metric.has_value() && !metric->empty()) entries_[*metric] = {index, series_name, source};
    }
  }
  for (const auto& [metric, entry] : entries_)
    folded_[absl::AsciiStrToLower(metric)].push_back(metric);
}

void Registry::Tick(absl::Time now) {
  {
    MutexLock lock(&mu_);
    if (ticking_ || now < next_tick_) return;
    ticking_ = true;
  }
  std::vector<size_t> all(rules_.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  Relist(all, options_.series_timeout, /*impatient=*/false);
  MutexLock lock(&mu_);
  const bool failed = std::any_of(listings_.begin(), listings_.end(),
                                  [](const Listing& l) { return !l.status.ok(); });
  next_tick_ = now + (failed ? std::min(options_.retry_interval, options_.relist_interval)
                             : options_.relist_interval);
  ticking_ = false;
}

absl::Time Registry::NextTick() const {
  MutexLock lock(&mu_);
  return next_tick_;
}

std::vector<size_t> Registry::Candidates(absl::string_view metric) const {
  std::vector<size_t> candidates;
  for (size_t index = 0; index < rules_.size(); ++index) {
    const std::optional<std::string> series_name = SeriesNameOfSelector(rules_[index].series_query);
    if (series_name.has_value()) {
      const std::optional<std::string> shown = rules_[index].MetricName(*series_name);
      if (!shown.has_value() || absl::AsciiStrToLower(*shown) != absl::AsciiStrToLower(metric))
        continue;
    }
    candidates.push_back(index);
  }
  return candidates;
}

std::optional<Registry::Found> Registry::FindKnown(absl::string_view metric) const {
  auto it = entries_.find(std::string(metric));
  if (it == entries_.end()) {
    // client-go lower-cases the names of external metrics.
    const auto folded = folded_.find(absl::AsciiStrToLower(metric));
    if (folded == folded_.end() || folded->second.size() != 1) return std::nullopt;
    it = entries_.find(folded->second[0]);
  }
  return Found{it->first, it->second.series_name, &rules_[it->second.rule], it->second.source};
}

absl::StatusOr<Registry::Found> Registry::Find(absl::string_view metric, absl::Time now) {
  const auto not_found = [&] {
    return absl::NotFoundError(absl::StrCat("no rule gives ", metric));
  };
  const std::string key(metric);
  {
    MutexLock lock(&mu_);
    if (std::optional<Found> found = FindKnown(metric); found.has_value()) return *std::move(found);
    const auto absent = absent_.find(key);
    if (absent != absent_.end() && now < absent->second) return not_found();
  }
  const std::vector<size_t> candidates = Candidates(metric);
  if (!candidates.empty()) Relist(candidates, options_.lookup_timeout, /*impatient=*/true);
  MutexLock lock(&mu_);
  if (std::optional<Found> found = FindKnown(metric); found.has_value()) return *std::move(found);
  for (size_t index : candidates) {
    const absl::Status& status = listings_[index].status;
    // A selector that does not parse gives nothing, ever.
    if (status.ok() || ErrorReason(status) == kReasonBadQuery) continue;
    return MakeError(absl::StatusCode::kUnavailable, ErrorReason(status),
                     absl::StrCat("rule ", rules_[index].id, ": ", status.message()));
  }
  if (absent_.size() >= kAbsentMax) absent_.clear();
  absent_[key] = now + options_.absent_ttl;
  return not_found();
}

std::vector<std::string> Registry::Metrics() const {
  MutexLock lock(&mu_);
  std::vector<std::string> metrics;
  metrics.reserve(entries_.size());
  for (const auto& [metric, entry] : entries_) metrics.push_back(metric);
  return metrics;
}

bool Registry::listed() const {
  MutexLock lock(&mu_);
  return std::all_of(listings_.begin(), listings_.end(), [](const Listing& l) { return l.asked; });
}

std::vector<Registry::RuleState> Registry::RuleStates() const {
  MutexLock lock(&mu_);
  std::vector<RuleState> states;
  for (size_t i = 0; i < rules_.size(); ++i)
    states.push_back({rules_[i].id, listings_[i].series.size(), listings_[i].status});
  return states;
}

}  // namespace wheelpit::adapter
