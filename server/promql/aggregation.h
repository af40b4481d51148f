// sum, avg, min, max, count and group over label groups, one element at a time: a sum over many
// series copies no labels.
#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "server/promql/ast.h"
#include "server/promql/value.h"

namespace wheelpit {

class Aggregation {
 public:
  // `expr` outlives it.
  explicit Aggregation(const AggregateExpr& expr);

  void Add(absl::string_view name, LabelsView labels, double value, Certainty certainty);
  void Add(const Element& element);
  // Groups in the order of their first element. A group whose elements are all unknown is unknown;
  // some: partial, over the others.
  std::vector<Element> Finish();

 private:
  struct Group {
    std::string name;  // only by (__name__)
    Labels labels;
    // Neumaier's sum.
    double sum = 0;
    double compensation = 0;
    double extreme = 0;  // min or max
    size_t known = 0;
    bool partial = false;
  };
  template <typename EachLabel>
  Group& FindGroup(absl::string_view name, EachLabel each_label);
  void AddTo(Group* group, double value, Certainty certainty);

  const AggregateExpr& expr_;
  std::vector<Group> groups_;
  absl::flat_hash_map<std::string, size_t> index_;
  std::string key_;
};

}  // namespace wheelpit
