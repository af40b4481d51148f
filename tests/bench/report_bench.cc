// report_applied: samples a second through the report stream, against a bare gRPC echo of the same bytes.
//
// Both sides: a server process, this process as the client, `streams` bidirectional streams with the same number of messages in
// flight, 1,000 samples a message over 1,000 distinct series. Rounds alternate between the two. Ours counts only what was
// acknowledged, and the totals asked of the server afterwards must equal what was sent.
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>
#include <unistd.h>

#include <condition_variable>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/bench/bench_util.h"
#include "tests/bench/echo.grpc.pb.h"
#include "wheelpit/v1/query.grpc.pb.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit::bench {
namespace {

constexpr int kSeries = 1000;
constexpr int kInFlight = 8;

struct Options {
  std::string bin = "build/dev/bin";
  std::string folder;
  int streams = 16;
  int rounds = 5;
  double seconds = 2;
  bool echo_server = false;
};

// One stream of either service: keeps kInFlight messages unanswered until told to stop, then waits for the last answer.
template <typename Request, typename Response>
class Pump : public grpc::ClientBidiReactor<Request, Response> {
 public:
  // Called with the number of messages acknowledged so far by this answer.
  using Acked = std::function<uint64_t(const Response&)>;
  using Fill = std::function<void(Request*, uint64_t seq)>;

  Pump(Fill fill, Acked acked) : fill_(std::move(fill)), acked_fn_(std::move(acked)) {}

  void Begin(Request* hello) {
    hello_ = hello;
    // While held, the reactor may wait for Start() without an operation outstanding.
    this->AddHold();
    if (hello_ != nullptr) {
      this->StartWrite(hello_);
      this->StartRead(&response_);
    } else {
      ready_ = true;
    }
    this->StartCall();
  }
  void AwaitReady() {
    std::unique_lock lock(mu_);
    cv_.wait(lock, [&] { return ready_ || done_; });
  }
  void Start() {
    std::unique_lock lock(mu_);
    running_ = true;
    if (hello_ == nullptr && !reading_) {
      reading_ = true;
      lock.unlock();
      this->StartRead(&response_);
      lock.lock();
    }
    MaybeWrite(&lock);
  }
  void Stop() {
    std::lock_guard lock(mu_);
    running_ = false;
  }
  // Returns when everything sent is acknowledged.
  uint64_t Drain() {
    std::unique_lock lock(mu_);
    if (!cv_.wait_for(lock, std::chrono::seconds(20), [&] { return acked_ == sent_ || done_; })) {
      Fail(absl::StrCat("stalled: ", sent_, " messages sent, ", acked_, " acknowledged", writing_ ? ", a write is under way" : ""));
    }
    if (done_) Fail("stream ended early: " + status_.error_message());
    return acked_;
  }
  uint64_t acked() {
    std::lock_guard lock(mu_);
    return acked_;
  }
  void End() {
    this->StartWritesDone();
    this->RemoveHold();
    std::unique_lock lock(mu_);
    cv_.wait(lock, [&] { return done_; });
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mu_);
    writing_ = false;
    if (ok) MaybeWrite(&lock);
  }
  void OnReadDone(bool ok) override {
    std::unique_lock lock(mu_);
    if (!ok) return;
    if (hello_ != nullptr && !ready_) {
      ready_ = true;
      cv_.notify_all();
    } else {
      acked_ = acked_fn_(response_);
      if (acked_ == sent_) cv_.notify_all();
    }
    MaybeWrite(&lock);
    lock.unlock();
    this->StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    std::lock_guard lock(mu_);
    status_ = status;
    done_ = true;
    cv_.notify_all();
  }
  grpc::ClientContext* context() { return &context_; }

 private:
  void MaybeWrite(std::unique_lock<std::mutex>* lock) {
    if (!running_ || writing_ || sent_ - acked_ >= kInFlight) return;
    writing_ = true;
    fill_(&request_, ++sent_);
    lock->unlock();
    this->StartWrite(&request_);
    lock->lock();
  }

  grpc::ClientContext context_;
  const Fill fill_;
  const Acked acked_fn_;
  Request* hello_ = nullptr;
  Request request_;
  Response response_;
  std::mutex mu_;
  std::condition_variable cv_;
  uint64_t sent_ = 0, acked_ = 0;
  bool ready_ = false, running_ = false, writing_ = false, reading_ = false, done_ = false;
  grpc::Status status_;
};

std::shared_ptr<grpc::Channel> Channel(const std::string& address, int index) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("wheelpit.bench.index", index);  // a connection of its own
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

using EchoPump = Pump<EchoBatch, EchoAck>;
using ReportPump = Pump<v1::ReportRequest, v1::ReportResponse>;

