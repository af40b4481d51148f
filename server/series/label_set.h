// The labels of a stored series, packed into one string: (name length, value length, name, value) by name; lengths are two
// bytes each. A view borrows it: valid while the store's lock is held.
//
//   for (const LabelView& label : series.labels()) line.append(label.name.data(), label.name.size());
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "server/model/labels.h"

namespace wheelpit {

struct LabelView {
  absl::string_view name;
  absl::string_view value;
};

// Sorted by name, names unique, no empty values: two views are equal iff their bytes are.
class LabelsView {
 public:
  class Iterator {
   public:
    explicit Iterator(const char* at) : at_(at) {}
    LabelView operator*() const {
      return {{at_ + 4, Length(at_)}, {at_ + 4 + Length(at_), Length(at_ + 2)}};
    }
    Iterator& operator++() {
      at_ += 4 + Length(at_) + Length(at_ + 2);
      return *this;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.at_ == b.at_; }

   private:
    static size_t Length(const char* p) {
      uint16_t n;
      std::memcpy(&n, p, sizeof(n));
      return n;
    }
    const char* at_;
  };

  LabelsView() = default;
  explicit LabelsView(absl::string_view packed) : packed_(packed) {}

  Iterator begin() const { return Iterator(packed_.data()); }
  Iterator end() const { return Iterator(packed_.data() + packed_.size()); }
  bool empty() const { return packed_.empty(); }
  size_t size() const;
  // "" if there is none.
  absl::string_view Get(absl::string_view name) const;
  bool Has(absl::string_view name) const { return !Get(name).empty(); }
  Labels ToLabels() const;
  absl::string_view packed() const { return packed_; }

  friend bool operator==(const LabelsView& a, const LabelsView& b) { return a.packed_ == b.packed_; }

 private:
  absl::string_view packed_;
};

// Each name and value at most 65,535 bytes.
std::string PackLabels(const Labels& labels);
// False unless `bytes` is what PackLabels makes of some labels.
bool IsPackedLabels(absl::string_view bytes);

}  // namespace wheelpit
