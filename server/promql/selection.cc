#include "server/promql/selection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

// Series per stretch of the read lock: well below a millisecond of matching and adding slots.
constexpr size_t kSeriesPerLock = 1024;
// Of the rings.
constexpr int64_t kReachSeconds = 3600;
constexpr absl::string_view kNameLabel = "__name__";
// Virtual series have names that reports may not use.
constexpr absl::string_view kVirtualPrefix = "wheelpit_";

int64_t FloorSeconds(int64_t ms) { return ms / 1000 - (ms % 1000 < 0 ? 1 : 0); }

bool NameMatches(const Selector& selector, absl::string_view name) {
  if (!selector.name.empty() && selector.name != name) return false;
  return std::all_of(selector.matchers.begin(), selector.matchers.end(), [name](const Matcher& m) {
    return m.label() != kNameLabel || m.Matches(name);
  });
}

bool LabelsMatch(const Selector& selector, LabelsView labels) {
  return std::all_of(selector.matchers.begin(), selector.matchers.end(),
                     [labels](const Matcher& m) {
                       return m.label() == kNameLabel || m.Matches(labels.Get(m.label()));
                     });
}

bool HasValue(const Series& series, MetricType type) {
  return type == MetricType::kGauge ? series.gauge_present : type == MetricType::kCounter;
}

Certainty FromFreshness(Freshness freshness) {
  switch (freshness) {
    case Freshness::kLive:
      return Certainty::kKnown;
    case Freshness::kPartial:
      return Certainty::kPartial;
    case Freshness::kUnknown:
      return Certainty::kUnknown;
  }
  return Certainty::kUnknown;
}

}  // namespace

template <typename Each>
void Selection::ScanFamily(absl::string_view name, Each each) {
  size_t next = 0;
  SeriesId last = 0;
  for (;;) {
    const SeriesStore::ReadLock lock(store_);
    const FamilyEntry* entry = lock.family(name);
    if (entry == nullptr) return;
    const std::vector<SeriesId>& ids = entry->series;
    // Ids rise, and some may have gone since the last stretch.
    if (next > 0 && (next > ids.size() || ids[next - 1] != last))
      next = static_cast<size_t>(std::upper_bound(ids.begin(), ids.end(), last) - ids.begin());
    const size_t end = std::min(ids.size(), next + kSeriesPerLock);
    for (; next < end; ++next) each(lock, *entry, lock.series(ids[next]));
    if (next == ids.size()) return;
    last = ids[next - 1];
  }
}

absl::Status Selection::MakeSpan(const Selector& selector, ReadAs read_as, TextPosition position,
                                 Span* span) const {
  span->read_as = read_as;
  span->offset_ms = selector.offset_ms + (now_ms_ - at_ms_);
  const int64_t end_s = FloorSeconds(now_ms_);
  const int64_t back_s = end_s - FloorSeconds(now_ms_ - span->offset_ms);
  if (back_s > kReachSeconds)
    return ExecutionError(position, "reaches back more than 1h, the longest live window");
  if (back_s > 0) span->inner = WindowAt(now_ms_, back_s * 1000);
  if (read_as == ReadAs::kInstant) return absl::OkStatus();
  const int64_t range_s = (selector.range_ms + 999) / 1000;
  if (back_s + range_s > kReachSeconds)
    return ExecutionError(position, "reaches back more than 1h, the longest live window");
  span->outer = WindowAt(now_ms_, (back_s + range_s) * 1000);
  span->window = {span->outer.start_s, span->inner.has_value() ? span->inner->start_s : end_s};
  if (span->window.start_s >= span->window.end_s)
    return ExecutionError(
        position,
        "the window is shorter than what is kept that far back (10 s beyond 1 minute, "
        "1 minute beyond 10)");
  span->open = end_ == WindowEnd::kNow && span->offset_ms == 0;
  if (span->open) span->running_s = static_cast<double>(now_ms_ - end_s * 1000) / 1000;
  const SeriesStore::ReadLock lock(store_);
  span->coverage = CoverageOf(span->window, lock.history_start_ms());
  return absl::OkStatus();
}

absl::Status Selection::CheckReadable(const Selector& selector, const Span& span, MetricType type,
                                      TextPosition position) const {
  if (type == MetricType::kCounter) return absl::OkStatus();
  if (span.read_as != ReadAs::kInstant)
    return ExecutionError(position,
                          absl::StrCat("rate and increase need a counter: ", Quoted(selector.name),
                                       " is a ", MetricTypeName(type)));
  if (span.offset_ms > 0)
    return ExecutionError(position,
                          absl::StrCat("offset needs a counter, and so does an earlier time: of ", Quoted(selector.name), ", a ",
                                       MetricTypeName(type), ", only the present is kept"));
  return absl::OkStatus();
}

double Selection::IncreaseOf(const Series& series, const Span& span) const {
  const double outer = series.Increase(span.outer);
  if (span.open && series.rings != nullptr) return outer + series.rings->RunningAsDouble(now_ms_);
  return span.inner.has_value() ? outer - series.Increase(*span.inner) : outer;
}