// Runs all pumps for one round and returns samples a second.
template <typename P>
double Round(std::vector<std::unique_ptr<P>>& pumps, double seconds, std::vector<uint64_t>* counted) {
  std::vector<uint64_t> before;
  for (auto& p : pumps) before.push_back(p->acked());
  const double start = Now();
  for (auto& p : pumps) p->Start();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  for (auto& p : pumps) p->Stop();
  uint64_t messages = 0;
  counted->assign(pumps.size(), 0);
  for (size_t i = 0; i < pumps.size(); ++i) {
    (*counted)[i] = pumps[i]->Drain();
    messages += (*counted)[i] - before[i];
  }
  return static_cast<double>(messages) * kSeries / (Now() - start);
}

uint64_t Delta(int series) { return 1 + static_cast<uint64_t>(series) % 100; }

// The report side of one server: its channels, streams, and the check of its totals.
class ReportSide {
 public:
  ReportSide(const std::string& address, int streams) : address_(address) {
    for (int i = 0; i < streams; ++i) {
      stubs_.push_back(v1::ReportService::NewStub(Channel(address, i)));
      auto hello = std::make_unique<v1::ReportRequest>();
      hello->mutable_hello()->set_reporter_id(absl::StrCat("bench-", i));
      hello->mutable_hello()->set_incarnation(1);
      auto pump = std::make_unique<ReportPump>(&FillBatch, [](const v1::ReportResponse& r) {
        if (r.ack().rejects_size() > 0) Fail("rejected: " + r.ack().rejects(0).message());
        return r.ack().through_seq();
      });
      stubs_.back()->async()->ReportStream(pump->context(), pump.get());
      pump->Begin(hello.get());
      hellos_.push_back(std::move(hello));
      pumps_.push_back(std::move(pump));
    }
    for (auto& p : pumps_) p->AwaitReady();
  }
  ~ReportSide() {
    for (auto& p : pumps_) p->End();
  }

  double Run(double seconds) { return Round(pumps_, seconds, &counted_); }

  void CheckTotals() {
    uint64_t batches = 0, per_batch = 0;
    for (uint64_t n : counted_) batches += n;
    for (int s = 0; s < kSeries; ++s) per_batch += Delta(s);
    auto query = v1::QueryService::NewStub(Channel(address_, 1000));
    grpc::ClientContext context;
    v1::QueryRequest request;
    request.set_query("sum(bench_total)");
    v1::QueryResponse response;
    const grpc::Status status = query->Query(&context, request, &response);
    if (!status.ok() || response.vector().elements_size() != 1) Fail("query of the totals: " + status.error_message());
    const double total = response.vector().elements(0).value();
    if (total != static_cast<double>(batches * per_batch)) {
      Fail(absl::StrCat("totals are ", total, ", sent ", batches * per_batch));
    }
  }

 private:
  static void FillBatch(v1::ReportRequest* request, uint64_t seq) {
    v1::Batch* batch = request->mutable_batch();
    if (seq == 1) {
      v1::FamilyDef* family = batch->add_families();
      family->set_name("bench_total");
      family->set_type(v1::METRIC_TYPE_COUNTER);
      for (int s = 0; s < kSeries; ++s) {
        v1::SeriesDef* def = batch->add_series();
        def->set_ref(static_cast<uint32_t>(s));
        def->set_family("bench_total");
        v1::Label* label = def->add_labels();
        label->set_name("series");
        label->set_value(absl::StrCat(s));
        batch->add_counter_refs(static_cast<uint32_t>(s));
        batch->add_counter_values(Delta(s));
      }
    } else if (seq == 2) {
      batch->clear_families();
      batch->clear_series();
    }
    batch->set_seq(seq);
  }

  const std::string address_;
  std::vector<std::unique_ptr<v1::ReportService::Stub>> stubs_;
  std::vector<std::unique_ptr<v1::ReportRequest>> hellos_;
  std::vector<std::unique_ptr<ReportPump>> pumps_;
  std::vector<uint64_t> counted_;
};

class EchoSide {
 public:
  EchoSide(const std::string& address, int streams) {
    for (int i = 0; i < streams; ++i) {
      stubs_.push_back(Echo::NewStub(Channel(address, i)));
      acked_.push_back(0);
    }
    for (int i = 0; i < streams; ++i) {
      uint64_t* acked = &acked_[static_cast<size_t>(i)];
      auto pump = std::make_unique<EchoPump>(&FillBatch, [acked](const EchoAck&) { return ++*acked; });
      stubs_[static_cast<size_t>(i)]->async()->Stream(pump->context(), pump.get());
      pump->Begin(nullptr);
      pumps_.push_back(std::move(pump));
    }
  }
  ~EchoSide() {
    for (auto& p : pumps_) p->End();
  }
  double Run(double seconds) { return Round(pumps_, seconds, &counted_); }

