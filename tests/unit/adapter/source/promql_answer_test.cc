#include "adapter/source/promql_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/errors.h"

namespace wheelpit::adapter {
namespace {

using ::testing::HasSubstr;

const absl::Time kAsked = absl::FromUnixSeconds(1000);

absl::StatusOr<SourceResult> Query(absl::string_view body, int status = 200,
                                   absl::string_view type = "application/json") {
  return ReadQueryAnswer({status, type, body}, kAsked);
}

TEST(PromqlAnswerTest, ReadsVectors) {
  const auto result = Query(
      R"({"status":"success","data":{"resultType":"vector","result":[)"
      R"({"metric":{"__name__":"m","queue":"a"},"value":[1714557600.123,"42.5"]},)"
      R"({"metric":{},"value":[1714557600.123,"1e3"]}]},"warnings":["w"],"infos":["i"]})");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->is_scalar);
  ASSERT_EQ(result->elements.size(), 2);
  EXPECT_EQ(result->elements[0].labels, (SourceLabels{{"__name__", "m"}, {"queue", "a"}}));
  EXPECT_EQ(result->elements[0].value, 42.5);
  EXPECT_EQ(result->elements[1].value, 1000);
  EXPECT_EQ(absl::ToUnixMillis(result->evaluated_at), 1714557600123);
  const auto empty =
      Query(R"({"status":"success","data":{"resultType":"vector","result":[]}})");
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->elements.empty());
  EXPECT_EQ(empty->evaluated_at, kAsked);
}

TEST(PromqlAnswerTest, ReadsScalarsAndOddNumbers) {
  const auto scalar = [](const char* value) {
    return Query(std::string(R"({"status":"success","data":{"resultType":"scalar","result":[7,")") +
                 value + R"("]}})");
  };
  EXPECT_TRUE(scalar("3")->is_scalar);
  EXPECT_EQ(scalar("-3.5")->elements[0].value, -3.5);
  EXPECT_TRUE(std::isnan(scalar("NaN")->elements[0].value));
  EXPECT_EQ(scalar("+Inf")->elements[0].value, INFINITY);
  EXPECT_EQ(scalar("-Inf")->elements[0].value, -INFINITY);
  EXPECT_EQ(scalar("1.7976931348623157e+308")->elements[0].value, 1.7976931348623157e308);
  EXPECT_EQ(ErrorReason(scalar("three").status()), kReasonBadAnswer);
}

TEST(PromqlAnswerTest, SaysWhyThereIsNoAnswer) {
  const struct {
    int status;
    const char* type;
    const char* body;
    const char* reason;
    const char* message;
  } kCases[] = {
      {400, "application/json", R"({"status":"error","errorType":"bad_data","error":"parse error"})",
       kReasonBadQuery, "bad_data: parse error"},
      {422, "application/json", R"({"status":"error","errorType":"execution","error":"many-to-many"})",
       kReasonExecution, "many-to-many"},
      {503, "application/json", R"({"status":"error","errorType":"timeout","error":"query timed out"})",
       kReasonTimeout, "query timed out"},
      {503, "application/json", R"({"status":"error","errorType":"unavailable","error":"starting"})",
       kReasonUnreachable, "starting"},
      {200, "application/json", R"({"status":"error","errorType":"canceled","error":"x"})",
       kReasonExecution, "canceled"},
      {503, "text/html", "<html>Service Unavailable</html>", kReasonUnreachable, "HTTP 503 (text/html)"},
      {502, "text/html", "<html>", kReasonUnreachable, "HTTP 502"},
      {504, "", "", kReasonUnreachable, "HTTP 504"},
      {401, "text/plain", "no", kReasonUnauthorized, "HTTP 401"},
      {403, "text/html", "<html>", kReasonUnauthorized, "HTTP 403"},
      {404, "text/html", "<html>", kReasonBadAnswer, "HTTP 404 (text/html) is no answer"},
      {302, "", "", kReasonBadAnswer, "HTTP 302"},
      {500, "application/json", R"({"status":"error"})", kReasonBadAnswer, "HTTP 500"},
      {200, "text/html", "<html>login</html>", kReasonBadAnswer, "HTTP 200 (text/html)"},
      {200, "application/json", "{}", kReasonBadAnswer, "HTTP 200"},
      {200, "application/json", R"({"status":"success"})", kReasonBadAnswer, "without data"},
      {200, "application/json", R"({"status":"success","data":null})", kReasonBadAnswer, "without data"},
      {200, "application/json", R"({"status":"success","data":{"resultType":"matrix","result":[]}})",
       kReasonExecution, "encountered an unexpected query result type \"matrix\""},
      {200, "application/json", R"({"status":"success","data":{"resultType":"string","result":[1,"x"]}})",
       kReasonExecution, "unexpected query result type"},
      {200, "application/json",
       R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}})",
       kReasonExecution, "histogram"},
      {200, "application/json",
       R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":1},"value":[1,"1"]}]}})",
       kReasonBadAnswer, "label value"},
      {200, "application/json",
       R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,2]}]}})",
       kReasonBadAnswer, "sample"},
      {200, "application/json", R"({"status":"success","data":{"resultType":"vector","result":{}}})",
       kReasonBadAnswer, "no list"},
  };
  for (const auto& c : kCases) {
    const auto result = Query(c.body, c.status, c.type);
    EXPECT_EQ(ErrorReason(result.status()), c.reason) << c.body;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.message)) << c.body;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("prometheus: "));
  }
}

TEST(PromqlAnswerTest, ReadsSeries) {
  const auto series = ReadSeriesAnswer(
      {200, "application/json", R"({"status":"success","data":[{"__name__":"a","x":"1"},{"__name__":"b"}]})"});
  ASSERT_TRUE(series.ok());
  ASSERT_EQ(series->series.size(), 2);
  EXPECT_EQ(series->series[0].at("x"), "1");
  EXPECT_FALSE(series->truncated);
  for (const char* bad : {R"({"status":"success","data":{}})", R"({"status":"success","data":[1]})",
                          R"({"status":"success","data":null})"}) {
    EXPECT_EQ(ErrorReason(ReadSeriesAnswer({200, "application/json", bad}).status()),
              kReasonBadAnswer);
  }
}

}  // namespace
}  // namespace wheelpit::adapter
