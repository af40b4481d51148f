#include "adapter/rules/query.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {

absl::StatusOr<std::string> NamespaceLabel(const ResourceMapping& mapping) {
  for (const auto& [label, resource] : mapping.overrides) {
    const std::string name = absl::AsciiStrToLower(resource.resource);
    if (resource.group.empty() && (name == "namespace" || name == "namespaces" || name == "ns"))
      return label;
  }
  if (mapping.label_template == nullptr) {
    if (mapping.namespace_by_default) return std::string("namespace");
    return absl::FailedPreconditionError("resources: no label stands for namespaces");
  }
  return mapping.label_template->Render(
      TemplateValue(TemplateValue::Struct{{"Resource", TemplateValue(std::string("namespace"))},
                                          {"Group", TemplateValue(std::string())}}));
}

absl::StatusOr<std::string> ExternalQuery(const Rule& rule, absl::string_view series_name,
                                          absl::string_view name_space,
                                          const std::vector<Requirement>& selector) {
  WHEELPIT_ASSIGN_OR_RETURN(std::vector<Matcher> matchers, SelectorMatchers(selector));
  if (rule.namespaced) {
    WHEELPIT_ASSIGN_OR_RETURN(const std::string label, NamespaceLabel(rule.resources));
    matchers.push_back(EqualsMatcher(label, name_space));
  }
  TemplateValue::Map values;
  for (const Matcher& matcher : matchers) values[matcher.label] = matcher.joined_values;
  const auto text = [](std::string* out, const Matcher& matcher) { out->append(matcher.text); };
  // External metrics are not grouped by a resource: `by (<<.GroupBy>>)` sums everything.
  TemplateValue::Struct data;
  data.emplace("Series", TemplateValue(std::string(series_name)));
  data.emplace("LabelMatchers", TemplateValue(absl::StrJoin(matchers, ",", text)));
  data.emplace("LabelValuesByName", TemplateValue(std::move(values)));
  data.emplace("GroupBy", TemplateValue(std::string()));
  data.emplace("GroupBySlice", TemplateValue(TemplateValue::List{}));
  absl::StatusOr<std::string> query = rule.metrics_query->Render(TemplateValue(std::move(data)));
  if (!query.ok())
    return absl::InvalidArgumentError(absl::StrCat("metricsQuery: ", query.status().message()));
  if (absl::StripAsciiWhitespace(*query).empty())
    return absl::InvalidArgumentError("metricsQuery: gives an empty query");
  return query;
}

}  // namespace wheelpit::adapter
