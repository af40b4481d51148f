#include "server/exposition/page_cache.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/exposition/line_chunk.h"
#include "server/exposition/probe.h"
#include "server/exposition/value_format.h"
#include "server/series/name_rules.h"

namespace wheelpit {
namespace {

// Series read under one hold of the store's lock: tens of microseconds.
constexpr size_t kBatch = 512;

struct FamilyPage;

struct PageChunk {
  FamilyPage* family = nullptr;
  LineChunk lines;
  bool listed = false;  // for Apply
};

struct FamilyPage {
  Family family;
  std::vector<std::unique_ptr<PageChunk>> chunks;
  size_t lines = 0;
  size_t hidden = 0;
  // Some name is not legacy-valid: the text depends on the scraper's escaping, and no chunk is kept.
  bool plain = true;
  std::vector<SeriesId> ids;  // of a family that is not plain
};

struct Place {
  PageChunk* chunk = nullptr;
  uint32_t line = 0;
};

// A value as it was read under the lock.
struct Reading {
  SeriesId id = 0;
  bool present = false;
  uint8_t size = 0;
  char text[kNumberBytesMax];
  absl::string_view value() const { return {text, size}; }
};

void ReadValue(const Series& series, MetricType type, Reading* reading) {
  reading->id = series.id;
  reading->present = type == MetricType::kCounter || series.gauge_present;
  // Beyond 2^53 an integral total is written as the double that readers will take it for.
  if (type != MetricType::kCounter) {
    reading->size = static_cast<uint8_t>(WriteNumber(series.gauge, reading->text));
  } else if (series.counter.is_double() || series.counter.integral() >= (1ULL << 53)) {
    reading->size = static_cast<uint8_t>(WriteNumber(series.counter.AsDouble(), reading->text));
  } else {
    reading->size = static_cast<uint8_t>(WriteInteger(series.counter.integral(), reading->text));
  }
}

bool IsLegacy(const Family& family, const LabelsView& labels) {
  if (!IsLegacyMetricName(family.name)) return false;
  for (const LabelView& label : labels) {
    if (!IsLegacyLabelName(label.name)) return false;
  }
  return true;
}

// What the engine thread leaves for the next Render.
struct Pending {
  std::vector<SeriesId> created;
  std::vector<SeriesId> changed;
  std::vector<SeriesId> gone;
  std::vector<uint8_t> is_changed;  // by id
};

class RealPageCache final : public PageCache {
 public:
  explicit RealPageCache(SeriesStore* store) : store_(store) {
    {
      SeriesStore::ReadLock read(*store);
      MutexLock lock(&pending_mu_);
      for (const FamilyEntry* family : read.families()) {
        pending_.created.insert(pending_.created.end(), family->series.begin(), family->series.end());
      }
    }
    store->AddListener(this);
  }

  void SeriesCreated(const FamilyEntry&, const Series& series) override {
    MutexLock lock(&pending_mu_);
    pending_.created.push_back(series.id);
  }
  void SeriesChanged(const Series& series) override {
    MutexLock lock(&pending_mu_);
    NoteChanged(series.id);
  }
  void SeriesChangedMany(const SeriesStore&, absl::Span<const SeriesId> ids) override {
    MutexLock lock(&pending_mu_);
    // Where reports are hot nearly all are noted already.
    const uint8_t* marks = pending_.is_changed.data();
    size_t marked = pending_.is_changed.size();
    for (const SeriesId id : ids) {
      if (id < marked && marks[id] != 0) [[likely]] continue;
      NoteChanged(id);
      marks = pending_.is_changed.data();
      marked = pending_.is_changed.size();
    }
  }
  void SeriesGone(const Series& series) override {
    MutexLock lock(&pending_mu_);
    pending_.gone.push_back(series.id);
  }

  void Render(const ExpositionStyle& style, const std::vector<RenderedFamily>& more, const FamilyFilter& wanted,
              std::string* out) override;
  Stats stats() const override;

 private:
  // One family, or its `_created` lines, in the order of the page.
  struct Entry {
    std::string exposed_name;
    const FamilyPage* page = nullptr;  // or
    const RenderedFamily* rendered = nullptr;
    bool created = false;
  };

