#include "server/series/label_set.h"

#include <utility>
#include <vector>

#include "base/check.h"

namespace wheelpit {
namespace {

void AppendLength(size_t n, std::string* out) {
  WHEELPIT_CHECK(n <= 0xffff, "label part of %d bytes", n);
  const auto length = static_cast<uint16_t>(n);
  out->append(reinterpret_cast<const char*>(&length), sizeof(length));
}

}  // namespace

size_t LabelsView::size() const {
  size_t n = 0;
  for (auto it = begin(); !(it == end()); ++it) ++n;
  return n;
}

absl::string_view LabelsView::Get(absl::string_view name) const {
  for (const LabelView& label : *this) {
    if (label.name == name) return label.value;
  }
  return {};
}

Labels LabelsView::ToLabels() const {
  std::vector<Labels::Pair> pairs;
  for (const LabelView& label : *this) pairs.emplace_back(std::string(label.name), std::string(label.value));
  return Labels(std::move(pairs));
}

std::string PackLabels(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels.pairs()) {
    AppendLength(name.size(), &out);
    AppendLength(value.size(), &out);
    out += name;
    out += value;
  }
  return out;
}

bool IsPackedLabels(absl::string_view bytes) {
  absl::string_view last;
  bool first = true;
  while (!bytes.empty()) {
    if (bytes.size() < 4) return false;
    uint16_t name_size, value_size;
    std::memcpy(&name_size, bytes.data(), 2);
    std::memcpy(&value_size, bytes.data() + 2, 2);
    if (value_size == 0 || bytes.size() < size_t{4} + name_size + value_size) return false;
    const absl::string_view name = bytes.substr(4, name_size);
    if (!first && name <= last) return false;
    last = name;
    first = false;
    bytes.remove_prefix(size_t{4} + name_size + value_size);
  }
  return true;
}

}  // namespace wheelpit
