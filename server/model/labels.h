// Plain values of the metrics side: labels and the key of a series. No locks, no I/O, no proto types.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace wheelpit {

// Sorted by name, names unique, no empty values: two label sets are equal iff their bytes are.
class Labels {
 public:
  using Pair = std::pair<std::string, std::string>;

  Labels() = default;
  // Sorts, and drops empty values. Names must be unique (the caller checks outside input with FindDuplicateLabel first).
  explicit Labels(std::vector<Pair> pairs);
  Labels(std::initializer_list<Pair> pairs) : Labels(std::vector<Pair>(pairs)) {}

  const std::vector<Pair>& pairs() const { return pairs_; }
  bool empty() const { return pairs_.empty(); }
  size_t size() const { return pairs_.size(); }
  // "" if there is none.
  absl::string_view Get(absl::string_view name) const;
  bool Has(absl::string_view name) const;
  // Sets, or removes with an empty value.
  void Set(absl::string_view name, absl::string_view value);

  friend bool operator==(const Labels&, const Labels&) = default;
  friend bool operator<(const Labels& a, const Labels& b) { return a.pairs_ < b.pairs_; }
  template <typename H>
  friend H AbslHashValue(H h, const Labels& l) {
    return H::combine(std::move(h), l.pairs_);
  }

 private:
  std::vector<Pair> pairs_;
};

// Name of a label that occurs twice, or "".
std::string FindDuplicateLabel(const std::vector<Labels::Pair>& pairs);

}  // namespace wheelpit
