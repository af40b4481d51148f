// From a rule and a request to the PromQL that answers it.
//
// Pure functions, thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapter/naming/selector.h"
#include "adapter/rules/rule.h"

namespace wheelpit::adapter {

// The label that holds the namespace: the first override of the core resource `namespaces`, else
// the template's, else `namespace`. kFailedPrecondition: the mapping has none.
absl::StatusOr<std::string> NamespaceLabel(const ResourceMapping& mapping);

// The query of an external metric: the selector's matchers by key, then the namespace's if the rule
// is namespaced. kInvalidArgument: the template cannot be evaluated or gives nothing.
// kUnimplemented: a selector that PromQL cannot express.
absl::StatusOr<std::string> ExternalQuery(const Rule& rule, absl::string_view series_name,
                                          absl::string_view name_space,
                                          const std::vector<Requirement>& selector);

}  // namespace wheelpit::adapter
