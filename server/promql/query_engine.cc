#include "server/promql/query_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "server/promql/exact_engine.h"
#include "server/promql/parser.h"
#include "server/promql/probe.h"
#include "server/promql/query_cache.h"
#include "server/promql/selection.h"

namespace wheelpit {
namespace {

constexpr int64_t kPresentMs = 5000;
constexpr size_t kCachedQueriesMax = 1024;
constexpr size_t kCachedQueryBytesMax = 4096;
constexpr absl::string_view kNameLabel = "__name__";

absl::Status UnknownError(absl::string_view what, const Selection& selection) {
  std::string why;
  if (selection.saw_silent()) why = "the reporters that feed it are silent";
  if (selection.saw_short_history())
    absl::StrAppend(&why, why.empty() ? "" : ", or ", "less than 30 s of its history is known");
  return MakeError(absl::StatusCode::kUnavailable, "UNKNOWN",
                   absl::StrCat("value of ", what, " cannot be known now: ", why));
}

class ExactQueryEngine final : public QueryEngine {
 public:
  ExactQueryEngine(const SeriesStore* store, const VirtualSeriesSource* queues)
      : store_(*store), queues_(queues), cache_(kCachedQueriesMax, kCachedQueryBytesMax) {}

  absl::StatusOr<QueryResult> QueryAt(absl::string_view query, int64_t at_ms, int64_t now_ms,
                                      UnknownPolicy unknown, WindowEnd end) const override {
    // Callers' clocks differ a little from ours.
    if (at_ms > now_ms - kPresentMs) at_ms = now_ms;
    absl::StatusOr<QueryResult> result = Evaluate(query, at_ms, now_ms, unknown, end);
    Count(result.status());
    return result;
  }

  absl::StatusOr<std::vector<Labels>> Series(const std::vector<std::string>& selectors,
                                             size_t series_max, bool* truncated) const override {
    std::vector<Selector> parsed;
    for (const std::string& text : selectors) {
      WHEELPIT_ASSIGN_OR_RETURN(Selector selector, ParseSelector(text));
      parsed.push_back(std::move(selector));
    }
    if (parsed.empty())
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_QUERY",
                       "at least one selector is needed");
    Selection selection(store_, queues_, 0, 0, WindowEnd::kWholeSecond);
    std::vector<std::string> names;
    for (const Selector& selector : parsed)
      for (std::string& name : selection.MatchingNames(selector)) names.push_back(std::move(name));
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    *truncated = false;
    std::vector<Labels> out;
    for (const std::string& name : names) {
      std::vector<Labels> family;
      selection.ReadFamily(name, parsed,
                           [&family](LabelsView labels) { family.push_back(labels.ToLabels()); });
      std::sort(family.begin(), family.end());
      for (Labels& labels : family) {
        if (out.size() == series_max) {
          *truncated = true;
          return out;
        }
        labels.Set(kNameLabel, name);
        out.push_back(std::move(labels));
      }
    }
    return out;
  }

 private:
  absl::StatusOr<QueryResult> Evaluate(absl::string_view query, int64_t at_ms, int64_t now_ms,
                                       UnknownPolicy unknown, WindowEnd end) const {
    WHEELPIT_ASSIGN_OR_RETURN(const std::shared_ptr<const Expr> expr, cache_.Get(query));
    Selection selection(store_, queues_, now_ms, at_ms, end);
    ExactEvaluation evaluation(&selection);
    WHEELPIT_ASSIGN_OR_RETURN(Value value, evaluation.Evaluate(*expr));
    QueryResult result;
    result.evaluated_at_ms = at_ms;
    result.infos = evaluation.infos();
    if (value.is_scalar) {
      if (value.scalar_certainty == Certainty::kUnknown)
        return UnknownError("the query", selection);
      result.is_scalar = true;
      result.scalar = value.scalar;
      return result;
    }
    for (Element& e : value.vector) {
      if (e.certainty == Certainty::kUnknown) {
        if (unknown == UnknownPolicy::kFail)
          return UnknownError(SeriesText(e.name, e.labels), selection);
        continue;
      }
      if (!e.name.empty()) e.labels.Set(kNameLabel, e.name);
      result.vector.push_back({std::move(e.labels), e.value, e.certainty == Certainty::kPartial});
    }
    if (result.vector.empty() && !value.vector.empty())
      return UnknownError("every series", selection);
    std::sort(result.vector.begin(), result.vector.end(),
              [](const QueryElement& a, const QueryElement& b) { return a.labels < b.labels; });
    return result;
  }

  void Count(const absl::Status& status) const {
    switch (status.code()) {
      case absl::StatusCode::kOk:
        probe_.ok->Add();
        break;
      case absl::StatusCode::kInvalidArgument:
        probe_.bad_query->Add();
        break;
      case absl::StatusCode::kUnavailable:
        probe_.unknown->Add();
        break;
      default:
        probe_.execution->Add();
        break;
    }
  }

  const SeriesStore& store_;
  const VirtualSeriesSource* const queues_;
  mutable QueryCache cache_;
  const PromqlProbe probe_;
};

}  // namespace

std::unique_ptr<QueryEngine> QueryEngine::Create(const SeriesStore* store,
                                                 const VirtualSeriesSource* queues) {
  return std::make_unique<ExactQueryEngine>(store, queues);
}

}  // namespace wheelpit
