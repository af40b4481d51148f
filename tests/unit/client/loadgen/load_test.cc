#include "client/loadgen/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "client/loadgen/payloads.h"
#include "tests/support/fake_aggregator.h"

namespace wheelpit {
namespace {

class LoadTest : public testing::Test {
 protected:
  LoadTest() {
    std::string pattern = testing::TempDir() + "/load.XXXXXX";
    dir_ = mkdtemp(pattern.data());
  }
  ~LoadTest() override { std::filesystem::remove_all(dir_); }
  void WriteFile(const std::string& name, size_t bytes) {
    std::filesystem::create_directories(std::filesystem::path(dir_ + "/" + name).parent_path());
    std::ofstream(dir_ + "/" + name) << std::string(bytes, name[0]);
  }

  std::string dir_;
};

TEST_F(LoadTest, EveryAcknowledgedSubmitIsInTheLedgerOnce) {
  FakeAggregator server;
  WriteFile("files/a", 100);
  WriteFile("files/deep/b", 200);
  WriteFile("files/small", 1);
  LoadOptions options;
  options.profile = RateProfile::Decaying(2000, 0, 60);
  options.requests_max = 300;
  options.client.address = server.address();
  options.queue = "q";
  options.payload_dir = dir_ + "/files";
  options.payload_bytes_min = 50;
  options.ledger = dir_ + "/ledger";
  const auto summary = RunLoad(options);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->arrivals, 300);
  EXPECT_EQ(summary->acknowledged, 300);
  EXPECT_EQ(summary->failed, 0);
  std::set<std::string> ids;
  std::ifstream ledger(options.ledger);
  std::string line;
  while (std::getline(ledger, line)) {
    const auto entry = nlohmann::json::parse(line);
    EXPECT_TRUE(ids.insert(entry["id"]).second);
    const auto tasks = server.tasks();
    EXPECT_EQ(tasks.at(entry["id"]).task.payload().size(),
              std::filesystem::file_size(entry["payload"].get<std::string>()));
  }
  EXPECT_EQ(ids.size(), 300);
  EXPECT_EQ(server.tasks().size(), 300);
}

TEST_F(LoadTest, NobodyThereIsCountedAsUnreachable) {
  LoadOptions options;
  options.profile = RateProfile::Decaying(1000, 0, 60);
  options.requests_max = 3;
  options.http_url = "http://127.0.0.1:1";
  const auto summary = RunLoad(options);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->failed, 3);
  EXPECT_EQ(summary->unreachable, 3);
  EXPECT_NE(summary->first_error, "");
}

// A server that takes connections and never answers.
class SilentServer {
 public:
  SilentServer() {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 100), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentServer() { close(fd_); }
  std::string url() const { return absl::StrCat("http://127.0.0.1:", port_); }

 private:
  const int fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port_ = 0;
};

// A load on it that is stopped once more than `arrivals` have come.
absl::StatusOr<LoadSummary> LoadOfSilence(double rate, int connections, uint64_t arrivals) {
  SilentServer server;
  std::atomic<bool> stop = false;
  LoadOptions options;
  options.profile = RateProfile::Decaying(rate, 0, 60);
  options.http_url = server.url();
  options.connections = connections;
  options.timeout_ms = 1000;
  options.stop = &stop;
  options.on_progress = [&](uint64_t sent, uint64_t, uint64_t) { stop = sent > arrivals; };
  return RunLoad(options);
}

TEST_F(LoadTest, WhatWaitsWhenItIsStoppedIsNotSent) {
  const auto summary = LoadOfSilence(2000, 2, 100);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_GE(summary->unsent, 90);
  EXPECT_LE(summary->arrivals, 10);
  EXPECT_EQ(summary->failed, summary->arrivals);
}

TEST_F(LoadTest, ArrivalsBeyondWhatMayWaitFail) {
  const auto summary = LoadOfSilence(100'000, 1, 2000);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_LE(summary->unsent, 1000);
  EXPECT_GE(summary->failed, 900);
  EXPECT_THAT(summary->first_error, testing::HasSubstr("wait for a connection"));
}

TEST_F(LoadTest, PayloadsKeepToTheirBounds) {
  WriteFile("x", 10);
  WriteFile("y", 20);
  WriteFile("z", 30);
  const auto payloads = Payloads::FromFolder(dir_, 15, 25);
  ASSERT_TRUE(payloads.ok());
  EXPECT_EQ(payloads->files(), 1);
  Rng rng(1);
  EXPECT_EQ(payloads->Draw(&rng)->bytes, std::string(20, 'y'));
  EXPECT_EQ(Payloads::FromFolder(dir_, 31, 40).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Payloads::FromFolder(dir_ + "/none", 0, 1).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace wheelpit
