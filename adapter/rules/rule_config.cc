#include "adapter/rules/rule_config.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapter/naming/go_text.h"
#include "base/status_macros.h"
#include "yaml-cpp/yaml.h"

namespace wheelpit::adapter {
namespace {

// Maps that one takes over by `<<`, all together.
constexpr int kMergesMax = 100;

// Where in the file a value stands: `externalRules[2].name`.
struct Place {
  std::string path;
  int line = 0;
};

absl::Status ErrorAt(const Place& place, absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat("line ", place.line, ": ", place.path, place.path.empty() ? "" : ": ", message));
}

Place PlaceOf(const YAML::Node& node, std::string path) {
  return {std::move(path), node.Mark().line + 1};
}
std::string Child(const Place& parent, absl::string_view key) {
  return parent.path.empty() ? std::string(key) : absl::StrCat(parent.path, ".", key);
}

using Reader = std::function<absl::Status(const YAML::Node& node, const Place& place)>;
using Readers = std::vector<std::pair<std::string, Reader>>;

// What a map says, with what it takes over from others by `<<`: its own keys, then those that they
// add. yaml-cpp keeps both of two equal keys and does not know `<<`, so both are seen to here.
absl::Status Flatten(const YAML::Node& node, const Place& place, int* merges_left,
                     std::vector<std::pair<YAML::Node, YAML::Node>>* entries) {
  if (!node.IsMap()) return ErrorAt(place, "must be a map");
  // Maps that take themselves over, again and again.
  if (--*merges_left < 0) return ErrorAt(place, "takes over too many maps");
  std::set<std::string> own;
  for (const auto& entry : node) {
    const Place at = PlaceOf(entry.first, place.path);
    if (!entry.first.IsScalar()) return ErrorAt(at, "keys must be plain text");
    if (!own.insert(entry.first.Scalar()).second) {
      return ErrorAt(at, absl::StrCat("key ", GoQuote(entry.first.Scalar()), " stands here twice"));
    }
    const auto same = [&](const auto& e) { return e.first.Scalar() == entry.first.Scalar(); };
    if (entry.first.Scalar() != "<<" && std::none_of(entries->begin(), entries->end(), same))
      entries->emplace_back(entry.first, entry.second);
  }
  if (own.count("<<") == 0) return absl::OkStatus();
  const YAML::Node merged = node["<<"];
  const Place at = PlaceOf(merged, place.path);
  if (!merged.IsSequence()) return Flatten(merged, at, merges_left, entries);
  for (const YAML::Node& one : merged)
    WHEELPIT_RETURN_IF_ERROR(Flatten(one, at, merges_left, entries));
  return absl::OkStatus();
}

// Each key of the map goes to its reader.
absl::Status ReadMap(const YAML::Node& node, const Place& place, const Readers& readers) {
  if (node.IsNull()) return absl::OkStatus();
  std::vector<std::pair<YAML::Node, YAML::Node>> entries;
  int merges_left = kMergesMax;
  WHEELPIT_RETURN_IF_ERROR(Flatten(node, place, &merges_left, &entries));
  for (const auto& [key_node, value] : entries) {
    const Place at = PlaceOf(key_node, place.path);
    const std::string& key = key_node.Scalar();
    const auto reader =
        std::find_if(readers.begin(), readers.end(), [&](const auto& r) { return r.first == key; });
    if (reader == readers.end()) {
      const auto name = [](std::string* out, const auto& r) { out->append(r.first); };
      return ErrorAt(at, absl::StrCat("unknown key ", GoQuote(key),
                                      "; known: ", absl::StrJoin(readers, ", ", name)));
    }
    WHEELPIT_RETURN_IF_ERROR(reader->second(value, {Child(place, key), at.line}));
  }
  return absl::OkStatus();
}

absl::Status ReadList(const YAML::Node& node, const Place& place, const Reader& reader) {
  if (node.IsNull()) return absl::OkStatus();
  if (!node.IsSequence()) return ErrorAt(place, "must be a list");
  int index = 0;
  for (const YAML::Node& item : node) {
    WHEELPIT_RETURN_IF_ERROR(
        reader(item, PlaceOf(item, absl::StrCat(place.path, "[", index++, "]"))));
  }
  return absl::OkStatus();
}

Reader Text(std::string* out) {
  return [out](const YAML::Node& node, const Place& place) {
    if (node.IsNull()) return absl::OkStatus();
    if (!node.IsScalar()) return ErrorAt(place, "must be text");
    *out = node.Scalar();
    return absl::OkStatus();
  };
}

Reader Boolean(bool* out) {
  return [out](const YAML::Node& node, const Place& place) {
    if (node.IsNull()) return absl::OkStatus();
    const std::string text = node.IsScalar() ? absl::AsciiStrToLower(node.Scalar()) : "";
    const bool yes = text == "true" || text == "yes" || text == "on" || text == "y";
    const bool no = text == "false" || text == "no" || text == "off" || text == "n";
    if (!yes && !no) return ErrorAt(place, "must be true or false");
    *out = yes;
    return absl::OkStatus();
  };
}

absl::StatusOr<std::shared_ptr<const RE2>> Regex(const std::string& pattern, const Place& place) {
  auto regex = std::make_shared<RE2>(pattern, GoRegexOptions());
  if (!regex->ok()) return ErrorAt(place, absl::StrCat(GoQuote(pattern), ": ", regex->error()));
  return std::shared_ptr<const RE2>(std::move(regex));
}

Reader CompiledTemplate(std::shared_ptr<const Template>* out) {
  return [out](const YAML::Node& node, const Place& place) -> absl::Status {
    std::string text;
    WHEELPIT_RETURN_IF_ERROR(Text(&text)(node, place));
    absl::StatusOr<std::shared_ptr<const Template>> compiled = Template::Parse(text);
    if (!compiled.ok()) return ErrorAt(place, compiled.status().message());
    *out = *std::move(compiled);
    return absl::OkStatus();
  };
}

Reader Filters(std::vector<SeriesFilter>* out) {
  return [out](const YAML::Node& node, const Place& place) {
    return ReadList(node, place, [out](const YAML::Node& item, const Place& at) -> absl::Status {
      std::string is, is_not;
      WHEELPIT_RETURN_IF_ERROR(ReadMap(item, at, {{"is", Text(&is)}, {"isNot", Text(&is_not)}}));
      if (is.empty() == is_not.empty()) return ErrorAt(at, "must have exactly one of is and isNot");
      SeriesFilter filter;
      filter.negated = is.empty();
      const Place regex_at = {Child(at, filter.negated ? "isNot" : "is"), at.line};
      WHEELPIT_ASSIGN_OR_RETURN(filter.regex, Regex(filter.negated ? is_not : is, regex_at));
      out->push_back(std::move(filter));
      return absl::OkStatus();
    });
  };
}

// A label template must hold the resource, else labels could not be told apart.
absl::Status CheckLabelTemplate(const Template& label_template, const Place& place) {
  const auto label = [&](const std::string& resource) {
    return label_template.Render(TemplateValue(TemplateValue::Struct{
        {"Resource", TemplateValue(resource)}, {"Group", TemplateValue(std::string("group"))}}));
  };
  WHEELPIT_ASSIGN_OR_RETURN(const std::string one, label("one"));
  WHEELPIT_ASSIGN_OR_RETURN(const std::string two, label("two"));
  return one == two ? ErrorAt(place, "must use <<.Resource>>") : absl::OkStatus();
}

// `namespaced` may be null: only rules have it.
Reader Resources(ResourceMapping* out, bool* namespaced) {
  return [out, namespaced](const YAML::Node& node, const Place& place) -> absl::Status {
    Place template_at = place;
    Readers readers = {
        {"template",
         [&](const YAML::Node& n, const Place& at) -> absl::Status {
           template_at = at;
           std::string text;
           WHEELPIT_RETURN_IF_ERROR(Text(&text)(n, at));
           return text.empty() ? absl::OkStatus() : CompiledTemplate(&out->label_template)(n, at);
         }},
        {"overrides", [&](const YAML::Node& n, const Place& at) -> absl::Status {
           if (n.IsNull()) return absl::OkStatus();
           if (!n.IsMap()) return ErrorAt(at, "must be a map from labels to resources");
           for (const auto& entry : n) {
             const Place label_at =
                 PlaceOf(entry.first, absl::StrCat(at.path, ".", entry.first.Scalar()));
             GroupResource resource;
             WHEELPIT_RETURN_IF_ERROR(ReadMap(
                 entry.second, label_at,
                 {{"group", Text(&resource.group)}, {"resource", Text(&resource.resource)}}));
             if (resource.resource.empty()) return ErrorAt(label_at, "must name a resource");
             if (!out->overrides.emplace(entry.first.Scalar(), std::move(resource)).second) {
               return ErrorAt(label_at, "this label stands here twice");
             }
           }
           return absl::OkStatus();
         }}};
    if (namespaced != nullptr) readers.emplace_back("namespaced", Boolean(namespaced));
    WHEELPIT_RETURN_IF_ERROR(ReadMap(node, place, readers));
    return out->label_template == nullptr ? absl::OkStatus()
                                          : CheckLabelTemplate(*out->label_template, template_at);
  };
}

Reader Source(SourceChoice* out) {
  return [out](const YAML::Node& node, const Place& place) -> absl::Status {
    std::string text;
    WHEELPIT_RETURN_IF_ERROR(Text(&text)(node, place));
    if (text == "aggregator") {
      *out = SourceChoice::kAggregator;
    } else if (text == "prometheus") {
      *out = SourceChoice::kPrometheus;
    } else if (text == "auto" || text.empty()) {
      *out = SourceChoice::kAuto;
    } else {
      return ErrorAt(place,
                     absl::StrCat(GoQuote(text), ": must be auto, aggregator or prometheus"));
    }
    return absl::OkStatus();
  };
}

Reader Rules(std::vector<Rule>* out) {
  return [out](const YAML::Node& node, const Place& place) {
    return ReadList(node, place, [out](const YAML::Node& item, const Place& at) -> absl::Status {
      Rule rule;
      rule.id = absl::StrCat(at.path, " (line ", at.line, ")");
      std::string matches, as;
      Place name_at = at;
      const Readers name = {{"matches", Text(&matches)}, {"as", Text(&as)}};
      WHEELPIT_RETURN_IF_ERROR(ReadMap(item, at,
                                       {{"seriesQuery", Text(&rule.series_query)},
                                        {"seriesFilters", Filters(&rule.series_filters)},
                                        {"resources", Resources(&rule.resources, &rule.namespaced)},
                                        {"name",
                                         [&](const YAML::Node& n, const Place& p) {
                                           name_at = p;
                                           return ReadMap(n, p, name);
                                         }},
                                        {"metricsQuery", CompiledTemplate(&rule.metrics_query)},
                                        {"source", Source(&rule.source)}}));
      if (rule.series_query.empty()) return ErrorAt(at, "seriesQuery is missing");
      if (rule.metrics_query == nullptr) return ErrorAt(at, "metricsQuery is missing");
      absl::StatusOr<std::shared_ptr<const MetricNamer>> namer = MetricNamer::Create(matches, as);
      if (!namer.ok()) return ErrorAt({at.path, name_at.line}, namer.status().message());
      rule.namer = *std::move(namer);
      out->push_back(std::move(rule));
      return absl::OkStatus();
    });
  };
}

Reader OneResourceRule(std::optional<ResourceRule>* out) {
  return [out](const YAML::Node& node, const Place& place) -> absl::Status {
    ResourceRule rule;
    WHEELPIT_RETURN_IF_ERROR(ReadMap(node, place,
                                     {{"containerQuery", CompiledTemplate(&rule.container_query)},
                                      {"nodeQuery", CompiledTemplate(&rule.node_query)},
                                      {"resources", Resources(&rule.resources, nullptr)},
                                      {"containerLabel", Text(&rule.container_label)}}));
    if (rule.container_query == nullptr && rule.node_query == nullptr) return absl::OkStatus();
    if (rule.container_query == nullptr) return ErrorAt(place, "containerQuery is missing");
    if (rule.node_query == nullptr) return ErrorAt(place, "nodeQuery is missing");
    *out = std::move(rule);
    return absl::OkStatus();
  };
}

Reader Window(absl::Duration* out) {
  return [out](const YAML::Node& node, const Place& place) -> absl::Status {
    std::string text;
    WHEELPIT_RETURN_IF_ERROR(Text(&text)(node, place));
    absl::StatusOr<absl::Duration> window = ParsePrometheusDuration(text);
    if (!window.ok()) return ErrorAt(place, window.status().message());
    *out = *window;
    return absl::OkStatus();
  };
}

absl::StatusOr<RuleSet> Read(const YAML::Node& root) {
  RuleSet set;
  const Place top = {"", root.Mark().line + 1};
  if (!root.IsDefined()) return set;
  WHEELPIT_RETURN_IF_ERROR(
      ReadMap(root, top,
              {{"rules", Rules(&set.rules)},
               {"externalRules", Rules(&set.external_rules)},
               {"resourceRules", [&](const YAML::Node& node, const Place& place) {
                  if (node.IsNull()) return absl::OkStatus();
                  ResourceRules& rules = set.resource_rules.emplace();
                  return ReadMap(node, place,
                                 {{"cpu", OneResourceRule(&rules.cpu)},
                                  {"memory", OneResourceRule(&rules.memory)},
                                  {"window", Window(&rules.window)}});
                }}}));
  return set;
}

}  // namespace

