#include "server/app/config.h"

#include <stdlib.h>

#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

struct Loaded {
  ServerConfig config;
  OptionTable table;
  absl::Status status;
};

std::unique_ptr<Loaded> Load(const std::vector<std::string>& args, const std::vector<std::string>& environment = {}) {
  auto loaded = std::make_unique<Loaded>();
  loaded->config.data_dir = "/data";
  AddServerOptions(&loaded->config, &loaded->table);
  loaded->status = LoadServerConfig(args, environment, &loaded->table, &loaded->config);
  return loaded;
}

TEST(ServerConfigTest, FlagsWinOverTheEnvironmentAndThatOverTheFile) {
  const std::string path = testing::TempDir() + "wheelpit_config_test.yaml";
  std::ofstream(path) << "queue:\n  lease_ttl: 10s\n  max_attempts: 7\ngrpc_port: 1\n"
                         "routes:\n- {path: /a, counter: a_total, message: \"A: done, \\\"yes\\\"\"}\n";
  auto loaded = Load({"--config=" + path, "--grpc-port=3"}, {"WHEELPIT_GRPC_PORT=2", "WHEELPIT_QUEUE_LEASE_TTL=20s", "HOME=/"});
  ASSERT_TRUE(loaded->status.ok()) << loaded->status;
  EXPECT_EQ(loaded->config.grpc_port, 3);
  EXPECT_EQ(loaded->config.engine.queue.queue_defaults.lease_ttl_ms, 20'000);
  EXPECT_EQ(loaded->config.engine.queue.queue_defaults.max_attempts, 7u);
  ASSERT_EQ(loaded->config.gateway_routes.size(), 1u);
  EXPECT_EQ(loaded->config.gateway_routes[0].message, "A: done, \"yes\"");
  EXPECT_THAT(DescribeConfig(loaded->table), testing::HasSubstr("grpc_port = 3  # flag\n"));
  EXPECT_THAT(DescribeConfig(loaded->table), testing::HasSubstr("queue_lease_ttl = 20s  # environment\n"));
  EXPECT_THAT(DescribeConfig(loaded->table), testing::HasSubstr("queue_max_attempts = 7  # file\n"));
  EXPECT_THAT(DescribeConfig(loaded->table), testing::HasSubstr("http_port = 7080  # default\n"));
}

TEST(ServerConfigTest, DefaultRoutesAreHeavyAndLightWork) {
  auto loaded = Load({});
  ASSERT_TRUE(loaded->status.ok()) << loaded->status;
  ASSERT_EQ(loaded->config.gateway_routes.size(), 2u);
  EXPECT_EQ(loaded->config.gateway_routes[0].queue, "heavywork");
  EXPECT_EQ(loaded->config.gateway_routes[0].status, 202);
  EXPECT_EQ(loaded->config.gateway_routes[1].counter, "lightwork_requests_total");
  EXPECT_EQ(loaded->config.gateway_routes[1].status, 200);
}

TEST(ServerConfigTest, WrongOptionsStopTheStartAndNameTheNearestRightOne) {
  EXPECT_THAT(std::string(Load({"--grcp_port=1"})->status.message()), testing::HasSubstr("grpc_port"));
  EXPECT_THAT(std::string(Load({}, {"WHEELPIT_DATADIR=/x"})->status.message()), testing::HasSubstr("data_dir"));
  EXPECT_THAT(std::string(Load({"--queue_lease_ttl=100ms"})->status.message()), testing::HasSubstr("1s to 12h"));
  EXPECT_FALSE(Load({"--journal_durability=sometimes"})->status.ok());
  EXPECT_FALSE(Load({"--routes=[{path: x}]"})->status.ok());
  EXPECT_FALSE(Load({"stray"})->status.ok());
  EXPECT_FALSE(Load({"--config=/no/such/file.yaml"})->status.ok());
  EXPECT_FALSE(Load({"--apis_key_file=k.pem"})->status.ok());
}

TEST(ServerConfigTest, VariablesOfKubernetesServicesAreNoOptions) {
  auto loaded = Load({}, {"WHEELPIT_ADAPTER_SERVICE_HOST=10.0.0.1", "WHEELPIT_ADAPTER_SERVICE_PORT=443",
                          "WHEELPIT_ADAPTER_SERVICE_PORT_HTTPS=443", "WHEELPIT_ADAPTER_PORT=tcp://10.0.0.1:443",
                          "WHEELPIT_ADAPTER_PORT_443_TCP=tcp://10.0.0.1:443", "WHEELPIT_ADAPTER_PORT_443_TCP_ADDR=10.0.0.1",
                          "WHEELPIT_PORT=tcp://10.0.0.2:7070", "WHEELPIT_GRPC_PORT=tcp://10.0.0.3:7070", "WHEELPIT_HTTP_PORT=9"});
  ASSERT_TRUE(loaded->status.ok()) << loaded->status;
  EXPECT_EQ(loaded->config.grpc_port, 7070);
  EXPECT_EQ(loaded->config.http_port, 9);
  EXPECT_FALSE(Load({}, {"WHEELPIT_ADAPTER_PORT=443"})->status.ok()) << "not what Kubernetes sets";
}

TEST(ServerConfigTest, WhatClientsMaySendMustFitIntoASegment) {
  const auto message = [](const std::vector<std::string>& args) { return std::string(Load(args)->status.message()); };
  EXPECT_THAT(message({"--journal_segment_bytes=1MiB"}),
              testing::AllOf(testing::HasSubstr("queue_payload_bytes_max=1MiB"), testing::HasSubstr("journal_segment_bytes=1MiB")));
  EXPECT_THAT(message({"--journal_segment_bytes=8MiB", "--queue_payload_bytes_max=16MiB"}),
              testing::AllOf(testing::HasSubstr("queue_payload_bytes_max=16MiB"), testing::HasSubstr("journal_segment_bytes=8MiB")));
  EXPECT_THAT(message({"--journal_segment_bytes=1MiB", "--queue_payload_bytes_max=1k", "--queue_result_bytes_max=1MiB"}),
              testing::HasSubstr("queue_result_bytes_max=1MiB"));
  EXPECT_EQ(message({"--journal_segment_bytes=2MiB"}), "");
  EXPECT_EQ(message({"--journal_segment_bytes=1MiB", "--queue_payload_bytes_max=900KiB"}), "");
  EXPECT_EQ(message({"--journal=memory", "--journal_segment_bytes=1MiB"}), "") << "no segments there";
  const auto small = Load({"--journal_segment_bytes=1MiB", "--queue_payload_bytes_max=1k"});
  EXPECT_LT(small->config.engine.ingest.batch_bytes_max, SegmentedLog::PayloadBytesMax(small->config.log));
}

TEST(ServerConfigTest, AFileWithAWrongOrDoubleKeyIsRefused) {
  ServerConfig config;
  OptionTable table;
  AddServerOptions(&config, &table);
  EXPECT_THAT(std::string(ApplyYaml("grcp_port: 1", "f.yaml", &table).message()), testing::AllOf(testing::HasSubstr("f.yaml"), testing::HasSubstr("grpc_port")));
  EXPECT_THAT(std::string(ApplyYaml("grpc_port: 1\ngrpc-port: 2", "f.yaml", &table).message()), testing::HasSubstr("twice"));
  EXPECT_FALSE(ApplyYaml("[1, 2]", "f.yaml", &table).ok());
  EXPECT_FALSE(ApplyYaml("a: [", "f.yaml", &table).ok());
  EXPECT_TRUE(ApplyYaml("", "f.yaml", &table).ok());
}

TEST(ServerConfigTest, DoorsAreShutUnlessSaidOtherwise) {
  EXPECT_TRUE(CheckDoors(Load({})->config).ok());
  for (const char* door : {"--grpc_host=0.0.0.0", "--http_host=10.0.0.1", "--apis_host=::"}) {
    EXPECT_EQ(CheckDoors(Load({door})->config).code(), absl::StatusCode::kFailedPrecondition) << door;
    EXPECT_TRUE(CheckDoors(Load({door, "--allow_insecure"})->config).ok());
  }
  // The cluster's own rules guard this one.
  EXPECT_TRUE(CheckDoors(Load({"--apis_host=::", "--apis_auth=kubernetes"})->config).ok());
  EXPECT_FALSE(CheckDoors(Load({"--http_host=::", "--apis_auth=kubernetes"})->config).ok());
  EXPECT_TRUE(IsLoopback("127.0.0.53"));
  EXPECT_TRUE(IsLoopback("::1"));
  EXPECT_FALSE(IsLoopback("example.com"));
}

TEST(ServerConfigTest, DataGoesWhereThePlatformKeepsState) {
  EXPECT_EQ(DefaultDataDir(true, "/x", "/home/a"), "/var/lib/wheelpit");
  EXPECT_EQ(DefaultDataDir(false, "/x", "/home/a"), "/x/wheelpit");
  EXPECT_EQ(DefaultDataDir(false, "relative", "/home/a"), "/home/a/.local/state/wheelpit");
}

TEST(ServerConfigTest, TheDocumentIsMadeFromTheTable) {
  const std::string path = WHEELPIT_SOURCE_DIR "/docs/config.md";
  const char* update = ::getenv("UPDATE_GOLDENS");
  if (update != nullptr && std::string(update) == "1") std::ofstream(path) << ConfigMarkdown();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), ConfigMarkdown()) << "run this test with UPDATE_GOLDENS=1";
}

}  // namespace
}  // namespace wheelpit
