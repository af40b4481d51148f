#include "server/exposition/line_chunk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace wheelpit {

void LineChunk::Append(SeriesId id, absl::string_view start, absl::string_view value) {
  const auto begin = static_cast<uint32_t>(text_.size());
  lines_.push_back({id, begin, begin + static_cast<uint32_t>(start.size())});
  absl::StrAppend(&text_, start, value, "\n");
}

void LineChunk::AppendHidden(SeriesId id) {
  const auto begin = static_cast<uint32_t>(text_.size());
  lines_.push_back({id, begin, begin});
}

bool LineChunk::Patch(size_t line, absl::string_view value) {
  const size_t at = lines_[line].value;
  if (End(line) != at + value.size() + 1) return false;
  std::memcpy(&text_[at], value.data(), value.size());
  return true;
}

void LineChunk::Resize(size_t line, absl::string_view value) {
  changes_.push_back({static_cast<uint32_t>(line), Kind::kValue, 0, std::string(value)});
}

void LineChunk::Show(size_t line, absl::string_view start, absl::string_view value) {
  changes_.push_back(
      {static_cast<uint32_t>(line), Kind::kShow, static_cast<uint32_t>(start.size()), absl::StrCat(start, value)});
}

void LineChunk::Hide(size_t line) { changes_.push_back({static_cast<uint32_t>(line), Kind::kHide, 0, ""}); }

void LineChunk::Remove(size_t line) { changes_.push_back({static_cast<uint32_t>(line), Kind::kRemove, 0, ""}); }

void LineChunk::Apply(std::string* scratch) {
  const auto earlier = [](const Change& a, const Change& b) { return a.line < b.line; };
  if (!std::is_sorted(changes_.begin(), changes_.end(), earlier)) std::stable_sort(changes_.begin(), changes_.end(), earlier);
  std::string& text = *scratch;
  text.clear();
  text.reserve(text_.size() + 8 * changes_.size());
  size_t kept = 0;
  size_t next = 0;
  for (size_t i = 0; i < lines_.size(); ++i) {
    const Change* change = nullptr;
    for (; next < changes_.size() && changes_[next].line == i; ++next) change = &changes_[next];
    if (change != nullptr && change->kind == Kind::kRemove) continue;
    // Lines move to the front in place: End(i) reads only what is not yet overwritten.
    const Line old = lines_[i];
    const auto begin = static_cast<uint32_t>(text.size());
    uint32_t start_size = old.value - old.begin;
    if (change == nullptr) {
      text.append(text_, old.begin, End(i) - old.begin);
    } else if (change->kind == Kind::kValue) {
      text.append(text_, old.begin, start_size);
      absl::StrAppend(&text, change->text, "\n");
    } else if (change->kind == Kind::kShow) {
      start_size = change->start_size;
      absl::StrAppend(&text, change->text, "\n");
    } else {
      start_size = 0;
    }
    lines_[kept++] = {old.id, begin, begin + start_size};
  }
  lines_.resize(kept);
  text_.swap(text);
  changes_.clear();
}

}  // namespace wheelpit
