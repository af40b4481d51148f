#include "server/http/query_routes.h"

#include <cmath>
#include <limits>

#include "base/errors.h"
#include "gtest/gtest.h"
#include "tests/unit/server/http/fake_http_backend.h"

namespace wheelpit {
namespace {

// Answers what it is told and remembers what it was asked.
class FakeEngine : public QueryEngine {
 public:
  absl::StatusOr<QueryResult> QueryAt(absl::string_view query, int64_t at_ms, int64_t, UnknownPolicy unknown, WindowEnd) const override {
    asked = std::string(query);
    asked_at_ms = at_ms;
    EXPECT_EQ(unknown, UnknownPolicy::kOmit);
    return result;
  }
  absl::StatusOr<std::vector<Labels>> Series(const std::vector<std::string>& selectors, size_t, bool* truncated) const override {
    asked = selectors.back();
    *truncated = selectors.size() > 1;
    return std::vector<Labels>{Labels{{"__name__", "x"}, {"a", "<1>"}}};
  }

  mutable std::string asked;
  mutable int64_t asked_at_ms = -1;
  absl::StatusOr<QueryResult> result;
};

TEST(QueryRoutesTest, VectorsAndScalarsAsPrometheusWritesThem) {
  FakeEngine engine;
  QueryResult result;
  result.evaluated_at_ms = 1'700'000'000'123;
  result.vector = {{Labels{{"__name__", "x"}, {"q", "a"}}, 2.5, false}};
  engine.result = result;
  const HttpResponse vector = QueryResponse(engine, MakeRequest("GET", "/api/v1/query?query=sum(x)%2B1"), 0);
  EXPECT_EQ(engine.asked, "sum(x)+1");
  EXPECT_EQ(vector.body,
            "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"x\",\"q\":\"a\"},"
            "\"value\":[1700000000.123,\"2.5\"]}]}}\n");
  result.is_scalar = true;
  result.scalar = 7;
  result.infos = {"info"};
  engine.result = result;
  const HttpResponse scalar = QueryResponse(
      engine, MakeRequest("POST", "/api/v1/query", {{"Content-Type", "application/x-www-form-urlencoded"}}, "query=7&time=1"), 0);
  EXPECT_EQ(engine.asked, "7");
  EXPECT_EQ(scalar.body,
            "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1700000000.123,\"7\"]},\"infos\":[\"info\"]}\n");
}

TEST(QueryRoutesTest, TheTimeAskedForReachesTheEngine) {
  FakeEngine engine;
  engine.result = QueryResult();
  const auto ask = [&](const std::string& more) {
    return QueryResponse(engine, MakeRequest("GET", "/api/v1/query?query=x" + more), 1'700'000'000'500).status;
  };
  EXPECT_EQ(ask(""), 200);
  EXPECT_EQ(engine.asked_at_ms, 1'700'000'000'500);
  EXPECT_EQ(ask("&time=1699999990.25"), 200);
  EXPECT_EQ(engine.asked_at_ms, 1'699'999'990'250);
  EXPECT_EQ(ask("&time=2023-11-14T22:13:20%2B01:00"), 200);
  EXPECT_EQ(engine.asked_at_ms, 1'699'996'400'000);
  engine.asked_at_ms = -1;
  for (const char* bad : {"&time=yesterday", "&time=nan", "&time=1e300"}) EXPECT_EQ(ask(bad), 400) << bad;
  EXPECT_EQ(engine.asked_at_ms, -1);
}

TEST(QueryRoutesTest, ErrorsHaveTheirTypes) {
  FakeEngine engine;
  EXPECT_EQ(QueryResponse(engine, MakeRequest("GET", "/api/v1/query"), 0).status, 400);
  engine.result = MakeError(absl::StatusCode::kInvalidArgument, "BAD_QUERY", "1:3: unexpected )");
  EXPECT_EQ(QueryResponse(engine, MakeRequest("GET", "/api/v1/query?query=x"), 0).body,
            "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:3: unexpected )\"}\n");
  engine.result = MakeError(absl::StatusCode::kFailedPrecondition, "EXECUTION", "m");
  EXPECT_EQ(QueryResponse(engine, MakeRequest("GET", "/api/v1/query?query=x"), 0).status, 422);
  engine.result = MakeError(absl::StatusCode::kUnavailable, "UNKNOWN", "m");
  EXPECT_EQ(QueryResponse(engine, MakeRequest("GET", "/api/v1/query?query=x"), 0).status, 503);
}

TEST(QueryRoutesTest, SeriesSayWhenTheyAreCut) {
  FakeEngine engine;
  const HttpResponse one = SeriesResponse(engine, MakeRequest("GET", "/api/v1/series?match%5B%5D=x"));
  EXPECT_EQ(one.body, "{\"status\":\"success\",\"data\":[{\"__name__\":\"x\",\"a\":\"<1>\"}]}\n");
  const HttpResponse two = SeriesResponse(engine, MakeRequest("GET", "/api/v1/series?match[]=x&match[]=y"));
  EXPECT_NE(two.body.find("\"warnings\""), std::string::npos);
  EXPECT_EQ(SeriesResponse(engine, MakeRequest("GET", "/api/v1/series")).status, 400);
}

TEST(QueryRoutesTest, ValuesTakeTheFFormExceptAtTheEnds) {
  EXPECT_EQ(FormatQueryValue(0), "0");
  EXPECT_EQ(FormatQueryValue(1234567), "1234567");
  EXPECT_EQ(FormatQueryValue(1e20), "100000000000000000000");
  EXPECT_EQ(FormatQueryValue(1e21), "1e+21");
  EXPECT_EQ(FormatQueryValue(0.000001), "0.000001");
  EXPECT_EQ(FormatQueryValue(5e-7), "5e-07");
  EXPECT_EQ(FormatQueryValue(std::nan("")), "NaN");
  EXPECT_EQ(FormatQueryValue(-std::numeric_limits<double>::infinity()), "-Inf");
}

}  // namespace
}  // namespace wheelpit
