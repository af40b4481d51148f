#include "server/app/gateway_counter.h"

#include <algorithm>
#include <utility>

#include "base/errors.h"

namespace wheelpit {
namespace {

constexpr char kReporter[] = "wheelpit-gateway";

}  // namespace

GatewayCounter::GatewayCounter(RpcContext* rpc, std::vector<std::string> counters, GatewayLabels labels, uint64_t incarnation)
    : rpc_(rpc), counters_(std::move(counters)), labels_(std::move(labels)), incarnation_(incarnation) {}

absl::Status GatewayCounter::Open() {
  ReportHello hello;
  hello.reporter_id = kReporter;
  hello.incarnation = incarnation_;
  hello.acked_through = acked_through_;
  HelloOutcome outcome;
  auto opened = rpc_->ingest->Open(hello, rpc_->clock->NowMs(), &outcome, nullptr);
  if (!opened.ok()) return opened.status();
  stream_ = *std::move(opened);
  next_seq_ = outcome.applied_seq + 1;
  declared_ = false;
  return absl::OkStatus();
}

void GatewayCounter::Declare(Done done) {
  declare_due_ = true;
  declare_done_.push_back(std::move(done));
  Flush();
}

void GatewayCounter::Count(const std::string& counter, Done done) {
  Increment& increment = waiting_[counter];
  ++increment.n;
  increment.done.push_back(std::move(done));
  Flush();
}

void GatewayCounter::Flush() {
  if (in_flight_ || (waiting_.empty() && !declare_due_)) return;
  std::vector<Done> done = std::move(declare_done_);
  declare_done_.clear();
  declare_due_ = false;
  ReportBatch batch;
  std::vector<uint32_t> refs;
  std::vector<uint64_t> values;
  for (uint32_t i = 0; i < counters_.size(); ++i) {
    auto it = waiting_.find(counters_[i]);
    if (it == waiting_.end()) continue;
    refs.push_back(i + 1);
    values.push_back(it->second.n);
    for (Done& d : it->second.done) done.push_back(std::move(d));
  }
  waiting_.clear();
  if (stream_ == nullptr) {
    if (absl::Status status = Open(); !status.ok()) return Acked(std::move(done), status);
  }
  if (!std::exchange(declared_, true)) {
    for (uint32_t i = 0; i < counters_.size(); ++i) {
      Family family;
      family.name = counters_[i];
      family.type = MetricType::kCounter;
      family.help = "Requests that the HTTP gateway took.";
      batch.families.push_back(std::move(family));
      batch.series.push_back({i + 1, counters_[i], std::vector<Labels::Pair>(labels_.begin(), labels_.end())});
    }
  }
  batch.seq = next_seq_++;
  batch.counter_refs = refs;
  batch.counter_values = values;
  batch.encoded_bytes = 16 * refs.size();
  in_flight_ = true;
  stream_->Apply(std::move(batch), rpc_->clock->NowMs(), [this, done = std::move(done)](absl::StatusOr<BatchAck> ack) mutable {
    in_flight_ = false;
    Acked(std::move(done), ack);
  });
}

void GatewayCounter::Acked(std::vector<Done> done, const absl::StatusOr<BatchAck>& ack) {
  absl::Status status = ack.status();
  if (ack.ok()) {
    acked_through_ = std::max(acked_through_, ack->through_seq);
    if (!ack->rejects.empty()) {
      const SampleReject& reject = ack->rejects.front();
      status = MakeError(absl::StatusCode::kFailedPrecondition, reject.reason, reject.message);
    }
  } else {
    // The stream is over and the batch not applied; the next one begins anew. Not here: Apply may still be on the stack.
    rpc_->engine->Post([this, dead = std::move(stream_)]() mutable {
      dead.reset();
      Flush();
    });
  }
  for (Done& d : done) d(status);
  if (ack.ok()) Flush();
}

void GatewayCounter::Heartbeat() {
  if (stream_ != nullptr) stream_->Heartbeat(rpc_->clock->NowMs());
}

void GatewayCounter::Goodbye(Done done) {
  if (stream_ == nullptr) return done(absl::OkStatus());
  stream_->Goodbye(true, rpc_->clock->NowMs(),
                   [done = std::move(done)](absl::StatusOr<BatchAck> ack) mutable { done(ack.status()); });
}

}  // namespace wheelpit
