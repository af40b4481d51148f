// The clients of the simulation: submitters, workers (streams and unary, careful and careless), and reporters.
//
// Each keeps its own ledger and tells TaskHistory what it sees. A closure of an earlier process life never runs.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/sim/task_history.h"
#include "tests/sim/world.h"

namespace wheelpit::sim {

struct Context {
  World* world;
  TaskHistory* history;
  Rng* rng;
  std::vector<std::string> queues;
};

class Submitter {
 public:
  explicit Submitter(Context* context) : c_(*context) {}
  // A new task, a batch, or the repeat of one whose answer never came.
  void Step();
  void RetryUnknown();
  size_t unknown() const { return unknown_.size(); }

 private:
  TaskSpec Make();
  void Send(TaskSpec spec);
  void SendBatch(bool atomic);
  void Settled(const TaskSpec& spec, const absl::StatusOr<SubmitOutcome>& r, int64_t sent_ms);

  Context& c_;
  uint64_t next_ = 1;
  std::map<std::string, TaskSpec> unknown_;  // by key
};

// A stream worker with slots, or a unary one with none.
class Worker : public WorkerChannel {
 public:
  Worker(Context* context, int index) : c_(*context), name_("worker-" + std::to_string(index)) {}

  void Step();
  void Disconnect();
  // The process is about to end, and the stream with it.
  void ServerGone();
  // Completes everything it holds; for the end of a run.
  void CompleteAll();
  void Connect(uint32_t slots);
  bool connected() const { return session_ != 0 && life_ == c_.world->life(); }
  size_t held() const { return held_.size(); }

  void Assign(std::vector<Assignment> assignments) override;
  void LeaseLost(std::vector<LeaseRef> leases, absl::string_view cause) override;
  void CancelNotice(std::vector<LeaseRef> leases) override;
  void Superseded() override { session_ = 0; }

 private:
  void Take(const Assignment& a);
  void LeaseUnary();
  void Operate();
  void Complete(LeaseRef lease);
  void Fail(LeaseRef lease);
  void Extend(LeaseRef lease);
  void Release(LeaseRef lease);
  void Drop(TaskId id);
  bool IsHeld(const LeaseRef& lease) const;
  LeaseRef Pick();

  Context& c_;
  const std::string name_;
  SessionId session_ = 0;
  uint64_t life_ = 0;
  uint32_t slots_ = 0;
  std::vector<LeaseRef> held_;
  std::vector<LeaseRef> old_;  // of the past, for careless use
};

class Reporter {
 public:
  Reporter(Context* context, int index);
  ~Reporter();
  void Step();
  // Sends until everything is acknowledged.
  void Flush();
  bool drained() const { return unacked_.empty(); }
  // Before the process ends: streams must not outlive their engine.
  void ServerGone();
  // series -> sum of every batch ever made.
  const std::map<std::string, uint64_t>& totals() const { return totals_; }

 private:
  struct Sent {
    uint64_t seq;
    std::vector<uint32_t> refs;
    std::vector<uint64_t> values;
  };
  bool Open();
  void Make();
  void Send(const Sent& batch);
  void Lost();
  void StepAnomaly();

  Context& c_;
  const std::string id_;
  uint64_t incarnation_ = 1;
  uint64_t next_seq_ = 1;
  uint64_t acked_ = 0;
  uint64_t sent_through_ = 0;
  std::deque<Sent> unacked_;
  Sent last_acked_;
  std::map<std::string, uint64_t> totals_;
  std::unique_ptr<ReportStream> stream_;
  uint64_t stream_life_ = 0;
  uint64_t stream_number_ = 0;
  bool defined_ = false;
  bool lost_ = false;
};

}  // namespace wheelpit::sim
