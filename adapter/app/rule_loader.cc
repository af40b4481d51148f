#include "adapter/app/rule_loader.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapter/rules/builtin.h"
#include "adapter/rules/rule_config.h"
#include "base/log.h"
#include "base/small_file.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

// What tells one state of the file from another.
std::string Seen(const absl::StatusOr<std::string>& text) {
  return text.ok() ? absl::StrCat("text ", *text) : absl::StrCat("error ", text.status().message());
}

}  // namespace

absl::StatusOr<std::string> CheckRuleFile(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  const absl::StatusOr<RuleSet> file = ParseRuleConfig(*text);
  if (!file.ok())
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", file.status().message()));
  std::string out =
      absl::StrCat(path, ": good; external rules: ", file->external_rules.size());
  if (!file->rules.empty())
    absl::StrAppend(&out, "; rules, which are not served: ", file->rules.size());
  if (file->resource_rules.has_value()) absl::StrAppend(&out, "; resourceRules, which are not served");
  return out;
}

RuleLoader::RuleLoader(RuleLoaderOptions options, MetricRegistry* metrics, const Clock* clock)
    : options_(std::move(options)),
      clock_(clock),
      successful_(metrics->AddGauge("wheelpit_adapter_config_last_reload_successful",
                                    "1 if the rule file was good when it last changed, 0 if the "
                                    "rules before it stay in use.")),
      succeeded_at_(metrics->AddGauge(
          "wheelpit_adapter_config_last_reload_success_timestamp_seconds",
          "When the rules in use were read, Unix time.")) {}

absl::StatusOr<std::vector<Rule>> RuleLoader::Parse(
    const absl::StatusOr<std::string>& text) const {
  std::vector<Rule> rules;
  if (options_.builtin_rules) rules = BuiltinExternalRules(options_.gateway_counters);
  if (options_.file.empty()) return rules;
  if (!text.ok())
    return absl::InvalidArgumentError(absl::StrCat("adapter rules: ", text.status().message()));
  absl::StatusOr<RuleSet> file = ParseRuleConfig(*text);
  if (!file.ok())
    return absl::InvalidArgumentError(absl::StrCat(options_.file, ": ", file.status().message()));
  if (!file->rules.empty() || file->resource_rules.has_value()) {
    Log(LogLevel::kWarning, "adapter_rules_not_served",
        {{"file", options_.file},
         {"rules", absl::StrCat(file->rules.size())},
         {"why", "only external rules are served"}});
  }
  for (Rule& rule : file->external_rules)
    rule.resources.namespace_by_default = !options_.strict_compat;
  // The file's rules come last and so win.
  std::move(file->external_rules.begin(), file->external_rules.end(), std::back_inserter(rules));
  return rules;
}

absl::StatusOr<std::vector<Rule>> RuleLoader::Load() {
  const absl::StatusOr<std::string> text =
      options_.file.empty() ? std::string() : ReadSmallFile(options_.file);
  taken_ = seen_ = Seen(text);
  absl::StatusOr<std::vector<Rule>> rules = Parse(text);
  Judge(rules.status());
  return rules;
}

void RuleLoader::Look(Registry* registry) {
  if (options_.file.empty()) return;
  const absl::StatusOr<std::string> text = ReadSmallFile(options_.file);
  std::string now = Seen(text);
  const bool settled = now == seen_;
  seen_ = std::move(now);
  if (!settled || seen_ == taken_) return;
  taken_ = seen_;
  absl::StatusOr<std::vector<Rule>> rules = Parse(text);
  absl::Status status = rules.status();
  if (rules.ok()) {
    status = registry->SetRules(*std::move(rules));
    if (!status.ok())
      status = absl::InvalidArgumentError(absl::StrCat(options_.file, ": ", status.message()));
  }
  Judge(status);
  if (status.ok()) {
    Log(LogLevel::kInfo, "adapter_rules_changed", {{"file", options_.file}});
  } else {
    Log(LogLevel::kError, "adapter_rules_refused",
        {{"error", std::string(status.message())}, {"in_use", "the rules before it"}});
  }
}

void RuleLoader::Judge(const absl::Status& status) {
  successful_->Set(status.ok() ? 1 : 0);
  if (status.ok()) succeeded_at_->Set(absl::ToDoubleSeconds(clock_->WallNow() - absl::UnixEpoch()));
}

}  // namespace wheelpit::adapter
