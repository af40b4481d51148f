// queue_durable: submit -> lease -> complete of 64-byte tasks a second, synced before every acknowledgement, against beanstalkd -f0.
//
// `n` submitting and `n` working connections with up to `depth` unanswered operations each, the same for both sides, rounds in turn,
// data on one file system. Ours: SubmitBatch of what has piled up (at most depth) and the Work stream. A run counts only if every
// task was completed exactly once.
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/bench/beanstalk_client.h"
#include "tests/bench/bench_util.h"
#include "wheelpit/v1/queue.grpc.pb.h"

namespace wheelpit::bench {
namespace {

struct Options {
  std::string bin = "build/dev/bin";
  std::string folder;
  int rounds = 5;
  int connections = 32;
  uint64_t tasks = 60'000;
  uint64_t peer_tasks = 6'000;
};

std::shared_ptr<grpc::Channel> Channel(const std::string& address, int index) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("wheelpit.bench.index", index);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Every completed task of one round, by id; ends the round when all are there.
class Ledger {
 public:
  explicit Ledger(uint64_t tasks) : tasks_(tasks) {}
  void Completed(const std::string& id) {
    std::lock_guard lock(mu_);
    if (!ids_.insert(id).second) Fail("task " + id + " was completed twice");
    if (ids_.size() == tasks_) cv_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mu_);
    if (!cv_.wait_for(lock, std::chrono::seconds(120), [&] { return ids_.size() == tasks_; })) {
      Fail(absl::StrCat("stalled at ", ids_.size(), " of ", tasks_, " tasks"));
    }
  }

 private:
  const uint64_t tasks_;
  std::mutex mu_;
  std::condition_variable cv_;
  std::unordered_set<std::string> ids_;
};

// One working connection over its whole life; `ledger` changes with each round.
class WorkerStream : public grpc::ClientBidiReactor<v1::WorkRequest, v1::WorkResponse> {
 public:
  WorkerStream(v1::QueueService::Stub* stub, int index, int depth) {
    v1::WorkHello* hello = pending_.mutable_hello();
    hello->set_worker_id(absl::StrCat("bench-", index));
    hello->add_queues()->set_name("bench");
    hello->mutable_credit()->set_slots(static_cast<uint32_t>(depth));
    has_pending_ = true;
    stub->async()->Work(&context_, this);
    std::lock_guard lock(mu_);
    Write();
    StartRead(&response_);
    StartCall();
  }
  void SetLedger(Ledger* ledger) {
    std::lock_guard lock(mu_);
    ledger_ = ledger;
  }
  void Stop() {
    context_.TryCancel();
    std::unique_lock lock(mu_);
    cv_.wait(lock, [&] { return done_; });
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    std::vector<std::string> completed;
    Ledger* ledger;
    {
      std::lock_guard lock(mu_);
      ledger = ledger_;
      if (response_.has_assign()) {
        v1::WorkComplete* complete = pending_.mutable_complete();
        for (const v1::Assignment& a : response_.assign().assignments()) {
          v1::Completion* c = complete->add_completions();
          c->set_task_id(a.task().id());
          c->set_token(a.token());
        }
        has_pending_ = true;
        Write();
      } else if (response_.has_ack()) {
        for (const v1::LeaseResult& r : response_.ack().results()) {
          if (r.status().code() != 0) Fail("complete: " + r.status().message());
          completed.push_back(r.task_id());
        }
      } else if (response_.has_ping()) {
        if (!has_pending_) pending_.mutable_heartbeat();
        has_pending_ = true;
        Write();
      } else if (response_.has_lease_lost()) {
        Fail("a lease was lost");
      }
    }
    for (const std::string& id : completed) ledger->Completed(id);
    StartRead(&response_);
  }
  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mu_);
    writing_ = false;
    if (ok) Write();
  }
  void OnDone(const grpc::Status&) override {
    std::lock_guard lock(mu_);
    done_ = true;
    cv_.notify_all();
  }

 private:
  void Write() {
    if (writing_ || !has_pending_) return;
    writing_ = true;
    has_pending_ = false;
    request_.Swap(&pending_);
    pending_.Clear();
    StartWrite(&request_);
  }

  grpc::ClientContext context_;
  std::mutex mu_;
  std::condition_variable cv_;
  Ledger* ledger_ = nullptr;
  v1::WorkRequest request_, pending_;
  v1::WorkResponse response_;
  bool has_pending_ = false, writing_ = false, done_ = false;
};

// One submitting connection: two batches in flight, together at most `depth` tasks.
class Submitter {
 public:
  Submitter(v1::QueueService::Stub* stub, int depth) : stub_(stub), batch_(std::max(depth / 2, 1)), calls_(depth > 1 ? 2 : 1) {}
  void Start(uint64_t tasks) {
    {
      std::lock_guard lock(mu_);
      left_ = tasks;
    }
    for (int i = 0; i < calls_; ++i) Next();
  }
  void Wait() {
    std::unique_lock lock(mu_);
    cv_.wait(lock, [&] { return left_ == 0 && in_flight_ == 0; });
  }