  void NoteChanged(SeriesId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(pending_mu_) {
    if (id >= pending_.is_changed.size()) pending_.is_changed.resize(id + id / 2 + 64);
    if (pending_.is_changed[id] != 0) return;
    pending_.is_changed[id] = 1;
    pending_.changed.push_back(id);
  }
  void Update() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddCreated(const std::vector<SeriesId>& ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddLine(uint32_t family_index, const Family& family, const std::string& packed_labels, const Reading& reading)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PatchChanged(const std::vector<SeriesId>& ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PatchOne(const Reading& reading) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RemoveGone(const std::vector<SeriesId>& ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyListed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MakeUnplain(FamilyPage* page) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void List(PageChunk* chunk) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!std::exchange(chunk->listed, true)) listed_.push_back(chunk);
  }
  std::string StartOf(SeriesId id) const;
  std::vector<Entry> Order(const ExpositionStyle& style, const std::vector<RenderedFamily>& more)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RenderAnew(const FamilyPage& page, const ExpositionStyle& style, bool created_family, std::string* out) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  SeriesStore* const store_;
  Mutex pending_mu_ ABSL_ACQUIRED_AFTER(mu_);
  Pending pending_ ABSL_GUARDED_BY(pending_mu_);

  mutable Mutex mu_;
  std::vector<std::unique_ptr<FamilyPage>> families_ ABSL_GUARDED_BY(mu_);  // by family index; null = never seen
  std::vector<Place> places_ ABSL_GUARDED_BY(mu_);                          // by series id
  std::vector<PageChunk*> listed_ ABSL_GUARDED_BY(mu_);
  std::vector<Reading> readings_ ABSL_GUARDED_BY(mu_);  // kept for its memory
  std::string scratch_ ABSL_GUARDED_BY(mu_);            // likewise
  Stats counts_ ABSL_GUARDED_BY(mu_);
};

// In this order: a created series may have changed or gone since, and a change of one without a line says nothing new.
void RealPageCache::Update() {
  Pending work;
  {
    MutexLock lock(&pending_mu_);
    std::swap(work, pending_);
    pending_.is_changed.resize(work.is_changed.size());
  }
  AddCreated(work.created);
  PatchChanged(work.changed);
  ApplyListed();
  RemoveGone(work.gone);
  ApplyListed();
}

void RealPageCache::AddCreated(const std::vector<SeriesId>& ids) {
  struct Made {
    uint32_t family = 0;
    std::string labels;
    Reading reading;
  };
  for (size_t from = 0; from < ids.size(); from += kBatch) {
    std::vector<Made> made;
    std::vector<std::pair<uint32_t, Family>> families;
    {
      SeriesStore::ReadLock read(*store_);
      for (size_t i = from; i < std::min(ids.size(), from + kBatch); ++i) {
        const Series* series = read.find(ids[i]);
        if (series == nullptr) continue;  // gone again
        const Family& family = read.family_at(series->family).family;
        if (families.empty() || families.back().first != series->family) families.emplace_back(series->family, family);
        Made& m = made.emplace_back();
        m.family = series->family;
        m.labels = std::string(series->labels().packed());
        ReadValue(*series, family.type, &m.reading);
      }
    }
    size_t at = 0;
    for (const Made& m : made) {
      while (families[at].first != m.family) ++at;
      AddLine(m.family, families[at].second, m.labels, m.reading);
    }
  }
}

void RealPageCache::AddLine(uint32_t family_index, const Family& family, const std::string& packed_labels,
                            const Reading& reading) {
  if (family_index >= families_.size()) families_.resize(family_index + 1);
  std::unique_ptr<FamilyPage>& page = families_[family_index];
  if (page == nullptr) page = std::make_unique<FamilyPage>();
  // A family that was empty may have come back with another type.
  if (page->lines == 0) {
    page->family = family;
    page->plain = true;
  }
  const LabelsView labels(packed_labels);
  if (page->plain && !IsLegacy(family, labels)) MakeUnplain(page.get());
  ++page->lines;
  if (!page->plain) {
    page->ids.push_back(reading.id);
    return;
  }
  if (page->chunks.empty() || page->chunks.back()->lines.full()) {
    page->chunks.push_back(std::make_unique<PageChunk>());
    page->chunks.back()->family = page.get();
  }
  PageChunk* chunk = page->chunks.back().get();
  if (reading.id >= places_.size()) places_.resize(reading.id + reading.id / 4 + 64);
  places_[reading.id] = {chunk, static_cast<uint32_t>(chunk->lines.line_count())};
  if (!reading.present) {
    ++page->hidden;
    chunk->lines.AppendHidden(reading.id);
    return;
  }
  std::string start;
  AppendLineStart(family.name, labels, ExpositionStyle(), &start);
  chunk->lines.Append(reading.id, start, reading.value());
}

void RealPageCache::MakeUnplain(FamilyPage* page) {
  page->plain = false;
  for (const auto& chunk : page->chunks) {
    for (size_t line = 0; line < chunk->lines.line_count(); ++line) {
      page->ids.push_back(chunk->lines.id(line));
      places_[chunk->lines.id(line)] = Place();
    }
  }
  std::erase_if(listed_, [page](const PageChunk* chunk) { return chunk->family == page; });
  page->chunks.clear();
  page->hidden = 0;
}

// A changed series is a handful of lines of memory that nobody has touched since the last page: each is fetched ahead of its use.
void RealPageCache::PatchChanged(const std::vector<SeriesId>& ids) {
  constexpr size_t kAhead = 16;
  readings_.resize(kBatch);
  for (size_t from = 0; from < ids.size(); from += kBatch) {
    const size_t end = std::min(ids.size(), from + kBatch);
    size_t count = 0;
    for (size_t i = from; i < end; ++i) {
      if (ids[i] < places_.size()) __builtin_prefetch(&places_[ids[i]]);
    }
    {
      SeriesStore::ReadLock read(*store_);
      for (size_t i = from; i < std::min(end, from + kAhead); ++i) read.Prefetch(ids[i]);
      for (size_t i = from; i < end; ++i) {
        if (i + kAhead < end) read.Prefetch(ids[i + kAhead]);
        if (ids[i] >= places_.size() || places_[ids[i]].chunk == nullptr) continue;
        const Series* series = read.find(ids[i]);
        if (series == nullptr) continue;
        ReadValue(*series, places_[ids[i]].chunk->family->family.type, &readings_[count++]);
      }
    }
    const auto place = [this](size_t i) ABSL_NO_THREAD_SAFETY_ANALYSIS { return places_[readings_[i].id]; };
    for (size_t i = 0; i < std::min(count, kAhead); ++i) place(i).chunk->lines.PrefetchPlace(place(i).line);
    for (size_t i = 0; i < count; ++i) {
      if (i + kAhead < count) place(i + kAhead).chunk->lines.PrefetchPlace(place(i + kAhead).line);
      if (i + kAhead / 2 < count) place(i + kAhead / 2).chunk->lines.PrefetchText(place(i + kAhead / 2).line);
      PatchOne(readings_[i]);
    }
  }
}

void RealPageCache::PatchOne(const Reading& reading) {
  const Place place = places_[reading.id];
  LineChunk& lines = place.chunk->lines;
  const bool hidden = lines.hidden(place.line);
  if (reading.present && !hidden && lines.Patch(place.line, reading.value())) {
    ++counts_.patched;
    return;
  }
  if (!reading.present) {
    if (hidden) return;
    ++place.chunk->family->hidden;
    lines.Hide(place.line);
  } else if (hidden) {
    const std::string start = StartOf(reading.id);
    if (start.empty()) return;  // gone meanwhile
    --place.chunk->family->hidden;
    lines.Show(place.line, start, reading.value());
  } else {
    lines.Resize(place.line, reading.value());
  }
  List(place.chunk);
}

std::string RealPageCache::StartOf(SeriesId id) const {
  std::string start;
  SeriesStore::ReadLock read(*store_);
  const Series* series = read.find(id);
  if (series != nullptr) {
    AppendLineStart(read.family_at(series->family).family.name, series->labels(), ExpositionStyle(), &start);
  }
  return start;
}

void RealPageCache::RemoveGone(const std::vector<SeriesId>& ids) {
  if (ids.empty()) return;
  std::vector<SeriesId> elsewhere;
  for (const SeriesId id : ids) {
    if (id >= places_.size() || places_[id].chunk == nullptr) {
      elsewhere.push_back(id);
      continue;
    }
    const Place place = std::exchange(places_[id], Place());
    FamilyPage* page = place.chunk->family;
    --page->lines;
    if (place.chunk->lines.hidden(place.line)) --page->hidden;
    place.chunk->lines.Remove(place.line);
    List(place.chunk);
  }
  if (elsewhere.empty()) return;
  std::sort(elsewhere.begin(), elsewhere.end());
  for (const auto& page : families_) {
    if (page == nullptr || page->plain) continue;
    std::erase_if(page->ids, [&elsewhere](SeriesId id) { return std::binary_search(elsewhere.begin(), elsewhere.end(), id); });
    page->lines = page->ids.size();
  }
}

void RealPageCache::ApplyListed() {
  for (PageChunk* chunk : std::exchange(listed_, {})) {
    const size_t before = chunk->lines.line_count();
    chunk->lines.Apply(&scratch_);
    chunk->listed = false;
    ++counts_.chunks_moved;
    if (chunk->lines.line_count() == before) continue;
    for (size_t line = 0; line < chunk->lines.line_count(); ++line) {
      places_[chunk->lines.id(line)].line = static_cast<uint32_t>(line);
    }
    if (chunk->lines.line_count() > 0) continue;
    std::erase_if(chunk->family->chunks, [chunk](const std::unique_ptr<PageChunk>& c) { return c.get() == chunk; });
  }
}

std::vector<RealPageCache::Entry> RealPageCache::Order(const ExpositionStyle& style, const std::vector<RenderedFamily>& more) {
  std::vector<Entry> entries;
  for (const auto& page : families_) {
    if (page == nullptr || page->lines == page->hidden) continue;
    const Family& family = page->family;
    entries.push_back({ExposedName(family.name, family.type, style), page.get(), nullptr, false});
    absl::string_view stem = family.name;
    if (style.created && style.format == ExpositionFormat::kText && family.type == MetricType::kCounter &&
        absl::ConsumeSuffix(&stem, "_total")) {
      entries.push_back({ExposedName(absl::StrCat(stem, "_created"), MetricType::kGauge, style), page.get(), nullptr, true});
    }
  }
  for (const RenderedFamily& rendered : more) {
    if (!rendered.text.empty()) entries.push_back({rendered.exposed_name, nullptr, &rendered, false});
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    if (a.exposed_name != b.exposed_name) return a.exposed_name < b.exposed_name;
    return a.page != nullptr && b.page != nullptr && a.page->family.name < b.page->family.name;
  });
  const auto last = std::unique(entries.begin(), entries.end(),
                                [](const Entry& a, const Entry& b) { return a.exposed_name == b.exposed_name; });
  const auto left_out = static_cast<uint64_t>(entries.end() - last);
  counts_.name_collisions += left_out;
  if (left_out > 0) ExpositionProbe::Get().collisions->Add(left_out);
  entries.erase(last, entries.end());
  return entries;
}

void RealPageCache::RenderAnew(const FamilyPage& page, const ExpositionStyle& style, bool created_family,
                               std::string* out) const {
  std::vector<SeriesId> ids = page.ids;
  for (const auto& chunk : page.chunks) {
    for (size_t line = 0; line < chunk->lines.line_count(); ++line) ids.push_back(chunk->lines.id(line));
  }
  absl::string_view stem = page.family.name;
  const bool has_created = page.family.type == MetricType::kCounter && absl::ConsumeSuffix(&stem, "_total");
  const std::string created_name = absl::StrCat(stem, "_created");
  const bool created_lines = style.created && has_created && style.format == ExpositionFormat::kOpenMetrics;
  std::string lines;
  for (size_t from = 0; from < ids.size(); from += kBatch) {
    SeriesStore::ReadLock read(*store_);
    for (size_t i = from; i < std::min(ids.size(), from + kBatch); ++i) {
      const Series* series = read.find(ids[i]);
      if (series == nullptr) continue;
      Reading reading;
      ReadValue(*series, page.family.type, &reading);
      if (!reading.present) continue;
      if (!created_family) {
        AppendLineStart(page.family.name, series->labels(), style, &lines);
        absl::StrAppend(&lines, reading.value(), "\n");
      }
      if (!created_family && !created_lines) continue;
      AppendLineStart(created_name, series->labels(), style, &lines);
      absl::StrAppend(&lines, FormatSeconds(series->created_ms), "\n");
    }
  }
  if (lines.empty()) return;
  Family family = page.family;
  if (created_family) {
    family = Family();
    family.name = created_name;
    family.type = MetricType::kGauge;
  }
  AppendMetadata(family, style, out);
  *out += lines;
}

void RealPageCache::Render(const ExpositionStyle& style, const std::vector<RenderedFamily>& more,
                           const FamilyFilter& wanted, std::string* out) {
  MutexLock lock(&mu_);
  Update();
  for (const Entry& entry : Order(style, more)) {
    if (wanted && !wanted(entry.exposed_name)) continue;
    if (entry.rendered != nullptr) {
      *out += entry.rendered->text;
    } else if (!entry.page->plain || style.created) {
      RenderAnew(*entry.page, style, entry.created, out);
    } else {
      AppendMetadata(entry.page->family, style, out);
      for (const auto& chunk : entry.page->chunks) *out += chunk->lines.text();
    }
  }
}

PageCache::Stats RealPageCache::stats() const {
  MutexLock lock(&mu_);
  Stats stats = counts_;
  for (const auto& page : families_) {
    if (page == nullptr) continue;
    stats.lines += page->lines - page->hidden;
    stats.chunks += page->chunks.size();
    for (const auto& chunk : page->chunks) stats.text_bytes += chunk->lines.text().size();
  }
  return stats;
}

}  // namespace

std::unique_ptr<PageCache> PageCache::Create(SeriesStore* store) { return std::make_unique<RealPageCache>(store); }

}  // namespace wheelpit
