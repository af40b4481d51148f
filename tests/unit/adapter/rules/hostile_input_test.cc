// Whatever bytes come, the parsers answer with a value or a message, and what they take they can
// use.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "adapter/naming/selector.h"
#include "adapter/rules/query.h"
#include "adapter/rules/rule_config.h"
#include "adapter/rules/template.h"
#include "base/random.h"

namespace wheelpit::adapter {
namespace {

// Strings put together from pieces of the grammar, some of them cut or with a byte flipped.
std::string Mix(Rng* rng, const std::vector<std::string>& pieces) {
  std::string text;
  for (uint64_t n = rng->Below(12); n > 0; --n) text += pieces[rng->Below(pieces.size())];
  if (!text.empty() && rng->Chance(0.2)) text.resize(rng->Below(text.size()));
  if (!text.empty() && rng->Chance(0.2))
    text[rng->Below(text.size())] = static_cast<char>(rng->Below(256));
  return text;
}

TEST(HostileInputTest, SelectorsEitherParseOrSayWhy) {
  const std::vector<std::string> pieces = {
      "a",     "b/c", " ", ",", "=", "==", "!=",  "!",  "in",
      "notin", "(",   ")", ">", "<", "1",  "x.y", "\n", std::string(70, 'z')};
  int parsed = 0;
  Rng rng(1);
  for (int i = 0; i < 20000; ++i) {
    const std::string text = Mix(&rng, pieces);
    const auto requirements = ParseSelector(text);
    if (!requirements.ok()) {
      EXPECT_FALSE(requirements.status().message().empty()) << text;
      continue;
    }
    ++parsed;
    // Sorted, and every matcher is one.
    for (size_t n = 1; n < requirements->size(); ++n)
      EXPECT_LE((*requirements)[n - 1].key, (*requirements)[n].key);
    const auto matchers = SelectorMatchers(*requirements);
    if (matchers.ok()) {
      EXPECT_EQ(matchers->size(), requirements->size());
    }
  }
  EXPECT_GT(parsed, 500);
}

TEST(HostileInputTest, TemplatesEitherRenderOrSayWhy) {
  const std::vector<std::string> pieces = {
      "<<",     ">>",         "<<- ",   " ->>",    ".Series",  ".LabelValuesByName",
      ".x",     "$",          "$v",     ":=",      "=",        "|",
      "(",      ")",          " ",      "if ",     "else",     "<<end>>",
      "range ", "with ",      "index ", "printf ", "\"%s%d\"", "`r`",
      "'c'",    "12",         "-1.5e3", "len ",    "slice ",   "eq ",
      "/*",     "*/",         ",",      "\n",      "text",     "break",
      "nil",    "<<.Series>>"};
  TemplateValue::Struct data;
  data.emplace("Series", TemplateValue(std::string("jobs")));
  data.emplace("LabelValuesByName", TemplateValue(TemplateValue::Map{{"a", "b"}}));
  const TemplateValue dot(std::move(data));
  int rendered = 0;
  Rng rng(2);
  for (int i = 0; i < 20000; ++i) {
    const auto parsed = Template::Parse(Mix(&rng, pieces));
    if (parsed.ok() && (*parsed)->Render(dot).ok()) ++rendered;
  }
  EXPECT_GT(rendered, 500);
}

TEST(HostileInputTest, RuleFilesEitherLoadOrNameALine) {
  const std::vector<std::string> pieces = {"externalRules:\n",
                                           "rules:\n",
                                           "- ",
                                           "  ",
                                           "seriesQuery: a\n",
                                           "  metricsQuery: b\n",
                                           "name: ",
                                           "{as: x}",
                                           "{",
                                           "}",
                                           "[",
                                           "]",
                                           ": ",
                                           "\n",
                                           "resources:\n",
                                           "&x ",
                                           "*x",
                                           "'",
                                           "\"",
                                           "resourceRules: {}\n",
                                           "? ",
                                           "!!int ",
                                           "|\n"};
  int loaded = 0;
  Rng rng(3);
  for (int i = 0; i < 5000; ++i) {
    const auto set = ParseRuleConfig(Mix(&rng, pieces));
    loaded += set.ok() ? 1 : 0;
    if (!set.ok()) {
      EXPECT_FALSE(set.status().message().empty());
    }
  }
  EXPECT_GT(loaded, 50);
}

}  // namespace
}  // namespace wheelpit::adapter
