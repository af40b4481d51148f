#include "client/sdk/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/errors.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace wheelpit {
namespace {

TEST(ClientOptionsTest, PlaintextToAnotherMachineNeedsToBeSaid) {
  ClientOptions options;
  options.address = "wheelpit.default.svc:7070";
  EXPECT_EQ(CheckClientOptions(options).code(), absl::StatusCode::kInvalidArgument);
  options.allow_insecure = true;
  EXPECT_TRUE(CheckClientOptions(options).ok());
}

TEST(ClientOptionsTest, PlaintextToThisMachineIsFine) {
  for (const char* address : {"127.0.0.1:7070", "localhost:1", "[::1]:7070", "unix:/tmp/x.sock",
                              "ipv4:127.0.0.1:7070", "dns:///localhost:7070"}) {
    ClientOptions options;
    options.address = address;
    EXPECT_TRUE(CheckClientOptions(options).ok()) << address;
  }
}

TEST(ClientOptionsTest, AnAddressNeedsAPort) {
  ClientOptions options;
  options.allow_insecure = true;
  for (const char* address : {"localhost", "10.0.0.1:", "[::1]", "::1]", "dns:///aggregator", "dns:aggregator", "ipv4:10.0.0.1"}) {
    options.address = address;
    EXPECT_THAT(CheckClientOptions(options).message(), testing::HasSubstr("give HOST:PORT")) << address;
  }
  for (const char* address : {"localhost:7070", "[::1]:7070", "dns:///aggregator:7070", "ipv4:10.0.0.1:7070,10.0.0.2:7070", "unix:/run/w.sock"}) {
    options.address = address;
    EXPECT_TRUE(CheckClientOptions(options).ok()) << address;
  }
}

TEST(ClientOptionsTest, HalfAKeyPairOrAMissingFileIsRefused) {
  ClientOptions options;
  options.tls = true;
  options.tls_cert_file = "/nowhere/cert.pem";
  EXPECT_FALSE(CheckClientOptions(options).ok());
  options.tls_key_file = "/nowhere/key.pem";
  EXPECT_THAT(std::string(CheckClientOptions(options).message()),
              testing::AllOf(testing::StartsWith("cannot read /nowhere/cert.pem")));
}

TEST(GrpcStatusTest, ReasonAndDelayComeThrough) {
  google::rpc::Status details;
  google::rpc::ErrorInfo info;
  info.set_reason("RATE_LIMIT");
  details.add_details()->PackFrom(info);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(2);
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  details.add_details()->PackFrom(retry);
  const absl::Status status = FromGrpcStatus(
      grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "slow down", details.SerializeAsString()));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "slow down");
  EXPECT_EQ(StatusReason(status), "RATE_LIMIT");
  EXPECT_EQ(ErrorRetryAfter(status), absl::Milliseconds(2500));
  EXPECT_TRUE(IsRetryable(status));
}

TEST(GrpcStatusTest, ExhaustedWithoutADelayIsFinal) {
  EXPECT_FALSE(IsRetryable(absl::ResourceExhaustedError("series limit")));
  EXPECT_FALSE(IsRetryable(absl::InvalidArgumentError("bad")));
  EXPECT_TRUE(IsRetryable(absl::UnavailableError("away")));
}

TEST(BackoffTest, GrowsWithinItsCurveAndHonoursTheServer) {
  Backoff backoff({absl::Milliseconds(100), absl::Seconds(1)}, 3);
  for (int round = 0; round < 200; ++round) {
    EXPECT_LT(backoff.DelayMs(1, absl::OkStatus()), 100);
    EXPECT_LT(backoff.DelayMs(3, absl::OkStatus()), 400);
    EXPECT_LT(backoff.DelayMs(1000, absl::OkStatus()), 1000);
  }
  const absl::Status asked =
      MakeError(absl::StatusCode::kUnavailable, "X", "later", absl::Seconds(5));
  EXPECT_GE(backoff.DelayMs(1, asked), 5000);
}

}  // namespace
}  // namespace wheelpit
