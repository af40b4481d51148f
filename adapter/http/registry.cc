#include "adapter/http/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
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

std::pair<SourceChoice, std::string> QuestionOf(const Rule& rule) {
  return {rule.source, rule.series_query};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> Registry::Create(MetricSources sources,
                                                           std::vector<Rule> rules,
                                                           RegistryOptions options) {
  WHEELPIT_CHECK(sources.aggregator != nullptr || sources.prometheus != nullptr,
                 "no metric source");
  std::unique_ptr<Registry> registry(new Registry(sources, std::move(options)));
  WHEELPIT_RETURN_IF_ERROR(registry->SetRules(std::move(rules)));
  return registry;
}

Registry::Registry(MetricSources sources, RegistryOptions options)
    : sources_(sources), options_(options), rules_(std::make_shared<std::vector<Rule>>()) {}

absl::Status Registry::CheckSources(const std::vector<Rule>& rules) const {
  for (const Rule& rule : rules) {
    const bool aggregator =
        rule.source == SourceChoice::kAggregator && sources_.aggregator == nullptr;
    const bool prometheus =
        rule.source == SourceChoice::kPrometheus && sources_.prometheus == nullptr;
    if (aggregator || prometheus) {
      return absl::InvalidArgumentError(absl::StrCat(
          rule.id, ": source ", aggregator ? "aggregator" : "prometheus",
          " is not configured here; use auto or ", aggregator ? "prometheus" : "aggregator"));
    }
  }
  return absl::OkStatus();
}

absl::Status Registry::SetRules(std::vector<Rule> rules) {
  WHEELPIT_RETURN_IF_ERROR(CheckSources(rules));
  auto shared = std::make_shared<const std::vector<Rule>>(std::move(rules));
  MutexLock lock(&mu_);
  std::map<Question, const Listing*> known;
  for (size_t i = 0; i < rules_->size(); ++i)
    known.emplace(QuestionOf((*rules_)[i]), &listings_[i]);
  Listings listings(shared->size());
  for (size_t i = 0; i < listings.size(); ++i) {
    const auto it = known.find(QuestionOf((*shared)[i]));
    if (it != known.end()) listings[i] = *it->second;
  }
  rules_ = std::move(shared);
  listings_ = std::move(listings);
  absent_.clear();
  next_tick_ = absl::InfinitePast();
  Rebuild();
  return absl::OkStatus();
}

absl::StatusOr<Registry::Answer> Registry::Ask(const Question& question, absl::Duration timeout,
                                               DeadSources* dead) const {
  Answer answer;
  const auto& [choice, selector] = question;
  // In auto, what the aggregator has hides what Prometheus has under the same name.
  for (MetricSource* source : {sources_.aggregator, sources_.prometheus}) {
    const SourceChoice own =
        source == sources_.aggregator ? SourceChoice::kAggregator : SourceChoice::kPrometheus;
    if (source == nullptr || (choice != SourceChoice::kAuto && choice != own)) continue;
    const auto it = dead->find(source);
    const absl::StatusOr<SourceSeries> series =
        it != dead->end() ? it->second : source->Series({selector}, timeout);
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

// Rules often share a selector: each is asked once.
Registry::Answers Registry::AskAll(const std::vector<Rule>& rules) const {
  Answers answers;
  for (const Rule& rule : rules) {
    const Question question = QuestionOf(rule);
    if (answers.count(question) != 0) continue;
    DeadSources dead;
    answers.emplace(question, Ask(question, options_.series_timeout, &dead));
  }
  return answers;
}

Registry::Answers Registry::AskImpatiently(const std::vector<const Rule*>& rules) const {
  const auto now_ns = [&] { return options_.clock == nullptr ? 0 : options_.clock->MonotonicNanos(); };
  const int64_t end_ns = now_ns() + absl::ToInt64Nanoseconds(options_.lookup_total);
  Answers answers;
  DeadSources dead;
  for (const Rule* rule : rules) {
    const Question question = QuestionOf(*rule);
    if (answers.count(question) != 0) continue;
    const absl::Duration left = absl::Nanoseconds(end_ns - now_ns());
    if (left <= absl::ZeroDuration()) {
      answers.emplace(question, MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout,
                                          "not asked: the rules before it took too long"));
      continue;
    }
    answers.emplace(question, Ask(question, std::min(left, options_.lookup_timeout), &dead));
  }
  return answers;
}

bool Registry::TakeAnswer(const absl::StatusOr<Answer>& answer, bool keep_series, absl::Time now,
                          Listing* listing) {
  const absl::Status& status = answer.ok() ? answer->status : answer.status();
  const bool news = !listing->asked || listing->status.code() != status.code();
  listing->asked = true;
  listing->status = status;
  // A selector that is none gives nothing, ever: that is an answer.
  listing->answered |= answer.ok() || ErrorReason(status) == kReasonBadQuery;
  if (answer.ok() && now != absl::InfinitePast()) listing->answered_at = now;
  if (answer.ok() && !keep_series) {
    std::map<std::string, MetricSource*> series = answer->series;
    if (answer->truncated) series.insert(listing->series.begin(), listing->series.end());
    listing->series = std::move(series);
  }
  return !status.ok() && news;
}

void Registry::Take(const Answers& answers, absl::Time now) {
  const bool keep_series =
      options_.strict_compat && std::any_of(answers.begin(), answers.end(),
                                            [](const auto& answer) { return !answer.second.ok(); });
  std::vector<std::pair<std::string, std::string>> failed;
  {
    MutexLock lock(&mu_);
    // The rules may be others than those that were asked for: what fits is taken.
    for (size_t i = 0; i < rules_->size(); ++i) {
      const Rule& rule = (*rules_)[i];
      const auto answer = answers.find(QuestionOf(rule));
      if (answer == answers.end()) continue;
      if (TakeAnswer(answer->second, keep_series, now, &listings_[i]))
        failed.emplace_back(rule.id, listings_[i].status.message());
    }
    listed_ |= std::all_of(listings_.begin(), listings_.end(),
                           [](const Listing& l) { return l.answered; });
    Rebuild();
  }
  for (const auto& [id, error] : failed)
    Log(LogLevel::kWarning, "adapter_rule_failed", {{"rule", id}, {"error", error}});
}

void Registry::Rebuild() {
  entries_.clear();
  folded_.clear();
  for (size_t index = 0; index < rules_->size(); ++index) {
    for (const auto& [series_name, source] : listings_[index].series) {
      const std::optional<std::string> metric = (*rules_)[index].MetricName(series_name);
      if (metric.has_value() && !metric->empty()) entries_[*metric] = {index, series_name, source};
    }
  }
  for (const auto& [metric, entry] : entries_)
    folded_[absl::AsciiStrToLower(metric)].push_back(metric);
}

void Registry::Tick(absl::Time now) {
  Rules rules;
  {
    MutexLock lock(&mu_);
    if (ticking_ || now < next_tick_) return;
    ticking_ = true;
    rules = rules_;
  }
  Take(AskAll(*rules), now);
  MutexLock lock(&mu_);
  ticking_ = false;
  // Other rules came meanwhile: they are asked for at once.
  if (rules != rules_) return;
  const bool failed = std::any_of(listings_.begin(), listings_.end(),
                                  [](const Listing& l) { return !l.status.ok(); });
  const bool soon = failed && !options_.strict_compat;
  next_tick_ = now + (soon ? std::min(options_.retry_interval, options_.relist_interval)
                           : options_.relist_interval);
}

absl::Time Registry::NextTick() const {
  MutexLock lock(&mu_);
  return next_tick_;
}

std::vector<const Rule*> Registry::Candidates(const std::vector<Rule>& rules,
                                              absl::string_view metric) {
  std::vector<const Rule*> candidates;
  for (const Rule& rule : rules) {
    const std::optional<std::string> series_name = SeriesNameOfSelector(rule.series_query);
    if (series_name.has_value()) {
      const std::optional<std::string> shown = rule.MetricName(*series_name);
      if (!shown.has_value() || !absl::EqualsIgnoreCase(*shown, metric)) continue;
    }
    candidates.push_back(&rule);
  }
  return candidates;
}

std::optional<Registry::Found> Registry::FindKnown(absl::string_view metric) const {
  auto it = entries_.find(std::string(metric));
  if (it == entries_.end()) {
    if (options_.strict_compat) return std::nullopt;
    // client-go lower-cases the names of external metrics.
    const auto folded = folded_.find(absl::AsciiStrToLower(metric));
    if (folded == folded_.end() || folded->second.size() != 1) return std::nullopt;
    it = entries_.find(folded->second[0]);
  }
  // The rule lives as long as whoever found it needs it, also when others take its place.
  return Found{it->first, it->second.series_name,
               std::shared_ptr<const Rule>(rules_, &(*rules_)[it->second.rule]), it->second.source};
}

absl::StatusOr<Registry::Found> Registry::Find(absl::string_view metric, absl::Time now) {
  const auto not_found = [&] {
    return absl::NotFoundError(absl::StrCat("no rule gives ", metric));
  };
  const std::string key(metric);
  Rules rules;
  {
    MutexLock lock(&mu_);
    if (std::optional<Found> found = FindKnown(metric); found.has_value()) return *std::move(found);
    if (options_.strict_compat) return not_found();
    const auto absent = absent_.find(key);
    if (absent != absent_.end() && now < absent->second) return not_found();
    rules = rules_;
  }
  const std::vector<const Rule*> candidates = Candidates(*rules, metric);
  const Answers answers = AskImpatiently(candidates);
  if (!answers.empty()) Take(answers, absl::InfinitePast());
  MutexLock lock(&mu_);
  if (std::optional<Found> found = FindKnown(metric); found.has_value()) return *std::move(found);
  for (const Rule* rule : candidates) {
    const absl::StatusOr<Answer>& answer = answers.at(QuestionOf(*rule));
    const absl::Status& status = answer.ok() ? answer->status : answer.status();
    // A selector that does not parse gives nothing, ever.
    if (status.ok() || ErrorReason(status) == kReasonBadQuery) continue;
    return MakeError(absl::StatusCode::kUnavailable, ErrorReason(status),
                     absl::StrCat("rule ", rule->id, ": ", status.message()));
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
  return listed_;
}

std::vector<Registry::RuleState> Registry::RuleStates() const {
  MutexLock lock(&mu_);
  std::vector<RuleState> states;
  for (size_t i = 0; i < rules_->size(); ++i) {
    const Listing& listing = listings_[i];
    states.push_back(
        {(*rules_)[i].id, listing.series.size(), listing.status, listing.answered_at});
  }
  return states;
}

}  // namespace wheelpit::adapter
