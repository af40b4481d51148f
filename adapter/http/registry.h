// Which external metrics there are: the rules held against the series of their sources.
//
// Thread-safe; no threads and no clock of its own. Tick relists when it is due; Find asks the
// sources at once for a name that is not known yet, so a new series is visible with its first
// question. Each rule stands alone: one that fails keeps what it last found. The same rules and
// series give the same registry, in whatever order the series come. SetRules takes other rules while
// it serves; what was found with selectors that stay is kept.
//
//   Registry registry({.aggregator = source}, rules, options);
//   registry.Tick(now);
//   WHEELPIT_ASSIGN_OR_RETURN(Registry::Found found, registry.Find("jobs_per_second", now));
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/rules/rule.h"
#include "adapter/source/metric_source.h"
#include "base/clock.h"
#include "base/sync.h"

namespace wheelpit::adapter {

// Where rules may ask; either may be null, not both. They outlive their user.
struct MetricSources {
  MetricSource* aggregator = nullptr;
  MetricSource* prometheus = nullptr;
};

struct RegistryOptions {
  absl::Duration relist_interval = absl::Seconds(30);
  // After a relist in which a rule failed.
  absl::Duration retry_interval = absl::Seconds(2);
  // Of one series query.
  absl::Duration series_timeout = absl::Seconds(5);
  // Of one series query that a request waits for.
  absl::Duration lookup_timeout = absl::Seconds(1);
  // Of all series queries that a request waits for, if there is a clock.
  absl::Duration lookup_total = absl::Seconds(2);
  // A name that was not found is not looked up again for so long.
  absl::Duration absent_ttl = absl::Milliseconds(500);
  // As prometheus-adapter does it: a series query that fails leaves the whole list as it was until
  // the next relist; nothing is looked up on demand; names are found as they are spelled only.
  bool strict_compat = false;
  // Outlives the registry; may be null.
  const Clock* clock = nullptr;
};

class Registry {
 public:
  struct Found {
    // As registered: the name asked for may differ in case.
    std::string metric;
    std::string series_name;
    std::shared_ptr<const Rule> rule;
    MetricSource* source = nullptr;
  };

  // Later rules win over earlier ones. kInvalidArgument: a rule asks for a source that is not
  // there.
  static absl::StatusOr<std::unique_ptr<Registry>> Create(MetricSources sources,
                                                          std::vector<Rule> rules,
                                                          RegistryOptions options);

  // The rules from here on; the next Tick relists. kInvalidArgument as in Create: nothing changes.
  absl::Status SetRules(std::vector<Rule> rules);

  // Relists if it is due; blocks for the series queries then. One caller at a time works, others
  // return at once.
  void Tick(absl::Time now);
  absl::Time NextTick() const;

  // Exact name first, else the one name that is equal but for case. kNotFound: no rule gives it.
  // kUnavailable: a rule that might give it could not be asked.
  absl::StatusOr<Found> Find(absl::string_view metric, absl::Time now);

  // Sorted.
  std::vector<std::string> Metrics() const;
  // Whether every rule has been answered once: with series, with none, or that its selector is no
  // selector. Stays true.
  bool listed() const;

  struct RuleState {
    std::string id;
    size_t series_names = 0;
    // Of the last try.
    absl::Status status;
    // When the source last gave an answer to a Tick; InfinitePast: never.
    absl::Time answered_at = absl::InfinitePast();
  };
  std::vector<RuleState> RuleStates() const;

 private:
  // What a rule's series query gave: series names, each with the source that has it.
  struct Listing {
    std::map<std::string, MetricSource*> series;
    absl::Status status = absl::UnavailableError("not asked yet");
    bool asked = false;
    bool answered = false;
    absl::Time answered_at = absl::InfinitePast();
  };
  struct Entry {
    size_t rule = 0;
    std::string series_name;
    MetricSource* source = nullptr;
  };
  using Listings = std::vector<Listing>;
  using Rules = std::shared_ptr<const std::vector<Rule>>;
  // What decides a rule's series.
  using Question = std::pair<SourceChoice, std::string>;

  Registry(MetricSources sources, RegistryOptions options);

  struct Answer {
    std::map<std::string, MetricSource*> series;
    // A source cut its list, or gave none: names that are missing here may still exist.
    bool truncated = false;
    // Of a source that failed beside one that answered.
    absl::Status status;
  };
  // Sources that gave no answer, and how.
  using DeadSources = std::map<MetricSource*, absl::Status>;
  using Answers = std::map<Question, absl::StatusOr<Answer>>;
  // Asks for the series of a question; what is in `dead` is not asked again. No lock held.
  absl::StatusOr<Answer> Ask(const Question& question, absl::Duration timeout,
                             DeadSources* dead) const;
  // For a Tick: each question gets its full time.
  Answers AskAll(const std::vector<Rule>& rules) const;
  // For a request that waits: a source that gives no answer is not asked for the rest of the rules,
  // and all together are bounded.
  Answers AskImpatiently(const std::vector<const Rule*>& rules) const;
  // `now`: of a Tick; InfinitePast otherwise.
  void Take(const Answers& answers, absl::Time now);
  // Of one listing; true if that is news of a failure.
  bool TakeAnswer(const absl::StatusOr<Answer>& answer, bool keep_series, absl::Time now,
                  Listing* listing) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckSources(const std::vector<Rule>& rules) const;
  // Rules that might show `metric`: those whose only series name maps to it, and those that can
  // have any series.
  static std::vector<const Rule*> Candidates(const std::vector<Rule>& rules,
                                             absl::string_view metric);
  std::optional<Found> FindKnown(absl::string_view metric) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Rebuild() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const MetricSources sources_;
  const RegistryOptions options_;

  mutable Mutex mu_;
  Rules rules_ ABSL_GUARDED_BY(mu_);
  // One for each rule.
  Listings listings_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
  // Lower-cased name -> the names that are spelled so.
  std::map<std::string, std::vector<std::string>> folded_ ABSL_GUARDED_BY(mu_);
  // Names that no rule gave, and until when that is believed.
  std::map<std::string, absl::Time> absent_ ABSL_GUARDED_BY(mu_);
  absl::Time next_tick_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
  bool ticking_ ABSL_GUARDED_BY(mu_) = false;
  bool listed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit::adapter