std::optional<std::string> Rule::MetricName(absl::string_view series_name) const {
  for (const SeriesFilter& filter : series_filters) {
    const bool matches =
        RE2::PartialMatch(re2::StringPiece(series_name.data(), series_name.size()), *filter.regex);
    if (matches == filter.negated) return std::nullopt;
  }
  return namer->Convert(series_name);
}

absl::StatusOr<absl::Duration> ParsePrometheusDuration(absl::string_view text) {
  const auto invalid = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("not a valid duration string: ", GoQuote(text), "; such as 5m, 1h30m, 15s"));
  };
  if (text == "0") return absl::ZeroDuration();
  static constexpr std::pair<absl::string_view, int64_t> kUnitMs[] = {
      {"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000},
      {"m", 60000},       {"s", 1000},      {"ms", 1}};
  absl::Duration total;
  size_t smallest = 0;
  absl::string_view rest = text;
  if (rest.empty()) return invalid();
  while (!rest.empty()) {
    int64_t number = 0;
    size_t digits = 0;
    for (; digits < rest.size() && absl::ascii_isdigit(static_cast<unsigned char>(rest[digits]));
         ++digits) {
      if (digits > 12) return invalid();
      number = number * 10 + (rest[digits] - '0');
    }
    size_t end = digits;
    while (end < rest.size() && absl::ascii_isalpha(static_cast<unsigned char>(rest[end]))) ++end;
    const absl::string_view unit = rest.substr(digits, end - digits);
    // Each unit at most once, from the largest to the smallest.
    size_t which = smallest;
    while (which < std::size(kUnitMs) && kUnitMs[which].first != unit) ++which;
    if (digits == 0 || which == std::size(kUnitMs)) return invalid();
    total += absl::Milliseconds(kUnitMs[which].second) * number;
    smallest = which + 1;
    rest.remove_prefix(end);
  }
  return total;
}

absl::StatusOr<RuleSet> ParseRuleConfig(absl::string_view yaml) {
  // yaml-cpp throws: boxed here.
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(yaml));
    if (documents.size() > 1) return absl::InvalidArgumentError("more than one YAML document");
    return documents.empty() ? RuleSet{} : Read(documents[0]);
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("line ", e.mark.line + 1, ": ", e.msg));
  }
}

}  // namespace wheelpit::adapter
