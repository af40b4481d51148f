#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "server/promql/parser.h"
#include "tests/unit/server/promql/promql_fixture.h"

namespace wheelpit {
namespace {

const std::vector<std::string>& Seeds() {
  static const auto* const seeds = new std::vector<std::string>{
      "sum(rate(heavywork_requests_total{namespace=\"a\",pod=~\"web-.*\"}[30s]))",
      "sum by (queue) (increase(x_total[1m30s] offset 5m)) / 60 or vector(0)",
      "max without (pod) (abs(-g) ^ 2 % 7 >= bool 1e-3)",
      "{__name__=~\"x.*\",a!=\"\\u00e9\\n\"} unless on (a) y{b!~`z`}",
      "clamp(round(xg, 0.1), -Inf, 0x1F) # comment\n and ignoring (c) y @ start()",
      "topk(3, avg(xg) by (a)) + on (a) group_left (b) count({\"q.x\"}) @ 12.5",
      "scalar(min(xg)) - time() * 1_000 == bool NaN",
  };
  return *seeds;
}

const std::vector<std::string>& Pieces() {
  static const auto* const pieces = new std::vector<std::string>{"(",
                                                                 ")",
                                                                 "{",
                                                                 "}",
                                                                 "[",
                                                                 "]",
                                                                 "[5m]",
                                                                 "[1s",
                                                                 ",",
                                                                 "\"",
                                                                 "'",
                                                                 "`",
                                                                 "\\",
                                                                 "\\x",
                                                                 "=~",
                                                                 "!=",
                                                                 "==",
                                                                 ">",
                                                                 "bool ",
                                                                 " or ",
                                                                 " and ",
                                                                 "^",
                                                                 "-",
                                                                 "1e",
                                                                 "0x",
                                                                 "5m",
                                                                 "NaN",
                                                                 "rate",
                                                                 "sum",
                                                                 " by ",
                                                                 " offset ",
                                                                 "@",
                                                                 "#",
                                                                 "\n",
                                                                 "$",
                                                                 "\xff",
                                                                 std::string(1, '\0'),
                                                                 "x_total",
                                                                 "__name__",
                                                                 "group_left",
                                                                 "9999999999999999999",
                                                                 "(((((((((("};
  return *pieces;
}

std::string Mutate(std::string text, Rng* rng) {
  const uint64_t edits = 1 + rng->Below(4);
  for (uint64_t i = 0; i < edits; ++i) {
    const size_t at = rng->Below(text.size() + 1);
    const size_t n = rng->Below(6);
    switch (rng->Below(5)) {
      case 0:
        text.erase(at, n);
        break;
      case 1:
        text.insert(at, Pieces()[rng->Below(Pieces().size())]);
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(rng->Next());
        break;
      case 3:
        text.insert(at, text.substr(rng->Below(text.size() + 1), rng->Below(20)));
        break;
      default: {
        const std::string& other = Seeds()[rng->Below(Seeds().size())];
        text.insert(at, other.substr(rng->Below(other.size()), rng->Below(30)));
      }
    }
  }
  return text;
}

bool HasPosition(absl::string_view message) {
  const size_t colon = message.find(':');
  const size_t second = message.find(':', colon + 1);
  if (colon == 0 || colon == absl::string_view::npos || second == absl::string_view::npos)
    return false;
  for (size_t i = 0; i < second; ++i)
    if (i != colon && (message[i] < '0' || message[i] > '9')) return false;
  return message[0] != '0' && message[colon + 1] != '0';
}

class PromqlFuzzTest : public PromqlTest {};

TEST_F(PromqlFuzzTest, MutatedQueriesAnswerOrSayWhereTheyAreWrong) {
  for (int i = 0; i < 5; ++i)
    Count(MakeCounter("x_total", {{"a", absl::StrCat(i)}}), 5, 1'000'000 - i * 700);
  MakeGauge("xg", {{"a", "1"}}, 4);
  MakeGauge("y", {{"a", "1"}}, -4);
  Rng rng(20'240'601);
  int answered = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::string query = Mutate(Seeds()[rng.Below(Seeds().size())], &rng);
    const auto result = Ask(query, 1'000'500);
    if (result.ok()) {
      ++answered;
      continue;
    }
    ++refused;
    ASSERT_TRUE(HasPosition(result.status().message())) << query << " -> " << result.status();
    const std::string reason = ErrorReason(result.status());
    ASSERT_TRUE(reason == "BAD_QUERY" || reason == "EXECUTION")
        << query << " -> " << result.status();
  }
  // Both ways are taken, or the mutations prove nothing.
  EXPECT_GT(answered, 500);
  EXPECT_GT(refused, 5'000);
}

TEST(ParserFuzzTest, PrintedTreesParseToThemselves) {
  Rng rng(7);
  int printed = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto expr = ParseExpr(Mutate(Seeds()[rng.Below(Seeds().size())], &rng));
    if (!expr.ok()) continue;
    const std::string text = ExprText(**expr);
    const auto again = ParseExpr(text);
    ++printed;
    ASSERT_TRUE(again.ok()) << text << " -> " << again.status();
    ASSERT_EQ(ExprText(**again), text);
  }
  EXPECT_GT(printed, 500);
}

}  // namespace
}  // namespace wheelpit
