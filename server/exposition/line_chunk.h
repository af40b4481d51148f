// A few KiB of sample lines of one family in one piece of text, and where each value stands in it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/series/series_store.h"

namespace wheelpit {

class LineChunk {
 public:
  // Larger: more to move when a width changes; smaller: more pieces to copy per scrape.
  static constexpr size_t kTextBytes = 16 << 10;

  bool full() const { return text_.size() >= kTextBytes || lines_.size() >= 1024; }
  const std::string& text() const { return text_; }
  size_t line_count() const { return lines_.size(); }
  SeriesId id(size_t line) const { return lines_[line].id; }
  // No text: a gauge that is on no page at present.
  bool hidden(size_t line) const { return End(line) == lines_[line].begin; }
  size_t value_begin(size_t line) const { return lines_[line].value; }

  // What Patch(line) reads of the line's place, and, once that is there, of its text.
  void PrefetchPlace(size_t line) const { __builtin_prefetch(&lines_[line]); }
  void PrefetchText(size_t line) const { __builtin_prefetch(text_.data() + lines_[line].value, 1); }

  // `start` ends where the value begins.
  void Append(SeriesId id, absl::string_view start, absl::string_view value);
  void AppendHidden(SeriesId id);

  // Overwrites the value if it has the same width. False if it has not (or the line is hidden).
  bool Patch(size_t line, absl::string_view value);
  // Noted, and done by the next Apply; of several for a line the last counts.
  void Resize(size_t line, absl::string_view value);
  void Show(size_t line, absl::string_view start, absl::string_view value);
  void Hide(size_t line);
  void Remove(size_t line);
  bool has_changes() const { return !changes_.empty(); }
  // Lays the lines out anew in one pass. Line numbers change if lines were removed. The new text takes the memory of `scratch`, which
  // gets that of the old one: who applies many chunks allocates once.
  void Apply(std::string* scratch);
  void Apply() {
    std::string scratch;
    Apply(&scratch);
  }

 private:
  enum class Kind : uint8_t { kValue, kShow, kHide, kRemove };
  struct Line {
    SeriesId id;
    uint32_t begin;
    uint32_t value;
  };
  struct Change {
    uint32_t line;
    Kind kind;
    uint32_t start_size;  // of `text`, for kShow
    std::string text;     // the value; for kShow the start before it
  };
  size_t End(size_t line) const { return line + 1 < lines_.size() ? lines_[line + 1].begin : text_.size(); }

  std::string text_;
  std::vector<Line> lines_;
  std::vector<Change> changes_;
};

}  // namespace wheelpit
