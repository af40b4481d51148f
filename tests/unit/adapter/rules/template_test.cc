#include "adapter/rules/template.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace wheelpit::adapter {
namespace {

TemplateValue Data() {
  TemplateValue::List groups = {TemplateValue(std::string("pod")),
                                TemplateValue(std::string("container"))};
  TemplateValue::Struct data;
  data.emplace("Series", TemplateValue(std::string("jobs_total")));
  data.emplace("LabelMatchers", TemplateValue(std::string("queue=\"a\"")));
  data.emplace("LabelValuesByName",
               TemplateValue(TemplateValue::Map{{"queue", "a|b"}, {"namespace", "shop"}}));
  data.emplace("GroupBy", TemplateValue(std::string("pod,container")));
  data.emplace("GroupBySlice", TemplateValue(std::move(groups)));
  return TemplateValue(std::move(data));
}

std::string Render(absl::string_view text) {
  const auto parsed = Template::Parse(text);
  if (!parsed.ok()) return absl::StrCat("parse: ", parsed.status().message());
  const auto out = (*parsed)->Render(Data());
  return out.ok() ? *out : absl::StrCat("render: ", out.status().message());
}

struct Case {
  const char *text, *out;
};

TEST(TemplateTest, RendersFieldsAndText) {
  const Case kCases[] = {
      {"sum(<<.Series>>{<<.LabelMatchers>>})", "sum(jobs_total{queue=\"a\"})"},
      {"a < b > c <<- .Series ->> d", "a < b > cjobs_totald"},
      {"a\n  <<- 1 >>\n b", "a1\n b"},
      {"x <</* a comment */>> y", "x  y"},
      {"x <<- /* trims */ ->> y", "xy"},
      {"<<.GroupBySlice>>", "[pod container]"},
      {"<<.LabelValuesByName>>", "map[namespace:shop queue:a|b]"},
      {"<<.LabelValuesByName.queue>>", "a|b"},
      {"<<.LabelValuesByName.missing>>", "<no value>"},
      {"<<index .LabelValuesByName \"missing\">>.", "."},
      {"<<index .LabelValuesByName \"queue\">>", "a|b"},
      {"<<index .GroupBySlice 1>>", "container"},
      {"<<$.Series>>", "jobs_total"},
      {"", ""},
      {"<<\"a\\tb\\x41\">><<`raw\\n`>>", "a\tbAraw\\n"},
      {"<<'a'>> <<0x10>> <<1.50>> <<-3>> <<1e21>> <<true>>", "97 16 1.5 -3 1e+21 true"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Render(c.text), c.out) << c.text;
}

TEST(TemplateTest, BranchesAndLoops) {
  const Case kCases[] = {
      {"<<if .Series>>y<<else>>n<<end>>", "y"},
      {"<<if .LabelValuesByName.missing>>y<<else>>n<<end>>", "n"},
      {"<<if false>>a<<else if eq .Series \"jobs_total\">>b<<else>>c<<end>>", "b"},
      {"<<if eq .Series \"x\" \"jobs_total\">>y<<end>>", "y"},
      {"<<range .GroupBySlice>>(<<.>>)<<end>>", "(pod)(container)"},
      {"<<range $i, $v := .GroupBySlice>><<if $i>>,<<end>><<$v>><<end>>", "pod,container"},
      // Maps go in key order.
      {"<<range $k, $v := .LabelValuesByName>><<$k>>=<<$v>>;<<end>>", "namespace=shop;queue=a|b;"},
      {"<<range $v := .GroupBySlice>><<$v>> <<end>>", "pod container "},
      {"<<range slice .GroupBySlice 0 0>>x<<else>>none<<end>>", "none"},
      {"<<range .GroupBySlice>><<if eq . \"container\">><<break>><<end>><<.>><<end>>", "pod"},
      {"<<range .GroupBySlice>><<if eq . \"pod\">><<continue>><<end>><<.>><<end>>", "container"},
      {"<<with .LabelValuesByName>><<.namespace>><<end>>", "shop"},
      {"<<with .LabelValuesByName.missing>>a<<else>>b<<end>>", "b"},
      {"<<with $x := \"v\">><<.>><<$x>><<$.Series>><<end>>", "vvjobs_total"},
      {"<<$x := 1>><<if true>><<$x = 2>><<end>><<$x>>", "2"},
      {"<<$x := 1>><<if true>><<$x := 2>><<$x>><<end>><<$x>>", "21"},
      {"<<$n := \"\">><<range .GroupBySlice>><<$n = .>><<end>><<$n>>", "container"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Render(c.text), c.out) << c.text;
}

TEST(TemplateTest, CallsFunctions) {
  const Case kCases[] = {
      {"<<len .GroupBySlice>> <<len .LabelValuesByName>> <<len .Series>>", "2 2 10"},
      {"<<.Series | printf \"%s-%d\" \"a\" | len>>", "24"},
      {"<<printf \"%s %q %v %d %05d %x %.2f %t %%\" \"a\" \"b\" 1.5 7 42 255 1.0 true>>",
       "a \"b\" 1.5 7 00042 ff 1.00 true %"},
      {"<<printf \"%5s|%-5s|\" \"a\" \"b\">>", "    a|b    |"},
      {"<<printf \"%d\" \"x\">> <<printf \"%s\">> <<printf \"a\" 1>>",
       "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"},
      {"<<print 1 2 \"a\" \"b\" 3>>", "1 2ab3"},
      {"<<println 1 \"a\">>", "1 a\n"},
      {"<<and 1 0>> <<and 1 2>> <<or 0 \"x\">> <<or 0 \"\">>. <<not 0>>", "0 2 x . true"},
      // The rest is not looked at once it is decided.
      {"<<or 1 .Nothing>>", "1"},
      {"<<eq 1 1>> <<ne 1 2>> <<lt 1 2>> <<le 2 2>> <<gt 1 2>> <<ge \"b\" \"a\">>",
       "true true true true false true"},
      {"<<(len .GroupBySlice) | eq 2>>", "true"},
      {"<<slice .Series 0 4>> <<slice .GroupBySlice 1>>", "jobs [container]"},
      {"<<(index .GroupBySlice 0) | printf \"%s!\">>", "pod!"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Render(c.text), c.out) << c.text;
}

TEST(TemplateTest, RefusesAtParse) {
  const Case kCases[] = {
      {"<<join .GroupBySlice>>", "parse: template line 1: function \"join\" not defined"},
      {"a\n<<.Series", "parse: template line 2: unclosed action"},
      {"<<if .Series>>x", "parse: template line 1: {{if}} without {{end}}"},
      {"<<end>>", "parse: template line 1: unexpected {{end}}"},
      {"<<else>>", "parse: template line 1: unexpected {{else}}"},
      {"<<$x>>", "parse: template line 1: undefined variable \"$x\""},
      {"<<>>", "parse: template line 1: missing value for command"},
      {"<<(1>>", "parse: template line 1: unclosed left paren"},
      {"<<1 | 2>>", "parse: template line 1: non executable command in pipeline"},
      {"<<.Series 1>>", "parse: template line 1: can't give argument to non-function"},
      {"<<\"a>>", "parse: template line 1: unterminated quoted string"},
      {"<<break>>", "parse: template line 1: {{break}} outside {{range}}"},
      {"<</* x>>", "parse: template line 1: unclosed comment"},
      {"<<template \"x\">>", "parse: template line 1: {{template}} is not supported in rules"},
      {"<<1a>>", "parse: template line 1: bad number syntax: \"1a\""},
      {"<<nil>>", "parse: template line 1: nil is not a command"},
      {"<<.Series?>>", "parse: template line 1: unexpected \"?\" in action"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Render(c.text), c.out) << c.text;
}

TEST(TemplateTest, RefusesAtRender) {
  const Case kCases[] = {
      {"<<.Nothing>>",
       "render: template line 1: can't evaluate field Nothing in type the rule's data"},
      {"\n<<.Series.x>>", "render: template line 2: can't evaluate field x in type string"},
      {"<<eq 1 \"1\">>",
       "render: template line 1: error calling eq: incompatible types for comparison"},
      {"<<lt true false>>",
       "render: template line 1: error calling lt: invalid type for comparison"},
      {"<<index .GroupBySlice 5>>",
       "render: template line 1: error calling index: index out of range: 5"},
      {"<<len 3>>", "render: template line 1: error calling len: len of type int"},
      {"<<eq 1>>", "render: template line 1: wrong number of args for eq: want at least 2 got 1"},
      {"<<range .Series>><<end>>", "render: template line 1: range can't iterate over jobs_total"},
      {"<<slice .Series 4 2>>",
       "render: template line 1: error calling slice: invalid slice index: 4 > 2"},
  };
  for (const Case& c : kCases) EXPECT_EQ(Render(c.text), c.out) << c.text;
}

TEST(TemplateTest, BoundsNestingAndOutput) {
  std::string nested;
  for (int i = 0; i < 1000; ++i) nested += "(";
  EXPECT_EQ(Render("<<" + nested + "1>>"), "parse: template line 1: nests too deeply");
  std::string blocks;
  for (int i = 0; i < 1000; ++i) blocks += "<<if true>>";
  EXPECT_EQ(Render(blocks), "parse: template line 1: nests too deeply");
  const std::string wide = "<<printf \"%9999s\" \"x\">>";
  std::string loop;
  for (int i = 0; i < 200; ++i) loop += wide;
  EXPECT_EQ(Render(loop), "render: template: output exceeds 1 MiB");
}

}  // namespace
}  // namespace wheelpit::adapter