 private:
  struct Call {
    grpc::ClientContext context;
    v1::SubmitBatchRequest request;
    v1::SubmitBatchResponse response;
  };
  void Next() {
    auto call = std::make_shared<Call>();
    {
      std::lock_guard lock(mu_);
      const uint64_t n = std::min<uint64_t>(left_, static_cast<uint64_t>(batch_));
      if (n == 0) {
        cv_.notify_all();
        return;
      }
      left_ -= n;
      ++in_flight_;
      for (uint64_t i = 0; i < n; ++i) {
        v1::TaskSpec* task = call->request.add_tasks();
        task->set_queue("bench");
        task->set_payload(std::string(64, 'x'));
      }
    }
    stub_->async()->SubmitBatch(&call->context, &call->request, &call->response, [this, call](grpc::Status status) {
      if (!status.ok()) Fail("submit: " + status.error_message());
      for (const v1::SubmitResult& r : call->response.results()) {
        if (r.status().code() != 0) Fail("submit: " + r.status().message());
      }
      {
        std::lock_guard lock(mu_);
        --in_flight_;
      }
      Next();
    });
  }

  v1::QueueService::Stub* const stub_;
  const int batch_, calls_;
  std::mutex mu_;
  std::condition_variable cv_;
  uint64_t left_ = 0;
  int in_flight_ = 0;
};

class QueueSide {
 public:
  QueueSide(const std::string& address, int connections, int depth) {
    for (int i = 0; i < 2 * connections; ++i) stubs_.push_back(v1::QueueService::NewStub(Channel(address, i)));
    for (int i = 0; i < connections; ++i) {
      submitters_.push_back(std::make_unique<Submitter>(stubs_[static_cast<size_t>(i)].get(), depth));
      workers_.push_back(std::make_unique<WorkerStream>(stubs_[static_cast<size_t>(connections + i)].get(), i, depth));
    }
  }
  ~QueueSide() {
    for (auto& w : workers_) w->Stop();
  }
  double Run(uint64_t tasks) {
    Ledger ledger(tasks);
    for (auto& w : workers_) w->SetLedger(&ledger);
    const double start = Now();
    const uint64_t n = submitters_.size();
    for (uint64_t i = 0; i < n; ++i) submitters_[i]->Start(tasks / n + (i < tasks % n ? 1 : 0));
    ledger.Wait();
    for (auto& s : submitters_) s->Wait();
    return static_cast<double>(tasks) / (Now() - start);
  }

 private:
  std::vector<std::unique_ptr<v1::QueueService::Stub>> stubs_;
  std::vector<std::unique_ptr<Submitter>> submitters_;
  std::vector<std::unique_ptr<WorkerStream>> workers_;
};

int StartBeanstalk(const std::string& folder, std::vector<ChildProcess>* process) {
  const std::string data = folder + "/beanstalkd";
  std::filesystem::remove_all(data);
  std::filesystem::create_directories(data);
  const int port = 20000 + ::getpid() % 20000;
  ChildOptions child;
  child.arguments = {"beanstalkd", "-l", "127.0.0.1", "-p", absl::StrCat(port), "-b", data, "-f0"};
  absl::StatusOr<ChildProcess> started = ChildProcess::Start(child);
  if (!started.ok()) Fail("beanstalkd: " + std::string(started.status().message()) + " (./run bench installs it)");
  process->push_back(*std::move(started));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  return port;
}

void Compare(const Options& options, const std::string& name, const std::string& address, int port, int connections, int depth,
             uint64_t tasks, uint64_t peer_tasks) {
  QueueSide side(address, connections, depth);
  std::vector<double> ours, theirs;
  const PeerLoad load{connections, connections, depth, peer_tasks};
  side.Run(tasks / 4 + 1);  // warms up
  for (int round = 0; round < options.rounds; ++round) {
    ours.push_back(side.Run(tasks));
    theirs.push_back(RunBeanstalk(port, load));
  }
  Print({name, "beanstalkd -f0", Median(ours), Median(theirs), "tasks/s", true,
         absl::StrCat(connections, "+", connections, " connections, depth ", depth, ", 64 B, sync before every ack, ", options.rounds,
                      " rounds of ", tasks, " (peer ", peer_tasks, ") tasks, ", std::thread::hardware_concurrency(), " cores")});
}

int Run(const Options& options) {
  const std::string folder = DataFolder(options.folder);
  Server server(options.bin, folder, {"--journal=embedded", "--journal_durability=always"});
  std::vector<ChildProcess> beanstalkd;
  const int port = StartBeanstalk(folder, &beanstalkd);
  Compare(options, "queue_durable", server.grpc(), port, options.connections, 32, options.tasks, options.peer_tasks);
  Compare(options, "queue_durable_depth1", server.grpc(), port, 1, 1, std::max<uint64_t>(options.tasks / 60, 10),
          std::max<uint64_t>(options.peer_tasks / 6, 10));
  return 0;
}

}  // namespace
}  // namespace wheelpit::bench

int main(int argc, char** argv) {
  wheelpit::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    absl::string_view a = argv[i];
    if (absl::ConsumePrefix(&a, "--bin=")) {
      options.bin = std::string(a);
    } else if (absl::ConsumePrefix(&a, "--folder=")) {
      options.folder = std::string(a);
    } else if (absl::ConsumePrefix(&a, "--rounds=") && absl::SimpleAtoi(a, &options.rounds)) {
    } else if (absl::ConsumePrefix(&a, "--tasks=") && absl::SimpleAtoi(a, &options.tasks)) {
    } else if (absl::ConsumePrefix(&a, "--peer-tasks=") && absl::SimpleAtoi(a, &options.peer_tasks)) {
    } else if (absl::ConsumePrefix(&a, "--connections=") && absl::SimpleAtoi(a, &options.connections)) {
    } else {
      std::cerr << "usage: queue_bench [--bin=DIR] [--folder=DIR] [--rounds=5] [--tasks=60000] [--peer-tasks=6000] [--connections=32]\n";
      return 2;
    }
  }
  return wheelpit::bench::Run(options);
}