 private:
  // As many bytes as our message of one round: 1,000 refs of 1 or 2 bytes and 1,000 deltas of 1 byte.
  static void FillBatch(EchoBatch* request, uint64_t seq) {
    if (seq != 1) return;
    for (int s = 0; s < kSeries; ++s) request->add_values(s < 128 ? 1ULL << 10 : 1ULL << 17);
  }
  std::vector<uint64_t> acked_;
  std::vector<std::unique_ptr<Echo::Stub>> stubs_;
  std::vector<std::unique_ptr<EchoPump>> pumps_;
  std::vector<uint64_t> counted_;
};

// --- the peer's server -----------------------------------------------------------------------------------------------------------

class EchoReactor : public grpc::ServerBidiReactor<EchoBatch, EchoAck> {
 public:
  EchoReactor() { StartRead(&request_); }
  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    ack_.set_through_seq(ack_.through_seq() + 1);
    ack_.set_level(2);
    ack_.set_history_id(0x9e3779b97f4a7c15);
    ack_.set_credit(8);
    StartWrite(&ack_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  EchoBatch request_;
  EchoAck ack_;
};

class EchoService : public Echo::CallbackService {
  grpc::ServerBidiReactor<EchoBatch, EchoAck>* Stream(grpc::CallbackServerContext*) override { return new EchoReactor; }
};

int RunEchoServer() {
  EchoService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  std::cout << port << std::endl;
  server->Wait();  // until the parent kills it
  return 0;
}

int Run(const std::string& self, const Options& options) {
  const std::string folder = DataFolder(options.folder);
  ChildOptions child;
  child.arguments = {self, "--echo-server"};
  child.output_file = folder + "/echo.port";
  ::unlink(child.output_file.c_str());
  absl::StatusOr<ChildProcess> echo = ChildProcess::Start(child);
  if (!echo.ok()) Fail("the echo server did not start");
  int echo_port = 0;
  for (int i = 0; i < 200 && echo_port == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    std::ifstream(child.output_file) >> echo_port;
  }
  if (echo_port == 0) Fail("the echo server did not start");
  Server memory(options.bin, folder, {"--journal=memory"});
  Server durable(options.bin, folder, {"--journal=embedded", "--journal_durability=always"});
  std::vector<double> ours, theirs, synced;
  {
    ReportSide memory_side(memory.grpc(), options.streams);
    ReportSide durable_side(durable.grpc(), options.streams);
    EchoSide echo_side(absl::StrCat("127.0.0.1:", echo_port), options.streams);
    for (int round = -1; round < options.rounds; ++round) {  // the first one warms up
      const double a = memory_side.Run(options.seconds);
      const double b = echo_side.Run(options.seconds);
      const double c = durable_side.Run(options.seconds);
      if (round < 0) continue;
      ours.push_back(a);
      theirs.push_back(b);
      synced.push_back(c);
    }
    memory_side.CheckTotals();
    durable_side.CheckTotals();
  }
  const std::string conditions = absl::StrCat(options.streams, " streams, 1,000 samples a batch over 1,000 series, ", kInFlight,
                                              " in flight, ", options.rounds, " rounds of ", options.seconds, " s, ",
                                              std::thread::hardware_concurrency(), " cores");
  Print({"report_applied", "bare gRPC echo", Median(ours), Median(theirs), "samples/s", true, conditions});
  Print({"report_durable", "the same, memory journal", Median(synced), Median(ours), "samples/s", true,
         conditions + ", sync before every ack"});
  return 0;
}

}  // namespace
}  // namespace wheelpit::bench

int main(int argc, char** argv) {
  using namespace wheelpit::bench;
  Options options;
  for (int i = 1; i < argc; ++i) {
    absl::string_view a = argv[i];
    if (a == "--echo-server") return RunEchoServer();
    if (absl::ConsumePrefix(&a, "--bin=")) {
      options.bin = std::string(a);
    } else if (absl::ConsumePrefix(&a, "--folder=")) {
      options.folder = std::string(a);
    } else if (absl::ConsumePrefix(&a, "--rounds=") && absl::SimpleAtoi(a, &options.rounds)) {
    } else if (absl::ConsumePrefix(&a, "--streams=") && absl::SimpleAtoi(a, &options.streams)) {
    } else if (absl::ConsumePrefix(&a, "--seconds=") && absl::SimpleAtod(a, &options.seconds)) {
    } else {
      std::cerr << "usage: report_bench [--bin=DIR] [--folder=DIR] [--rounds=5] [--seconds=2] [--streams=16]\n";
      return 2;
    }
  }
  return wheelpit::bench::Run(argv[0], options);
}
