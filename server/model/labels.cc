#include "server/model/labels.h"

#include <algorithm>

namespace wheelpit {
namespace {

bool NameLess(const Labels::Pair& pair, absl::string_view name) { return absl::string_view(pair.first) < name; }

}  // namespace

Labels::Labels(std::vector<Pair> pairs) : pairs_(std::move(pairs)) {
  pairs_.erase(std::remove_if(pairs_.begin(), pairs_.end(), [](const Pair& p) { return p.second.empty(); }),
               pairs_.end());
  std::sort(pairs_.begin(), pairs_.end());
}

absl::string_view Labels::Get(absl::string_view name) const {
  const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), name, NameLess);
  if (it == pairs_.end() || it->first != name) return {};
  return it->second;
}

bool Labels::Has(absl::string_view name) const { return !Get(name).empty(); }

void Labels::Set(absl::string_view name, absl::string_view value) {
  const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), name, NameLess);
  const bool found = it != pairs_.end() && it->first == name;
  if (value.empty()) {
    if (found) pairs_.erase(it);
  } else if (found) {
    it->second = std::string(value);
  } else {
    pairs_.insert(it, {std::string(name), std::string(value)});
  }
}

std::string FindDuplicateLabel(const std::vector<Labels::Pair>& pairs) {
  std::vector<absl::string_view> names;
  names.reserve(pairs.size());
  for (const auto& pair : pairs) names.push_back(pair.first);
  std::sort(names.begin(), names.end());
  const auto it = std::adjacent_find(names.begin(), names.end());
  return it == names.end() ? std::string() : std::string(*it);
}

}  // namespace wheelpit
