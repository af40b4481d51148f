#include "server/promql/parser.h"

#include <cmath>
#include <string>

#include "base/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Tree(const std::string& query) {
  const auto expr = ParseExpr(query);
  return expr.ok() ? ExprText(**expr) : "error: " + std::string(expr.status().message());
}

double Number(const std::string& query) {
  const auto expr = ParseExpr(query);
  if (!expr.ok()) return -12345;
  const auto* number = std::get_if<NumberExpr>(&(*expr)->node);
  return number == nullptr ? -12345 : number->value;
}

std::string ParseErrorOf(const std::string& query) {
  const auto expr = ParseExpr(query);
  if (expr.ok()) return "ok: " + ExprText(**expr);
  EXPECT_EQ(expr.status().code(), absl::StatusCode::kInvalidArgument) << query;
  EXPECT_EQ(ErrorReason(expr.status()), "BAD_QUERY") << query;
  return std::string(expr.status().message());
}

std::string Unsupported(const std::string& query) {
  const auto expr = ParseExpr(query);
  if (!expr.ok()) return "parse: " + std::string(expr.status().message());
  const absl::Status status = CheckSupported(**expr);
  if (status.ok()) return "supported";
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << query;
  EXPECT_EQ(ErrorReason(status), "EXECUTION") << query;
  return std::string(status.message());
}

TEST(ParserTest, PrecedenceOfEveryLevel) {
  EXPECT_EQ(Tree("1 + 2 * 3"), "(1 + (2 * 3))");
  EXPECT_EQ(Tree("1 * 2 + 3"), "((1 * 2) + 3)");
  EXPECT_EQ(Tree("1 - 2 - 3"), "((1 - 2) - 3)");
  EXPECT_EQ(Tree("8 / 4 % 3 * 2"), "(((8 / 4) % 3) * 2)");
  EXPECT_EQ(Tree("a + b > c"), "((a + b) > c)");
  EXPECT_EQ(Tree("a > b and c < d"), "((a > b) and (c < d))");
  EXPECT_EQ(Tree("a or b and c"), "(a or (b and c))");
  EXPECT_EQ(Tree("a or b unless c or d"), "((a or (b unless c)) or d)");
  EXPECT_EQ(Tree("a and b unless c"), "((a and b) unless c)");
  EXPECT_EQ(Tree("(1 + 2) * 3"), "((1 + 2) * 3)");
}

TEST(ParserTest, PowerBindsTighterThanASignAndToTheRight) {
  EXPECT_EQ(Tree("2 ^ 3 ^ 2"), "(2 ^ (3 ^ 2))");
  EXPECT_EQ(Tree("-2 ^ 2"), "-(2 ^ 2)");
  EXPECT_EQ(Tree("(-2) ^ 2"), "((-2) ^ 2)");
  EXPECT_EQ(Tree("2 ^ -1"), "(2 ^ -1)");
  EXPECT_EQ(Tree("-a * b"), "(-a * b)");
  EXPECT_EQ(Tree("+ - + a"), "-a");
  EXPECT_EQ(Tree("2 * 3 ^ 2"), "(2 * (3 ^ 2))");
}

TEST(ParserTest, KeywordsInAnyCaseFunctionsExact) {
  EXPECT_EQ(Tree("SUM BY (queue) (x)"), "sum by (queue) (x)");
  EXPECT_EQ(Tree("a OR b Unless c"), "(a or (b unless c))");
  EXPECT_EQ(Tree("x OFFSET 5m"), "x offset 5m");
  EXPECT_THAT(Unsupported("Rate(x)"), StartsWith("1:1: unsupported function \"Rate\""));
}

