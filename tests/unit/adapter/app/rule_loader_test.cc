#include "adapter/app/rule_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "adapter/http/own_metrics_text.h"
#include "tests/support/fake_metric_source.h"
#include "tests/support/temp_folder.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kSuccessful[] = "wheelpit_adapter_config_last_reload_successful ";

class RuleLoaderTest : public ::testing::Test {
 protected:
  RuleLoaderTest() {
    options_.file = folder_.path() + "/config.yaml";
    options_.builtin_rules = false;
    for (const char* name : {"a", "b"}) source_.SetSeries(name, {{{"__name__", name}}});
  }
  void Write(absl::string_view yaml) { std::ofstream(options_.file) << yaml; }
  static std::string RuleOf(absl::string_view series, absl::string_view more = "") {
    return absl::StrCat("externalRules:\n- {seriesQuery: ", series, ", metricsQuery: x", more,
                        "}\n");
  }
  void Start() {
    loader_ = std::make_unique<RuleLoader>(options_, &metrics_, &clock_);
    auto rules = loader_->Load();
    ASSERT_TRUE(rules.ok()) << rules.status();
    registry_ = *Registry::Create({&source_, nullptr}, *std::move(rules), {});
    registry_->Tick(Now());
  }
  // As the server does it, often enough for any change.
  void Look() {
    for (int i = 0; i < 3; ++i) loader_->Look(registry_.get());
    registry_->Tick(Now());
  }
  absl::Time Now() const { return clock_.WallNow(); }
  std::string Metrics() const { return OwnMetricsText(metrics_, "wheelpit_adapter_"); }

  TempFolder folder_;
  RuleLoaderOptions options_;
  SystemClock clock_;
  MetricRegistry metrics_;
  FakeMetricSource source_;
  std::unique_ptr<RuleLoader> loader_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RuleLoaderTest, AChangedFileTakesThePlaceOfTheOldOne) {
  Write(RuleOf("a"));
  Start();
  EXPECT_THAT(registry_->Metrics(), ElementsAre("a"));
  const auto found = registry_->Find("a", Now());
  ASSERT_TRUE(found.ok());
  Write(RuleOf("b"));
  Look();
  EXPECT_THAT(registry_->Metrics(), ElementsAre("b"));
  EXPECT_TRUE(absl::IsNotFound(registry_->Find("a", Now()).status()));
  EXPECT_EQ(found->rule->series_query, "a") << "whoever found it may still use it";
}

TEST_F(RuleLoaderTest, WhatStaysIsNeverMissing) {
  Write(RuleOf("a"));
  Start();
  source_.SetSeriesError("a", absl::UnavailableError("away"));
  Write(absl::StrCat(RuleOf("a"), "- {seriesQuery: b, metricsQuery: y}\n"));
  Look();
  EXPECT_THAT(registry_->Metrics(), ElementsAre("a", "b"));
}

TEST_F(RuleLoaderTest, AWrongFileChangesNothingAndIsToldOf) {
  Write(RuleOf("a"));
  Start();
  EXPECT_THAT(Metrics(), HasSubstr(absl::StrCat(kSuccessful, "1\n")));
  for (const std::string& wrong :
       {std::string("externalRules: 7\n"), RuleOf("b", ", nmae: {}"), RuleOf("b", ", name: {matches: '('}"),
        RuleOf("b", ", source: prometheus"), std::string(2 << 20, '#')}) {
    Write(wrong);
    Look();
    EXPECT_THAT(registry_->Metrics(), ElementsAre("a")) << wrong.substr(0, 80);
    EXPECT_THAT(Metrics(), HasSubstr(absl::StrCat(kSuccessful, "0\n"))) << wrong.substr(0, 80);
  }
  std::filesystem::remove(options_.file);
  Look();
  EXPECT_THAT(registry_->Metrics(), ElementsAre("a"));
  EXPECT_THAT(Metrics(), HasSubstr(absl::StrCat(kSuccessful, "0\n")));
  Write(RuleOf("b"));
  Look();
  EXPECT_THAT(registry_->Metrics(), ElementsAre("b"));
  EXPECT_THAT(Metrics(), HasSubstr(absl::StrCat(kSuccessful, "1\n")));
}

TEST_F(RuleLoaderTest, AConfigMapIsSwappedByItsLink) {
  namespace fs = std::filesystem;
  for (const char* version : {"1", "2"}) {
    fs::create_directory(absl::StrCat(folder_.path(), "/..", version));
    std::ofstream(absl::StrCat(folder_.path(), "/..", version, "/config.yaml"))
        << RuleOf(*version == '1' ? "a" : "b");
  }
  const std::string data = folder_.path() + "/..data";
  fs::create_directory_symlink("..1", data);
  fs::create_symlink("..data/config.yaml", options_.file);
  Start();
  EXPECT_THAT(registry_->Metrics(), ElementsAre("a"));
  fs::create_directory_symlink("..2", data + "_tmp");
  fs::rename(data + "_tmp", data);
  Look();
  EXPECT_THAT(registry_->Metrics(), ElementsAre("b"));
}

TEST_F(RuleLoaderTest, AFileThatIsBeingWrittenIsWaitedFor) {
  Write(RuleOf("a"));
  Start();
  Write("");
  loader_->Look(registry_.get());
  Write(RuleOf("b"));
  loader_->Look(registry_.get());
  registry_->Tick(Now() + absl::Hours(1));
  EXPECT_THAT(registry_->Metrics(), ElementsAre("a"));
  loader_->Look(registry_.get());
  registry_->Tick(Now() + absl::Hours(1));
  EXPECT_THAT(registry_->Metrics(), ElementsAre("b"));
}

TEST_F(RuleLoaderTest, AFileIsCheckedWithoutAnAdapter) {
  Write(absl::StrCat(RuleOf("a"), "rules: []\nresourceRules: {}\n"));
  EXPECT_EQ(*CheckRuleFile(options_.file),
            absl::StrCat(options_.file,
                         ": good; external rules: 1; resourceRules, which are not served"));
  Write(RuleOf("a", ", nmae: x"));
  EXPECT_THAT(std::string(CheckRuleFile(options_.file).status().message()),
              HasSubstr("config.yaml: line 2: externalRules[0]: unknown key \"nmae\""));
  EXPECT_FALSE(CheckRuleFile(options_.file + "x").ok());
}

TEST_F(RuleLoaderTest, StrictRulesNeedALabelForNamespaces) {
  Write(RuleOf("a"));
  options_.strict_compat = true;
  Start();
  EXPECT_FALSE(registry_->Find("a", Now())->rule->resources.namespace_by_default);
}

}  // namespace
}  // namespace wheelpit::adapter
