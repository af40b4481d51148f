// The real server is killed again and again under load. What its clients were told must still be true at the end.
//
// Replay of the clients' choices: kill9_test --seed=N.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/integration/kill9_clients.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"
#include "wheelpit/v1/admin.grpc.pb.h"
#include "wheelpit/v1/query.grpc.pb.h"
#include "wheelpit/v1/queue.grpc.pb.h"

namespace wheelpit {
namespace {

constexpr int kRounds = 20;
// Rounds that were slower than that do not count, and are made up for.
constexpr double kOperationsPerSecondMin = 1000;
constexpr int kRoundsMax = 60;
constexpr int kSubmitters = 3;
constexpr int kWorkers = 3;
constexpr int kStreamReporters = 2;
constexpr int kUnaryReporters = 1;

uint64_t seed = 0;

uint64_t Sum(const Kill9Ledger::Acknowledged& counts) {
  uint64_t sum = 0;
  for (const uint64_t count : counts) sum += count;
  return sum;
}

// A port that nobody listens on, below the range that the kernel hands out by itself: while the server is down, no connection takes
// it (a client that connects to it might even meet itself there).
int PortForRestarts() {
  static std::random_device random;
  while (true) {
    const int port = 15'000 + static_cast<int>(random() % 15'000);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    ::close(fd);
    if (free) return port;
  }
}

// What the last line of `./run test` shows.
void NoteNotRun(const std::string& what) {
  std::cerr << what << "\n";
  if (const char* path = std::getenv("NOT_RUN_FILE"); path != nullptr) {
    if (FILE* file = std::fopen(path, "a"); file != nullptr) {
      std::fprintf(file, "%s\n", what.c_str());
      std::fclose(file);
    }
  }
}

class Kill9Test : public testing::Test {
 protected:
  void SetUp() override {
    ServerProcessOptions options;
    options.binary = SERVER_BINARY;
    options.data_dir = folder_.path() + "/state";
    // Small, so that segments are recycled and checkpoints are under way when the end comes. Short leases: a lost one comes back soon.
    options.flags = {"--journal_segment_bytes=1MiB", "--queue_payload_bytes_max=512KiB", "--journal_checkpoint_bytes=1MiB", "--journal_checkpoint_interval=1s",
                      "--queue_lease_ttl=2s",         "--queue_session_grace=1s",        "--queue_max_losses=100",
                     "--journal_disk_low_bytes=0",   "--journal_disk_low_percent=0"};
    for (const char* door : {"grpc", "http", "apis"}) options.flags.push_back(absl::StrCat("--", door, "_port=", PortForRestarts()));
    server_ = std::make_unique<ServerProcess>(std::move(options));
    run_.seed = seed;
    std::cerr << "replay: kill9_test --seed=" << seed << "\n";
  }

  bool StartServer() {
    const absl::Status started = server_->Start();
    EXPECT_TRUE(started.ok()) << started;
    if (!started.ok()) return false;
    run_.address = server_->grpc();
    const v1::ServerInfo info = Info();
    EXPECT_TRUE(info.ready());
    EXPECT_EQ(info.journal_durability(), "always");
    EXPECT_GT(info.epoch(), epoch_) << "an epoch came twice";
    epoch_ = info.epoch();
    return true;
  }

  void StartClients() {
    for (int i = 0; i < kSubmitters; ++i) producers_.emplace_back([this, i] { RunSubmitter(&run_, i); });
    for (int i = 0; i < kWorkers; ++i) {
      workers_.push_back(std::make_unique<Kill9Worker>(&run_, i));
      worker_threads_.emplace_back([worker = workers_.back().get()] { worker->Run(); });
    }
    sums_.resize(kStreamReporters);
    unary_sums_.resize(kUnaryReporters);
    for (int i = 0; i < kStreamReporters; ++i) producers_.emplace_back([this, i] { sums_[i] = RunStreamReporter(&run_, i); });
    for (int i = 0; i < kUnaryReporters; ++i) producers_.emplace_back([this, i] { unary_sums_[i] = RunUnaryReporter(&run_, i); });
  }