TEST(ParserTest, GroupingBeforeOrAfter) {
  EXPECT_EQ(Tree("sum(x)"), "sum(x)");
  EXPECT_EQ(Tree("sum by (b, a,) (x)"), "sum by (a, b) (x)");
  EXPECT_EQ(Tree("sum(x) by (b, a, b)"), "sum by (a, b) (x)");
  EXPECT_EQ(Tree("max without (\"k8s.pod\") (x)"), "max without (\"k8s.pod\") (x)");
  EXPECT_EQ(Tree("count without () (x)"), "count without () (x)");
  EXPECT_EQ(Tree("topk(3, x) by (a)"), "topk by (a) (3, x)");
  EXPECT_THAT(ParseErrorOf("sum by (a) (x) by (b)"), StartsWith("1:16: parse error"));
  EXPECT_THAT(ParseErrorOf("sum(1)"),
              StartsWith("1:5: parse error: sum needs an instant vector, not a number"));
  EXPECT_THAT(ParseErrorOf("sum(2, x)"), StartsWith("1:6: parse error: sum takes one argument"));
  EXPECT_THAT(ParseErrorOf("topk(x)"), HasSubstr("topk takes a number and a vector"));
}

TEST(ParserTest, Selectors) {
  EXPECT_EQ(Tree("x"), "x");
  EXPECT_EQ(Tree("ns:x:rate"), "ns:x:rate");
  EXPECT_EQ(Tree("x{}"), "x");
  EXPECT_EQ(Tree("x{a=\"1\",b!='2',c=~`3.*`,d!~\"4\",}"),
            "x{a=\"1\",b!=\"2\",c=~\"3.*\",d!~\"4\"}");
  EXPECT_EQ(Tree("{__name__=\"x\"}"), "x");
  EXPECT_EQ(Tree("{\"my.metric\", \"k.x\"=\"v\"}"), "{\"my.metric\",\"k.x\"=\"v\"}");
  EXPECT_EQ(Tree("{__name__=~\"x.*\"}"), "{__name__=~\"x.*\"}");
  EXPECT_EQ(Tree("rate(x[1m30s] offset 1h)"), "rate(x[1m30s] offset 1h)");
  EXPECT_EQ(Tree("increase(x[90.5])"), "increase(x[1m30s500ms])");
  EXPECT_EQ(Tree("rate(x[5m] anchored)"), "rate(x[5m] anchored)");
  EXPECT_EQ(Tree("rate(x[5m] smoothed @ end())"), "rate(x[5m] smoothed @ end())");
  EXPECT_EQ(Tree("x offset -30s @ 1700000000.5"), "x offset -30s @ 1700000000.5");
  EXPECT_EQ(Tree("x @ start() offset 1m"), "x offset 1m @ start()");
  EXPECT_EQ(Tree("sum"), "sum") << "an aggregation's name without its parenthesis is a metric";
  EXPECT_EQ(Tree("rate + 1"), "(rate + 1)");
}

TEST(ParserTest, SelectorsMustNotMatchEverything) {
  for (const char* query : {"{}", "{a=\"\"}", "{a=~\".*\"}", "{a!=\"x\"}", "{__name__=~\".*\"}"})
    EXPECT_THAT(ParseErrorOf(query), StartsWith("1:1: parse error: a selector needs")) << query;
  EXPECT_EQ(Tree("{a=~\".+\"}"), "{a=~\".+\"}");
  EXPECT_THAT(ParseErrorOf("x{__name__=\"y\"}"),
              StartsWith("1:3: parse error: the metric name is given twice"));
  EXPECT_THAT(ParseErrorOf("x{\"y\"}"), HasSubstr("given twice"));
}

TEST(ParserTest, Numbers) {
  EXPECT_EQ(Number("42"), 42);
  EXPECT_EQ(Number(".5"), 0.5);
  EXPECT_EQ(Number("5."), 5);
  EXPECT_EQ(Number("1e9"), 1e9);
  EXPECT_EQ(Number("1.5E-3"), 0.0015);
  EXPECT_EQ(Number("0x1F"), 31);
  EXPECT_EQ(Number("1_000_000"), 1e6);
  EXPECT_EQ(Number("5m"), 300);
  EXPECT_EQ(Number("1d2h3m4s5ms"), 93784.005);
  EXPECT_EQ(Number("1w"), 604800);
  EXPECT_EQ(Number("iNf"), HUGE_VAL);
  EXPECT_TRUE(std::isnan(Number("NaN")));
  for (const char* bad :
       {"1__0", "1_", "1.2.3", "0x", "1e", "1e+", "5m5h", "5m5m", "5q", "1x", "0xg", "1_.5", "5m1"})
    EXPECT_THAT(ParseErrorOf(bad), StartsWith("1:1: parse error: bad number or duration")) << bad;
}