bool Selection::ReadSeries(const SeriesStore::ReadLock& lock, const Series& series, MetricType type,
                           const Span& span, SelectedSample* sample) {
  const Freshness freshness = lock.freshness(series, now_ms_);
  sample->certainty = FromFreshness(freshness);
  if (span.read_as == ReadAs::kInstant) {
    if (type == MetricType::kGauge) {
      if (!series.gauge_present) return false;
      sample->value = series.gauge;
    } else {
      if (series.created_ms > now_ms_ - span.offset_ms) return false;
      sample->value = series.counter.AsDouble();
      if (span.inner.has_value() && series.rings != nullptr)
        sample->value -= series.Increase(*span.inner) + series.rings->RunningAsDouble(now_ms_);
      // What was counted stays true when its reporters fall silent; more may follow.
      if (sample->certainty == Certainty::kUnknown) sample->certainty = Certainty::kPartial;
    }
    saw_silent_ = saw_silent_ || sample->certainty == Certainty::kUnknown;
    return true;
  }
  saw_silent_ = saw_silent_ || sample->certainty == Certainty::kUnknown;
  sample->value = IncreaseOf(series, span);
  double seconds = static_cast<double>(span.window.end_s - span.window.start_s);
  if (!series.queue_fed) {
    if (!span.coverage.ready) {
      sample->certainty = Certainty::kUnknown;
      saw_short_history_ = true;
    }
    if (span.coverage.share < 1) seconds = span.coverage.covered_s;
  }
  seconds += span.running_s;
  if (span.read_as == ReadAs::kRate) sample->value = seconds > 0 ? sample->value / seconds : 0;
  return true;
}

absl::Status Selection::Read(const Selector& selector, ReadAs read_as, TextPosition position,
                             Visit visit) {
  Span span;
  WHEELPIT_RETURN_IF_ERROR(MakeSpan(selector, read_as, position, &span));
  const bool exact_name = !selector.name.empty();
  for (const std::string& name : MatchingNames(selector)) {
    absl::Status problem;
    SelectedSample sample;
    sample.name = name;
    ScanFamily(name, [&](const SeriesStore::ReadLock& lock, const FamilyEntry& entry,
                         const Series& series) {
      const MetricType type = entry.family.type;
      if (!problem.ok() || !LabelsMatch(selector, series.labels()) || !HasValue(series, type))
        return;
      // A selector over many families takes those that it can.
      const absl::Status readable = CheckReadable(selector, span, type, position);
      if (!readable.ok()) {
        if (exact_name) problem = readable;
        return;
      }
      sample.labels = series.labels();
      if (ReadSeries(lock, series, type, span, &sample)) visit(sample);
    });
    WHEELPIT_RETURN_IF_ERROR(problem);
    if (!absl::StartsWith(name, kVirtualPrefix)) continue;
    for (const PackedVirtual& v : VirtualSeriesNow(name)) {
      if (v.name != name || !LabelsMatch(selector, LabelsView(v.labels))) continue;
      const absl::Status readable = CheckReadable(selector, span, MetricType::kGauge, position);
      if (!readable.ok() && exact_name) return readable;
      if (readable.ok()) visit({v.name, LabelsView(v.labels), v.value, Certainty::kKnown});
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> Selection::MatchingNames(const Selector& selector) {
  if (!selector.name.empty())
    return NameMatches(selector, selector.name) ? std::vector<std::string>{selector.name}
                                                : std::vector<std::string>{};
  std::vector<std::string> names;
  {
    const SeriesStore::ReadLock lock(store_);
    for (const FamilyEntry* entry : lock.families())
      if (NameMatches(selector, entry->family.name)) names.push_back(entry->family.name);
  }
  for (const PackedVirtual& v : VirtualSeriesNow(""))
    if (NameMatches(selector, v.name)) names.push_back(v.name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

void Selection::ReadFamily(absl::string_view name, const std::vector<Selector>& selectors,
                           absl::FunctionRef<void(LabelsView)> visit) {
  std::vector<const Selector*> by_name;
  for (const Selector& selector : selectors)
    if (NameMatches(selector, name)) by_name.push_back(&selector);
  const auto matches = [&by_name](LabelsView labels) {
    return std::any_of(by_name.begin(), by_name.end(),
                       [labels](const Selector* s) { return LabelsMatch(*s, labels); });
  };
  ScanFamily(name,
             [&](const SeriesStore::ReadLock&, const FamilyEntry& entry, const Series& series) {
               if (HasValue(series, entry.family.type) && matches(series.labels()))
                 visit(series.labels());
             });
  if (!absl::StartsWith(name, kVirtualPrefix)) return;
  for (const PackedVirtual& v : VirtualSeriesNow(name))
    if (v.name == name && matches(LabelsView(v.labels))) visit(LabelsView(v.labels));
}

const std::vector<Selection::PackedVirtual>& Selection::VirtualSeriesNow(absl::string_view name) {
  if (const auto all = virtual_.find(""); all != virtual_.end()) return all->second;
  const auto [it, is_new] = virtual_.try_emplace(std::string(name));
  if (is_new && virtual_source_ != nullptr) {
    for (VirtualSeries& v : virtual_source_->Read(now_ms_, name))
      it->second.push_back({std::move(v.name), PackLabels(v.labels), v.value});
  }
  return it->second;
}

}  // namespace wheelpit
