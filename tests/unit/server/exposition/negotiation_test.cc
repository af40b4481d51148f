#include "server/exposition/negotiation.h"

#include "gtest/gtest.h"

namespace wheelpit {
namespace {

std::string TypeFor(absl::string_view accept) { return NegotiateExposition(accept).content_type; }

constexpr char kText[] = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
constexpr char kText1[] = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
constexpr char kOpenMetrics[] = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores";
constexpr char kOpenMetricsUtf8[] = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
constexpr char kOpenMetrics0[] = "application/openmetrics-text; version=0.0.1; charset=utf-8; escaping=underscores";

TEST(NegotiationTest, Table) {
  const struct {
    const char* accept;
    const char* content_type;
  } cases[] = {
      {"", kText},
      {"*/*", kText},
      {"text/*", kText},
      {"text/plain", kText},
      {"text/html,application/xhtml+xml,*/*;q=0.8", kText},
      {"image/png", kText},
      {"text/plain;version=9", kText},
      {"application/openmetrics-text", kOpenMetrics0},
      {"application/openmetrics-text;version=1.0.0", kOpenMetrics},
      {"Application/OpenMetrics-Text; Version=\"1.0.0\"", kOpenMetrics},
      {"application/openmetrics-text;version=2.0.0", kText},
      {"text/plain;version=0.0.4;q=0.3,application/openmetrics-text;version=1.0.0", kOpenMetrics},
      {"application/openmetrics-text;version=1.0.0;q=0,text/plain;version=0.0.4;q=0.1", kText},
      {"application/openmetrics-text;version=1.0.0;q=0", kText},
      // Of equal weight the first, wildcards last.
      {"*/*,application/openmetrics-text;version=1.0.0", kOpenMetrics},
      {"text/plain,application/openmetrics-text;version=1.0.0", kText},
      // Prometheus 3 by default.
      {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.7,application/openmetrics-text;version=0.0.1;q=0.6,"
       "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3",
       kOpenMetricsUtf8},
      // With native histograms: protobuf first, which is not spoken here yet.
      {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.8,"
       "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.3",
       kText1},
      // Prometheus 2.42.
      {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,"
       "*/*;q=0.1",
       kOpenMetrics},
  };
  for (const auto& c : cases) EXPECT_EQ(TypeFor(c.accept), c.content_type) << c.accept;
}

TEST(NegotiationTest, StyleFollowsTheClause) {
  const Negotiated n = NegotiateExposition("text/plain;version=1.0.0;escaping=dots");
  EXPECT_EQ(n.style.format, ExpositionFormat::kText);
  EXPECT_EQ(n.style.escaping, Escaping::kDots);
  EXPECT_FALSE(n.style.created);
}

}  // namespace
}  // namespace wheelpit
