#include "adapter/naming/selector.h"

#include <gtest/gtest.h>

#include "absl/strings/str_join.h"

namespace wheelpit::adapter {
namespace {

std::string MatchersOf(absl::string_view text) {
  const auto requirements = ParseSelector(text);
  if (!requirements.ok()) return std::string(requirements.status().message());
  const auto matchers = SelectorMatchers(*requirements);
  if (!matchers.ok()) return std::string(matchers.status().message());
  return absl::StrJoin(*matchers, ",",
                       [](std::string* out, const Matcher& m) { out->append(m.text); });
}

TEST(SelectorTest, BecomesMatchers) {
  const struct {
    const char *selector, *matchers;
  } kCases[] = {
      {"", ""},
      {"queue=work", "queue=\"work\""},
      {"queue==work", "queue=\"work\""},
      {"queue!=work", "queue!=\"work\""},
      {" queue = work ", "queue=\"work\""},
      {"queue in (b,a,b)", "queue=~\"a|b\""},
      {"queue in (a)", "queue=~\"a\""},
      {"queue notin (b, a)", "queue!~\"a|b\""},
      {"queue", "queue!=\"\""},
      {"!queue", "queue=\"\""},
      // Sorted by key, whatever the order was.
      {"z=1,!b,a in (x)", "a=~\"x\",b=\"\",z=\"1\""},
      {"a=", "a=\"\""},
      {"a=,b=1", "a=\"\",b=\"1\""},
      {"a in (,x)", "a=~\"|x\""},
      {"a in (x,)", "a=~\"|x\""},
      {"a in (x,,y)", "a=~\"|x|y\""},
      // in and notin are words where a value may stand.
      {"a=in,notin=b", "a=\"in\",notin=\"b\""},
      {"example.com/app=x", "example.com/app=\"x\""},
      {"a>1", "label selector a>1: PromQL has no such matcher; use =, !=, in or notin"},
      {"a<5", "label selector a<5: PromQL has no such matcher; use =, !=, in or notin"},
  };
  for (const auto& c : kCases) EXPECT_EQ(MatchersOf(c.selector), c.matchers) << c.selector;
}

TEST(SelectorTest, RefusesInKubernetesWords) {
  const std::string value_error =
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
      "'.', and must start and end with an "
      "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
      "validation is "
      "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
  const std::string name_error =
      "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
      "alphanumeric character (e.g. "
      "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
      "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
  const struct {
    std::string selector, message;
  } kCases[] = {
      {"a=b c", "found 'c', expected: ',' or 'end of string'"},
      {"a=x/y",
       "unable to parse requirement: values[0][a]: Invalid value: \"x/y\": " + value_error},
      {"a in (ok,x/y)",
       "unable to parse requirement: values[1][a]: Invalid value: \"x/y\": " + value_error},
      {",", "found ',', expected: !, identifier, or 'end of string'"},
      {"a,", "found '', expected: identifier after ','"},
      {"a,=", "found '=', expected: identifier after ','"},
      {"!", "unable to parse requirement: found '', expected: identifier"},
      {"!a=b", "found '=', expected: ',' or 'end of string'"},
      {"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
      {"a in b", "unable to parse requirement: found 'b' expected: '('"},
      {"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
      {"a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"},
      {"a in ()",
       "unable to parse requirement: values: Invalid value: []string{}: for 'in', 'notin' "
       "operators, values set can't be empty"},
      {"a==!b", "unable to parse requirement: found '!', expected: identifier"},
      {"a>x",
       "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, "
       "the value must be an integer"},
      {"-a=b",
       "unable to parse requirement: <nil>: Invalid value: \"-a\": name part " + name_error},
      {"/a=b",
       "unable to parse requirement: <nil>: Invalid value: \"/a\": prefix part must be non-empty"},
      {"a=" + std::string(64, 'x'), "unable to parse requirement: values[0][a]: Invalid value: \"" +
                                        std::string(64, 'x') +
                                        "\": must be no more than 63 characters"},
  };
  for (const auto& c : kCases) EXPECT_EQ(MatchersOf(c.selector), c.message) << c.selector;
}

TEST(SelectorTest, KeepsKeysApartAndValuesSorted) {
  const auto requirements = ParseSelector("b notin (z,y),a!=1,c");
  ASSERT_TRUE(requirements.ok());
  const std::vector<Requirement> want = {{"a", SelectorOperator::kNotEquals, {"1"}},
                                         {"b", SelectorOperator::kNotIn, {"y", "z"}},
                                         {"c", SelectorOperator::kExists, {}}};
  EXPECT_EQ(*requirements, want);
}

TEST(SelectorTest, EqualsMatcherQuotesItsValue) {
  EXPECT_EQ(EqualsMatcher("namespace", "a\"b").text, "namespace=\"a\\\"b\"");
}

}  // namespace
}  // namespace wheelpit::adapter
