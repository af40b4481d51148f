#include "server/promql/aggregation.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace wheelpit {
namespace {

constexpr absl::string_view kNameLabel = "__name__";

void AppendPart(absl::string_view part, std::string* key) {
  const auto size = static_cast<uint32_t>(part.size());
  key->append(reinterpret_cast<const char*>(&size), sizeof(size));
  key->append(part.data(), part.size());
}

bool Listed(const std::vector<std::string>& sorted, absl::string_view label) {
  return std::binary_search(sorted.begin(), sorted.end(), label,
                            [](absl::string_view a, absl::string_view b) { return a < b; });
}

}  // namespace

Aggregation::Aggregation(const AggregateExpr& expr) : expr_(expr) {}

template <typename EachLabel>
Aggregation::Group& Aggregation::FindGroup(absl::string_view name, EachLabel each_label) {
  const bool all_in_one = !expr_.without && expr_.labels.empty();
  if (all_in_one) {
    if (groups_.empty()) groups_.emplace_back();
    return groups_[0];
  }
  const auto kept = [this](absl::string_view label) {
    return Listed(expr_.labels, label) != expr_.without;
  };
  const bool keep_name = !expr_.without && !name.empty() && kept(kNameLabel);
  key_.clear();
  if (keep_name) {
    AppendPart(kNameLabel, &key_);
    AppendPart(name, &key_);
  }
  each_label([&](absl::string_view label, absl::string_view value) {
    if (!kept(label)) return;
    AppendPart(label, &key_);
    AppendPart(value, &key_);
  });
  const auto it = index_.find(key_);
  if (it != index_.end()) return groups_[it->second];
  index_.emplace(key_, groups_.size());
  Group& group = groups_.emplace_back();
  if (keep_name) group.name = std::string(name);
  std::vector<Labels::Pair> pairs;
  each_label([&](absl::string_view label, absl::string_view value) {
    if (kept(label)) pairs.emplace_back(label, value);
  });
  group.labels = Labels(std::move(pairs));
  return group;
}

void Aggregation::Add(absl::string_view name, LabelsView labels, double value,
                      Certainty certainty) {
  AddTo(&FindGroup(name,
                   [labels](auto&& each) {
                     for (const LabelView& label : labels) each(label.name, label.value);
                   }),
        value, certainty);
}

void Aggregation::Add(const Element& element) {
  AddTo(&FindGroup(element.name,
                   [&element](auto&& each) {
                     for (const auto& [label, value] : element.labels.pairs()) each(label, value);
                   }),
        element.value, element.certainty);
}

void Aggregation::AddTo(Group* group, double value, Certainty certainty) {
  if (certainty != Certainty::kKnown) group->partial = true;
  if (certainty == Certainty::kUnknown) return;
  const bool first = group->known++ == 0;
  switch (expr_.op) {
    case AggregateOp::kSum:
    case AggregateOp::kAvg: {
      const double sum = group->sum + value;
      if (std::isinf(sum)) {
        group->compensation = 0;  // else Inf - Inf would make it NaN
      } else if (std::abs(group->sum) >= std::abs(value)) {
        group->compensation += (group->sum - sum) + value;
      } else {
        group->compensation += (value - sum) + group->sum;
      }
      group->sum = sum;
      break;
    }
    case AggregateOp::kMin:
      if (first || value < group->extreme || std::isnan(group->extreme)) group->extreme = value;
      break;
    case AggregateOp::kMax:
      if (first || value > group->extreme || std::isnan(group->extreme)) group->extreme = value;
      break;
    default:
      break;
  }
}

std::vector<Element> Aggregation::Finish() {
  std::vector<Element> out;
  out.reserve(groups_.size());
  for (Group& group : groups_) {
    Element& e = out.emplace_back();
    e.labels = std::move(group.labels);
    e.name = std::move(group.name);
    if (group.partial) e.certainty = group.known == 0 ? Certainty::kUnknown : Certainty::kPartial;
    const double sum = group.sum + group.compensation;
    switch (expr_.op) {
      case AggregateOp::kSum:
        e.value = sum;
        break;
      case AggregateOp::kAvg:
        e.value = group.known == 0 ? 0 : sum / static_cast<double>(group.known);
        break;
      case AggregateOp::kMin:
      case AggregateOp::kMax:
        e.value = group.extreme;
        break;
      case AggregateOp::kCount:
        e.value = static_cast<double>(group.known);
        break;
      default:
        e.value = 1;  // group
        break;
    }
  }
  return out;
}

}  // namespace wheelpit
