// The clients of the kill -9 test: each is one thread on one connection of its own, sends until told to finish, repeats what was
// not acknowledged, and writes into the ledger what was.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/sync.h"
#include "grpcpp/grpcpp.h"
#include "tests/integration/kill9_ledger.h"

namespace wheelpit {

inline constexpr char kKill9Queue[] = "kill9";
inline constexpr char kKill9Submits[] = "kill9_submits_total";    // counted with each task
inline constexpr char kKill9Reports[] = "kill9_reports_total";    // integral deltas, label `lane`, `ref`
inline constexpr char kKill9Amounts[] = "kill9_amounts_total";    // multiples of 1/4, label `lane`
inline constexpr char kKill9Unary[] = "kill9_unary_total";        // label `lane`

// Which boot of the server is up, as the test knows. Thread-safe.
class Boots {
 public:
  void Up(uint64_t epoch);
  void Down();
  // No boot comes any more.
  void End();
  // Waits until a boot is up; its epoch. 0 after End().
  uint64_t Await();
  // 0 while none is up.
  uint64_t current() const;

 private:
  mutable Mutex mu_;
  CondVar changed_;
  uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

// What all clients of a run share.
struct Kill9Run {
  std::string address;
  uint64_t seed = 1;
  uint64_t open_tasks_max = 3000;
  Boots boots;
  Kill9Ledger ledger;
  std::atomic<bool> stop{false};  // relaxed: send what is begun, then end
  std::atomic<uint64_t> history_id{0};  // relaxed: as the first reporter was told
};

std::shared_ptr<grpc::Channel> Kill9Channel(const std::string& address);

// Sends batches of keyed tasks until `stop`, each until every task of it is acknowledged; repeats some that were.
void RunSubmitter(Kill9Run* run, int lane);

// Completes what it is given, until Cancel().
class Kill9Worker {
 public:
  Kill9Worker(Kill9Run* run, int lane) : run_(run), lane_(lane) {}
  void Run();
  void Cancel();

 private:
  void OneStream(uint64_t epoch);

  Kill9Run* const run_;
  const int lane_;
  std::string session_;
  std::map<uint64_t, std::string> held_;  // token -> task: completion sent or to be sent, not answered
  Mutex mu_;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
};

// What reporters sent in distinct batches, all of them acknowledged when the reporter has ended.
struct ReportSums {
  std::map<std::string, uint64_t> counts;  // by label `ref`
  double amount = 0;
};

// Numbered batches on a stream, several at once; a new incarnation now and then.
ReportSums RunStreamReporter(Kill9Run* run, int lane);
// One batch a call, repeated until acknowledged, and now and then once more.
uint64_t RunUnaryReporter(Kill9Run* run, int lane);

}  // namespace wheelpit
