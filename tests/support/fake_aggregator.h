// A small aggregator in memory behind real gRPC, for tests of clients: it follows the protocol's
// rules, checks the client's side of them, and breaks connections where told.
//
//   FakeAggregator server;
//   options.address = server.address();
//   server.SetFaults({.seed = 7, .cut_before_apply = 0.1, .cut_after_apply = 0.1});
//   …
//   EXPECT_EQ(server.totals()["jobs_total"], 100);
//   EXPECT_EQ(server.violations(), "");
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/sync.h"
#include "wheelpit/v1/admin.grpc.pb.h"
#include "wheelpit/v1/query.grpc.pb.h"
#include "wheelpit/v1/queue.grpc.pb.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {

// Chances in 0..1 of each message (reports, work) or call (submits).
struct FakeFaults {
  uint64_t seed = 1;
  double cut_before_apply = 0;
  double cut_after_apply = 0;  // applied, but the answer is lost
};

class FakeAggregator {
 public:
  FakeAggregator();
  ~FakeAggregator();

  std::string address() const;
  // Ends every call and stops listening; the state stays. Start listens on the same port again.
  void Stop();
  void Start();
  // Forgets everything, under a new history.
  void LoseState();

  void SetFaults(const FakeFaults& faults);
  // Submit calls wait until released.
  void HoldSubmits(bool hold);
  // Items of the next `n` submitted tasks are refused with RESOURCE_EXHAUSTED (retryable or not).
  void RefuseSubmits(int n, bool retryable);
  // Credit of report streams, also of those that are open (told with the next ack).
  void SetReportCredit(uint32_t credit);
  // Batches are applied but not acknowledged until released.
  void HoldReportAcks(bool hold);
  // Counter families that are refused with TYPE_CONFLICT.
  void RefuseFamily(const std::string& family);
  // The lease is taken away and the task READY again.
  void LoseLease(const std::string& task_id) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void RequestCancel(const std::string& task_id) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void SetResultBytesMax(size_t bytes);

  // Totals of counters and values of gauges by `name{label="value"}`, labels sorted.
  std::map<std::string, double> totals() const;
  uint64_t report_hellos() const;
  bool drained_goodbye() const;
  // Sizes of the submit batches, in order.
  std::vector<int> batch_sizes() const;
  uint64_t duplicate_submits() const;
  size_t work_streams() const;
  // WorkComplete messages and the completions in them.
  std::pair<uint64_t, uint64_t> completions() const;

  struct TaskRecord {
    v1::Task task;
    uint64_t token = 0;
    uint64_t completions = 0;  // that changed its state
  };
  std::map<std::string, TaskRecord> tasks() const;
  // Rules that a client has broken; empty = none.
  std::string violations() const;
  // Waits until `predicate` holds; it is looked at again after every change of state. False if it
  // did not within 60 s.
  bool WaitFor(const std::function<bool()>& predicate);

 private:
  struct State;
  class Reports;
  class Queue;
  class Queries;
  class Admin;
  const std::unique_ptr<State> state_;
  const std::unique_ptr<Reports> reports_;
  const std::unique_ptr<Queue> queue_;
  const std::unique_ptr<Queries> queries_;
  const std::unique_ptr<Admin> admin_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace wheelpit
