#include "adapter/naming/go_text.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

TEST(GoQuoteTest, QuotesAsGoDoes) {
  const struct {
    std::string in, out;
  } kCases[] = {
      {"", "\"\""},
      {"work", "\"work\""},
      {"a\"b\\c", "\"a\\\"b\\\\c\""},
      {"a\nb\tc\rd", "\"a\\nb\\tc\\rd\""},
      {std::string("\x00\x1f\x7f", 3), "\"\\x00\\x1f\\x7f\""},
      {"gr\u00fc\u00df \u4e16", "\"gr\u00fc\u00df \u4e16\""},
      {"\u00a0\u200b\u2028\ufeff", "\"\\u00a0\\u200b\\u2028\\ufeff\""},
      {"\U000f0000", "\"\\U000f0000\""},
      {"\xff\xc3(", "\"\\xff\\xc3(\""},
      {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},  // a surrogate is not UTF-8
      {"\xc0\xaf", "\"\\xc0\\xaf\""},           // overlong
  };
  for (const auto& c : kCases) EXPECT_EQ(GoQuote(c.in), c.out);
}

std::string Expand(const char* re, const char* as, const char* text) {
  const RE2 regex(re, GoRegexOptions());
  std::string out;
  return GoExpand(regex, as, text, &out) ? out : "(no match)";
}

TEST(GoExpandTest, ExpandsAsGoDoes) {
  const struct {
    const char *re, *as, *text, *out;
  } kCases[] = {
      {"^(.*)_total$", "${1}_per_second", "http_requests_total", "http_requests_per_second"},
      // The name after $ is the longest run of word characters: a group that does not exist.
      {"^(.*)_total$", "$1_per_second", "http_requests_total", ""},
      {"^(.*)_total$", "$1-x", "a_total", "a-x"},
      // Unanchored, and the text around the match is dropped.
      {"^(.*)_total", "${1}_ps", "a_total_b_total", "a_total_b_ps"},
      {"b(.)d", "$1", "abcde", "c"},
      {".*", "$0", "up", "up"},
      {"(?P<name>[a-z]+)_x", "${name}.$name", "job_x", "job.job"},
      {"(a)|(b)", "<$1|$2>", "b", "<|b>"},
      {"a", "$$ $", "a", "$ $"},
      {"a", "${ ${1 $-", "a", "${ ${1 $-"},
      {"(a)", "$01|$9|${99999999999}", "a", "||"},
      {"^x$", "$0", "y", "(no match)"},
  };
  for (const auto& c : kCases) EXPECT_EQ(Expand(c.re, c.as, c.text), c.out) << c.re << " " << c.as;
}

TEST(GoDurationTest, ReadsWhatGoReads) {
  const struct {
    const char* text;
    absl::Duration want;
  } kCases[] = {{"0", absl::ZeroDuration()},        {"10s", absl::Seconds(10)},
                {"1m30s", absl::Seconds(90)},       {"1.5h", absl::Minutes(90)},
                {"500ms", absl::Milliseconds(500)}, {"-2s", -absl::Seconds(2)},
                {"+3us", absl::Microseconds(3)},    {".5s", absl::Milliseconds(500)},
                {"1\u00b5s", absl::Microseconds(1)}};
  for (const auto& c : kCases) {
    const auto got = ParseGoDuration(c.text);
    ASSERT_TRUE(got.ok()) << c.text << got.status();
    EXPECT_EQ(*got, c.want) << c.text;
  }
}

TEST(GoDurationTest, RefusesInGosWords) {
  const struct {
    const char *text, *message;
  } kCases[] = {{"", "time: invalid duration \"\""},
                {"abc", "time: invalid duration \"abc\""},
                {"5", "time: missing unit in duration \"5\""},
                {"5x", "time: unknown unit \"x\" in duration \"5x\""},
                {"1m.s", "time: invalid duration \"1m.s\""},
                {"9999999999h", "time: invalid duration \"9999999999h\""}};
  for (const auto& c : kCases) EXPECT_EQ(ParseGoDuration(c.text).status().message(), c.message);
}

}  // namespace
}  // namespace wheelpit::adapter