TEST(ParserTest, Strings) {
  const auto value = [](const std::string& quoted) {
    const auto selector = ParseSelector("x{a=" + quoted + "}");
    return selector.ok() ? selector->matchers[0].value()
                         : "error: " + std::string(selector.status().message());
  };
  EXPECT_EQ(value("\"a\\\"b\\\\c\\n\\t\""), "a\"b\\c\n\t");
  EXPECT_EQ(value("'it\\'s \"x\"'"), "it's \"x\"");
  EXPECT_EQ(value("`a\\n\nb`"), "a\\n\nb");
  EXPECT_EQ(value("\"\\x41\\101\\u00e9\\U0001F600\""), "AA\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_THAT(value("\"abc"), HasSubstr("1:5: parse error: string without its closing quote"));
  EXPECT_THAT(value("\"a\nb\""), HasSubstr("closing quote"));
  EXPECT_THAT(value("\"\\q\""), HasSubstr("1:6: parse error: bad escape"));
  EXPECT_THAT(value("\"\\ud800\""), HasSubstr("bad escape"));
  EXPECT_THAT(value("\"\\400\""), HasSubstr("bad escape"));
  EXPECT_THAT(value("\"\\"), HasSubstr("parse error"));
}

TEST(ParserTest, CommentsAndLines) {
  EXPECT_EQ(Tree("sum( # of all\n x # series\n)# end"), "sum(x)");
  EXPECT_THAT(ParseErrorOf("sum(\n  x\n  y)"), StartsWith("3:3: parse error: unexpected \"y\""));
  EXPECT_THAT(ParseErrorOf("# nothing"),
              StartsWith("1:10: parse error: unexpected end of the query"));
}

TEST(ParserTest, ErrorsSayWhereAndWhat) {
  EXPECT_THAT(ParseErrorOf(""),
              StartsWith("1:1: parse error: unexpected end of the query, wanted an expression"));
  EXPECT_THAT(ParseErrorOf("x y"),
              StartsWith("1:3: parse error: unexpected \"y\", wanted an operator"));
  EXPECT_THAT(ParseErrorOf("sum(x"),
              StartsWith("1:6: parse error: unexpected end of the query, wanted \")\""));
  EXPECT_THAT(ParseErrorOf("x{a}"),
              StartsWith("1:4: parse error: unexpected \"}\", wanted one of = != =~ !~"));
  EXPECT_THAT(ParseErrorOf("x{a=1}"),
              StartsWith("1:5: parse error: unexpected number, wanted a quoted value"));
  EXPECT_THAT(ParseErrorOf("x{a=~\"(\"}"),
              StartsWith("1:6: parse error: bad regular expression \"(\""));
  EXPECT_THAT(ParseErrorOf("a)b"), StartsWith("1:2: parse error"));
  EXPECT_THAT(ParseErrorOf("x{a=~\"a)(b\"}"), HasSubstr("bad regular expression"));
  EXPECT_THAT(
      ParseErrorOf("rate(x)"),
      StartsWith(
          "1:6: parse error: rate needs a range vector such as x_total[30s] here, not an instant"));
  EXPECT_THAT(ParseErrorOf("rate()"), StartsWith("1:1: parse error: rate takes 1 argument, not 0"));
  EXPECT_THAT(ParseErrorOf("x[5m]"),
              StartsWith("1:1: parse error: a range vector stands only in a function"));
  EXPECT_THAT(ParseErrorOf("x[0s]"), HasSubstr("longer than 0"));
  EXPECT_THAT(ParseErrorOf("rate(x[5m:1m])"), HasSubstr("subqueries are not supported"));
  EXPECT_THAT(ParseErrorOf("x & y"), StartsWith("1:3: parse error: unexpected character \"&\""));
  EXPECT_THAT(ParseErrorOf("1 > 2"), HasSubstr("needs bool"));
  EXPECT_EQ(Tree("1 > bool 2"), "(1 > bool 2)");
  EXPECT_THAT(ParseErrorOf("a + bool b"), HasSubstr("bool stands only after a comparison"));
  EXPECT_THAT(ParseErrorOf("1 or a"), HasSubstr("or needs an instant vector on both sides"));
  EXPECT_THAT(ParseErrorOf("1 + on (a) x"), HasSubstr("need an instant vector on both sides"));
  EXPECT_THAT(ParseErrorOf("a and on (x) group_left b"), HasSubstr("no grouping with and"));
  EXPECT_THAT(ParseErrorOf("x offset 1m offset 1m"), HasSubstr("offset is given twice"));
  EXPECT_THAT(ParseErrorOf("a + or"), StartsWith("1:5: parse error: unexpected \"or\""));
  EXPECT_THAT(ParseErrorOf(std::string("x\0y", 3)),
              StartsWith("1:2: parse error: unexpected character"));
}

