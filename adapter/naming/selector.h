// Kubernetes label selectors: the text of `labelSelector`, parsed with Kubernetes' own error texts,
// and its PromQL matchers.
//
// Pure functions, thread-safe.
//
//   WHEELPIT_ASSIGN_OR_RETURN(auto requirements, ParseSelector("queue in (a,b),!test"));
//   WHEELPIT_ASSIGN_OR_RETURN(auto matchers, SelectorMatchers(requirements));   // {queue=~"a|b"},
//   {test=""}
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit::adapter {

enum class SelectorOperator {
  kEquals,
  kNotEquals,
  kIn,
  kNotIn,
  kExists,
  kDoesNotExist,
  kGreaterThan,
  kLessThan
};

struct Requirement {
  std::string key;
  SelectorOperator op;
  // Sorted and without repeats. One for kEquals, kNotEquals, kGreaterThan, kLessThan; none for the
  // existence operators.
  std::vector<std::string> values;

  bool operator==(const Requirement&) const = default;
};

// Requirements sorted by key, as written among equal keys. Empty text is no requirement.
// kInvalidArgument: the message is what a Kubernetes API server says.
absl::StatusOr<std::vector<Requirement>> ParseSelector(absl::string_view text);

struct Matcher {
  std::string label;
  // The values behind it joined with '|', as templates see them; empty for existence.
  std::string joined_values;
  // `queue=~"a|b"`.
  std::string text;
};

// One matcher a requirement, in their order. Values of in and notin are regexes on purpose: people
// rely on it. kUnimplemented for > and <, which PromQL matchers do not have.
absl::StatusOr<std::vector<Matcher>> SelectorMatchers(const std::vector<Requirement>& requirements);

// `label="value"`.
Matcher EqualsMatcher(absl::string_view label, absl::string_view value);

}  // namespace wheelpit::adapter