  bool Running() {
    siginfo_t ended = {};
    if (server_->pid() > 0 && ::waitid(P_PID, static_cast<id_t>(server_->pid()), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        ended.si_pid == 0) {
      return true;
    }
    ADD_FAILURE() << "the server ended by itself";
    return false;
  }

  // Until so many more operations of every kind were acknowledged; false when something went wrong.
  bool AwaitOperations(const Kill9Ledger::Acknowledged& since, uint64_t all, uint64_t each) {
    while (true) {
      const Kill9Ledger::Acknowledged now = run_.ledger.acknowledged();
      bool enough = Sum(now) - Sum(since) >= all;
      for (int kind = 0; kind < Kill9Ledger::kKinds; ++kind) enough = enough && now[kind] - since[kind] >= each;
      if (enough) return true;
      if (!run_.ledger.violations().empty()) return false;
      if (!Running()) return false;
      run_.ledger.WaitForNews();
    }
  }

  // Everything begun is brought to its end; workers go on until nothing is open.
  bool FinishClients() {
    run_.stop = true;
    run_.ledger.Finish();
    for (std::thread& producer : producers_) producer.join();
    producers_.clear();
    while (run_.ledger.open_tasks() > 0 && run_.ledger.violations().empty() && Running()) run_.ledger.WaitForNews();
    return StopWorkers() && Running();
  }

  bool StopWorkers() {
    for (const auto& worker : workers_) worker->Cancel();
    for (std::thread& thread : worker_threads_) thread.join();
    worker_threads_.clear();
    return true;
  }

  v1::ServerInfo Info() {
    v1::ServerInfo info;
    grpc::ClientContext context;
    const grpc::Status status = v1::AdminService::NewStub(Kill9Channel(run_.address))->GetServerInfo(&context, {}, &info);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return info;
  }

  double Total(const std::string& query) {
    v1::QueryRequest request;
    v1::QueryResponse response;
    request.set_query(query);
    grpc::ClientContext context;
    const grpc::Status status = v1::QueryService::NewStub(Kill9Channel(run_.address))->Query(&context, request, &response);
    EXPECT_TRUE(status.ok()) << query << ": " << status.error_message();
    EXPECT_EQ(response.vector().elements_size(), 1) << query;
    return response.vector().elements_size() == 1 ? response.vector().elements(0).value() : -1;
  }

  void ExpectEveryTaskOnceAndDone(const std::vector<std::string>& ids);
  void ExpectTotals(uint64_t tasks);

  TempFolder folder_;
  std::unique_ptr<ServerProcess> server_;
  uint64_t epoch_ = 0;
  Kill9Run run_;
  std::vector<std::thread> producers_;
  std::vector<std::unique_ptr<Kill9Worker>> workers_;
  std::vector<std::thread> worker_threads_;
  std::vector<ReportSums> sums_;
  std::vector<uint64_t> unary_sums_;
};

void Kill9Test::ExpectEveryTaskOnceAndDone(const std::vector<std::string>& ids) {
  const auto stub = v1::QueueService::NewStub(Kill9Channel(run_.address));
  std::vector<std::string> listed;
  v1::ListTasksRequest request;
  request.set_queue(kKill9Queue);
  request.set_page_size(1000);
  do {
    v1::ListTasksResponse response;
    grpc::ClientContext context;
    const grpc::Status status = stub->ListTasks(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    for (const v1::Task& task : response.tasks()) {
      EXPECT_EQ(task.state(), v1::TASK_STATE_SUCCEEDED) << task.ShortDebugString();
      EXPECT_GE(task.attempts(), 1u) << task.ShortDebugString();
      listed.push_back(task.id());
    }
    request.set_cursor(response.next_cursor());
  } while (!request.cursor().empty());
  std::sort(listed.begin(), listed.end());
  EXPECT_TRUE(std::adjacent_find(listed.begin(), listed.end()) == listed.end()) << "a task is listed twice";
  // Every submit was acknowledged in the end, so the ledger knows every task that may exist.
  EXPECT_TRUE(listed == ids) << listed.size() << " tasks exist, " << ids.size() << " were acknowledged";
  for (size_t i = 0; i < ids.size(); i += 1 + ids.size() / 300) {
    v1::GetTaskRequest get;
    get.set_id(ids[i]);
    get.set_with_result(true);
    v1::Task task;
    grpc::ClientContext context;
    const grpc::Status status = stub->GetTask(&context, get, &task);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(task.result(), ids[i]);
  }
}

void Kill9Test::ExpectTotals(uint64_t tasks) {
  const std::string queue = absl::StrCat("{queue=\"", kKill9Queue, "\"}");
  EXPECT_EQ(Total(absl::StrCat("wheelpit_tasks_submitted_total", queue)), static_cast<double>(tasks));
  EXPECT_EQ(Total(absl::StrCat("wheelpit_tasks_completed_total", queue)), static_cast<double>(tasks));
  EXPECT_EQ(Total(absl::StrCat("sum(", kKill9Submits, ")")), static_cast<double>(tasks));
  for (int lane = 0; lane < kStreamReporters; ++lane) {
    for (const auto& [ref, sum] : sums_[lane].counts) {
      EXPECT_EQ(Total(absl::StrCat(kKill9Reports, "{lane=\"", lane, "\",ref=\"", ref, "\"}")), static_cast<double>(sum));
    }
    EXPECT_EQ(Total(absl::StrCat(kKill9Amounts, "{lane=\"", lane, "\"}")), sums_[lane].amount);
  }
  for (int lane = 0; lane < kUnaryReporters; ++lane) {
    EXPECT_EQ(Total(absl::StrCat(kKill9Unary, "{lane=\"", lane, "\"}")), static_cast<double>(unary_sums_[lane]));
  }
  v1::GetQueueRequest request;
  request.set_name(kKill9Queue);
  v1::QueueInfo info;
  grpc::ClientContext context;
  const grpc::Status status = v1::AdminService::NewStub(Kill9Channel(run_.address))->GetQueue(&context, request, &info);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(info.totals().submitted(), tasks);
  EXPECT_EQ(info.totals().completed(), tasks);
  EXPECT_EQ(info.counts().succeeded(), tasks);
  EXPECT_EQ(info.counts().ready() + info.counts().leased() + info.counts().retry_wait() + info.counts().delayed() + info.counts().dead(), 0u);
}

TEST_F(Kill9Test, WhatWasAcknowledgedIsStillTrueAfterTwentyKills) {
  std::mt19937_64 random(seed);
  ASSERT_TRUE(StartServer());
  StartClients();
  int counted = 0;
  int rounds = 0;
  uint64_t operations = 0;
  double up_seconds = 0;
  bool good = true;
  while (good && counted < kRounds && rounds < kRoundsMax) {
    const Kill9Ledger::Acknowledged before = run_.ledger.acknowledged();
    const auto begin = std::chrono::steady_clock::now();
    run_.boots.Up(epoch_);
    good = AwaitOperations(before, 4000 + random() % 16000, 50);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    server_->Kill();
    run_.boots.Down();
    const uint64_t acknowledged = Sum(run_.ledger.acknowledged()) - Sum(before);
    operations += acknowledged;
    up_seconds += seconds;
    ++rounds;
    if (static_cast<double>(acknowledged) >= kOperationsPerSecondMin * seconds) ++counted;
    if (!StartServer()) std::abort();  // the clients wait for it
  }
  run_.boots.Up(epoch_);
  good = FinishClients() && good;
  if (good) {
    // Once more, with nothing under way: what the end looks like must not depend on this boot's memory.
    server_->Kill();
    good = StartServer();
  }
  run_.boots.End();
  run_.ledger.Judge();
  for (const std::string& violation : run_.ledger.violations()) ADD_FAILURE() << violation;
  if (good) {
    const std::vector<std::string> ids = run_.ledger.ids();
    ExpectEveryTaskOnceAndDone(ids);
    ExpectTotals(ids.size());
  }
  EXPECT_TRUE(good) << server_->output();
  const Kill9Ledger::Acknowledged all = run_.ledger.acknowledged();
  std::cerr << rounds << " kills, " << counted << " of them at " << kOperationsPerSecondMin << "/s or more; " << operations
            << " operations acknowledged in " << up_seconds << " s: " << static_cast<double>(operations) / up_seconds << "/s ("
            << all[Kill9Ledger::kSubmit] << " submits, " << all[Kill9Ledger::kComplete] << " completions, " << all[Kill9Ledger::kReport]
            << " reports)\n";
  if (good && (counted < kRounds || static_cast<double>(operations) < kOperationsPerSecondMin * up_seconds)) {
    NoteNotRun(absl::StrCat("kill9_test: only ", counted, " of ", kRounds, " kills came at ", kOperationsPerSecondMin,
                            " operations/s (machine too slow)"));
  }
}

}  // namespace
}  // namespace wheelpit

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  wheelpit::seed = std::random_device()();
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (absl::StartsWith(argument, "--seed=") && !absl::SimpleAtoi(argument.substr(7), &wheelpit::seed)) return 2;
  }
  return RUN_ALL_TESTS();
}