TEST(ParserTest, DepthIsBounded) {
  EXPECT_THAT(ParseErrorOf(std::string(100'000, '(')),
              HasSubstr("query of 100000 bytes, limit 65536"));
  EXPECT_THAT(ParseErrorOf(std::string(50'000, '(')), HasSubstr("nested deeper"));
  EXPECT_THAT(ParseErrorOf(std::string(50'000, '-') + "1"), HasSubstr("nested deeper"));
  std::string sum = "1";
  for (int i = 0; i < 20'000; ++i) sum += "+1";
  EXPECT_THAT(ParseErrorOf(sum), HasSubstr("nested deeper"));
  std::string powers = "1";
  for (int i = 0; i < 20'000; ++i) powers += "^1";
  EXPECT_THAT(ParseErrorOf(powers), HasSubstr("nested deeper"));
  std::string fits = "1";
  for (int i = 0; i < 200; ++i) fits += "+1";
  EXPECT_THAT(Tree(fits), StartsWith("((("));
}

TEST(ParserTest, WhatTheExactEngineLacksParsesAndIsNamed) {
  EXPECT_THAT(Unsupported("deriv(x[5m])"), StartsWith("1:1: unsupported function \"deriv\""));
  EXPECT_THAT(Unsupported("1 + histogram_quantile(0.9, rate(x_bucket[5m]))"),
              StartsWith("1:5: unsupported function \"histogram_quantile\""));
  EXPECT_THAT(Unsupported("avg_over_time(x[5m])"), HasSubstr("avg_over_time"));
  EXPECT_THAT(Unsupported("topk(3, x)"), StartsWith("1:1: unsupported aggregation topk"));
  EXPECT_THAT(Unsupported("a * on (x) group_left (y) b"),
              StartsWith("1:3: unsupported: group_left"));
  EXPECT_THAT(Unsupported("x @ 5"), HasSubstr("unsupported modifier @"));
  EXPECT_THAT(Unsupported("rate(x[5m] anchored)"), HasSubstr("anchored"));
  EXPECT_THAT(Unsupported("x offset -5m"), HasSubstr("must not be negative"));
  EXPECT_THAT(Unsupported("rate(x[2h])"), HasSubstr("more than 1h"));
  EXPECT_THAT(Unsupported("rate(x[30m] offset 31m)"), HasSubstr("more than 1h"));
  EXPECT_EQ(Unsupported("rate(x[30m] offset 30m)"), "supported");
  EXPECT_EQ(Unsupported("sum(rate(x[1m])) or vector(0)"), "supported");
}

TEST(ParseSelectorTest, OnlyASelector) {
  EXPECT_TRUE(ParseSelector("x{a=\"1\"}").ok());
  for (const char* bad : {"sum(x)", "1", "x[5m]", "x offset 5m", "x + y", ""})
    EXPECT_FALSE(ParseSelector(bad).ok()) << bad;
}

}  // namespace
}  // namespace wheelpit
