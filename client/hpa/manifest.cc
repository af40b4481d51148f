#include "client/hpa/manifest.h"

#include <yaml-cpp/yaml.h>

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit::hpa {
namespace {

absl::Status Bad(absl::string_view field, absl::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", absl::StrCat(field, ": ", what));
}

absl::StatusOr<std::string> Text(const YAML::Node& node, const std::string& field) {
  if (!node || !node.IsScalar()) return Bad(field, "required");
  return node.Scalar();
}

absl::StatusOr<int32_t> Int(const YAML::Node& node, const std::string& field, int32_t min, int32_t max) {
  int32_t v = 0;
  if (!node || !node.IsScalar() || !YAML::convert<int32_t>::decode(node, v)) return Bad(field, "must be an integer");
  if (v < min || v > max) return Bad(field, absl::StrCat("must be ", min, "..", max, ", is ", v));
  return v;
}

absl::Status OnlyKeys(const YAML::Node& node, const std::string& field, std::vector<std::string> known) {
  if (!node.IsMap()) return Bad(field, "must be a map");
  for (const auto& entry : node) {
    const std::string key = entry.first.Scalar();
    bool found = false;
    for (const std::string& k : known) found |= k == key;
    if (!found) return Bad(absl::StrCat(field, ".", Quoted(key)), absl::StrCat("unknown; known are ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

// A LabelSelector as the controller sends it: requirements sorted by key.
absl::StatusOr<std::string> Selector(const YAML::Node& node, const std::string& field) {
  if (!node) return std::string();
  WHEELPIT_RETURN_IF_ERROR(OnlyKeys(node, field, {"matchLabels", "matchExpressions"}));
  std::multimap<std::string, std::string> parts;
  for (const auto& entry : node["matchLabels"] ? node["matchLabels"] : YAML::Node(YAML::NodeType::Map)) {
    parts.emplace(entry.first.Scalar(), absl::StrCat(entry.first.Scalar(), "=", entry.second.Scalar()));
  }
  for (const auto& e : node["matchExpressions"] ? node["matchExpressions"] : YAML::Node(YAML::NodeType::Sequence)) {
    WHEELPIT_ASSIGN_OR_RETURN(const std::string key, Text(e["key"], field + ".matchExpressions.key"));
    WHEELPIT_ASSIGN_OR_RETURN(const std::string op, Text(e["operator"], field + ".matchExpressions.operator"));
    std::vector<std::string> values;
    for (const auto& v : e["values"] ? e["values"] : YAML::Node(YAML::NodeType::Sequence)) values.push_back(v.Scalar());
    std::sort(values.begin(), values.end());
    if (op == "In" || op == "NotIn") {
      if (values.empty()) return Bad(field, absl::StrCat("operator ", op, " needs values"));
      parts.emplace(key, absl::StrCat(key, op == "In" ? " in (" : " notin (", absl::StrJoin(values, ","), ")"));
    } else if (op == "Exists" || op == "DoesNotExist") {
      parts.emplace(key, absl::StrCat(op == "Exists" ? "" : "!", key));
    } else {
      return Bad(field, "operator must be In, NotIn, Exists or DoesNotExist");
    }
  }
  std::vector<std::string> texts;
  for (const auto& [key, text] : parts) texts.push_back(text);
  return absl::StrJoin(texts, ",");
}

absl::StatusOr<MetricSpec> Metric(const YAML::Node& node, const std::string& field) {
  WHEELPIT_ASSIGN_OR_RETURN(const std::string type, Text(node["type"], field + ".type"));
  MetricSpec metric;
  YAML::Node source;
  if (type == "External") {
    metric.source = SourceType::kExternal;
    source = node["external"];
  } else if (type == "Object") {
    metric.source = SourceType::kObject;
    source = node["object"];
  } else if (type == "Pods") {
    metric.source = SourceType::kPods;
    source = node["pods"];
  } else {
    return Bad(field + ".type", absl::StrCat(Quoted(type), " is not offered; External, Object and Pods are"));
  }
  if (!source) return Bad(field, absl::StrCat("type ", type, " without its block"));
  if (!source["metric"]) return Bad(field + ".metric", "required");
  WHEELPIT_ASSIGN_OR_RETURN(metric.name, Text(source["metric"]["name"], field + ".metric.name"));
  WHEELPIT_ASSIGN_OR_RETURN(metric.selector, Selector(source["metric"]["selector"], field + ".metric.selector"));
  const YAML::Node target = source["target"];
  if (!target) return Bad(field + ".target", "required");
  WHEELPIT_ASSIGN_OR_RETURN(const std::string target_type, Text(target["type"], field + ".target.type"));
  std::string key;
  if (target_type == "AverageValue") {
    metric.target_type = TargetType::kAverageValue;
    key = "averageValue";
  } else if (target_type == "Value" && metric.source != SourceType::kPods) {
    metric.target_type = TargetType::kValue;
    key = "value";
  } else {
    return Bad(field + ".target.type", metric.source == SourceType::kPods ? "must be AverageValue" : "must be AverageValue or Value");
  }
  WHEELPIT_ASSIGN_OR_RETURN(const std::string value, Text(target[key], absl::StrCat(field, ".target.", key)));
  WHEELPIT_ASSIGN_OR_RETURN(metric.target_milli, ParseQuantityMilli(value));
  if (metric.target_milli <= 0) return Bad(absl::StrCat(field, ".target.", key), "must be positive");
  return metric;
}

absl::StatusOr<ScalingRules> Rules(const YAML::Node& node, const std::string& field, ScalingRules rules) {
  if (!node || node.IsNull()) return rules;
  WHEELPIT_RETURN_IF_ERROR(OnlyKeys(node, field, {"stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"}));
  if (node["stabilizationWindowSeconds"]) {
    WHEELPIT_ASSIGN_OR_RETURN(rules.stabilization_seconds,
                              Int(node["stabilizationWindowSeconds"], field + ".stabilizationWindowSeconds", 0, 3600));
  }
  if (node["selectPolicy"]) {
    const std::string select = node["selectPolicy"].Scalar();
    if (select == "Max") {
      rules.select = SelectPolicy::kMax;
    } else if (select == "Min") {
      rules.select = SelectPolicy::kMin;
    } else if (select == "Disabled") {
      rules.select = SelectPolicy::kDisabled;
    } else {
      return Bad(field + ".selectPolicy", "must be Max, Min or Disabled");
    }
  }
  if (node["tolerance"]) {
    WHEELPIT_ASSIGN_OR_RETURN(const int64_t milli, ParseQuantityMilli(node["tolerance"].Scalar()));
    if (milli < 0) return Bad(field + ".tolerance", "must not be negative");
    rules.tolerance = static_cast<double>(milli) / 1000.0;
  }
  if (node["policies"]) {
    rules.policies.clear();
    for (const auto& p : node["policies"]) {
      ScalingPolicy policy;
      WHEELPIT_ASSIGN_OR_RETURN(const std::string type, Text(p["type"], field + ".policies.type"));
      if (type != "Pods" && type != "Percent") return Bad(field + ".policies.type", "must be Pods or Percent");
      policy.type = type == "Pods" ? PolicyType::kPods : PolicyType::kPercent;
      WHEELPIT_ASSIGN_OR_RETURN(policy.value, Int(p["value"], field + ".policies.value", 1, 2147483647));
      WHEELPIT_ASSIGN_OR_RETURN(policy.period_seconds, Int(p["periodSeconds"], field + ".policies.periodSeconds", 1, 1800));
      rules.policies.push_back(policy);
    }
    if (rules.policies.empty()) return Bad(field + ".policies", "must hold at least one policy");
  }
  return rules;
}

absl::StatusOr<Spec> ParseOne(const YAML::Node& doc) {
  WHEELPIT_ASSIGN_OR_RETURN(const std::string version, Text(doc["apiVersion"], "apiVersion"));
  if (version != "autoscaling/v2") return Bad("apiVersion", absl::StrCat("must be autoscaling/v2, is ", Quoted(version)));
  Spec spec;
  if (!doc["metadata"] || !doc["metadata"].IsMap()) return Bad("metadata", "required");
  WHEELPIT_ASSIGN_OR_RETURN(spec.name, Text(doc["metadata"]["name"], "metadata.name"));
  if (doc["metadata"]["namespace"]) spec.namespace_name = doc["metadata"]["namespace"].Scalar();
  const YAML::Node s = doc["spec"];
  if (!s) return Bad("spec", "required");
  WHEELPIT_RETURN_IF_ERROR(OnlyKeys(s, "spec", {"scaleTargetRef", "minReplicas", "maxReplicas", "metrics", "behavior"}));
  if (!s["scaleTargetRef"]) return Bad("spec.scaleTargetRef", "required");
  WHEELPIT_ASSIGN_OR_RETURN(spec.target_kind, Text(s["scaleTargetRef"]["kind"], "spec.scaleTargetRef.kind"));
  WHEELPIT_ASSIGN_OR_RETURN(spec.target_name, Text(s["scaleTargetRef"]["name"], "spec.scaleTargetRef.name"));
  if (s["minReplicas"]) {
    WHEELPIT_ASSIGN_OR_RETURN(spec.min_replicas, Int(s["minReplicas"], "spec.minReplicas", 0, 2147483647));
  }
  WHEELPIT_ASSIGN_OR_RETURN(spec.max_replicas, Int(s["maxReplicas"], "spec.maxReplicas", 1, 2147483647));
  if (spec.max_replicas < spec.min_replicas) return Bad("spec.maxReplicas", "must not be below minReplicas");
  if (!s["metrics"] || !s["metrics"].IsSequence() || s["metrics"].size() == 0) {
    return Bad("spec.metrics", "required here: without it Kubernetes scales on processor use, which is not measured");
  }
  for (size_t i = 0; i < s["metrics"].size(); ++i) {
    WHEELPIT_ASSIGN_OR_RETURN(MetricSpec metric, Metric(s["metrics"][i], absl::StrCat("spec.metrics[", i, "]")));
    spec.metrics.push_back(std::move(metric));
  }
  if (s["behavior"]) {
    const YAML::Node b = s["behavior"];
    if (!b.IsNull()) WHEELPIT_RETURN_IF_ERROR(OnlyKeys(b, "spec.behavior", {"scaleUp", "scaleDown"}));
    Behavior behavior;
    WHEELPIT_ASSIGN_OR_RETURN(behavior.up, Rules(b.IsMap() ? b["scaleUp"] : YAML::Node(), "spec.behavior.scaleUp", DefaultScaleUpRules()));
    WHEELPIT_ASSIGN_OR_RETURN(behavior.down,
                              Rules(b.IsMap() ? b["scaleDown"] : YAML::Node(), "spec.behavior.scaleDown", DefaultScaleDownRules()));
    spec.behavior = std::move(behavior);
  }
  return spec;
}

}  // namespace

absl::StatusOr<Spec> ParseManifest(absl::string_view yaml) {
  try {
    for (const YAML::Node& doc : YAML::LoadAll(std::string(yaml))) {
      if (doc.IsMap() && doc["kind"] && doc["kind"].IsScalar() && doc["kind"].Scalar() == "HorizontalPodAutoscaler") {
        return ParseOne(doc);
      }
    }
  } catch (const YAML::Exception& e) {  // yaml-cpp reports by exception
    return Bad("manifest", Quoted(e.what()));
  }
  return Bad("manifest", "holds no document of kind HorizontalPodAutoscaler");
}

}  // namespace wheelpit::hpa
