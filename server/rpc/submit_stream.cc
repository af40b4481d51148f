#include "server/rpc/submit_stream.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "server/rpc/probe.h"

namespace wheelpit {
namespace {
constexpr int kUnsettledMax = 1024;
constexpr size_t kUnsettledBytesMax = 4 << 20;
constexpr size_t kBlockBytes = 1024;
constexpr size_t kGroupMax = 1000;
}  // namespace

SubmitStream::SubmitStream(RpcContext* rpc, StreamHub* hub, grpc::CallbackServerContext* context)
    : BidiStream(hub, context, kUnsettledMax, kBlockBytes), rpc_(rpc) {}

bool SubmitStream::MayReadLocked() const { return bytes_ < kUnsettledBytesMax; }

void SubmitStream::OnRequest(Slot* slot) {
  v1::SubmitStreamRequest* request = slot->request();
  absl::Status status = rpc_->CheckNewWork();
  if (status.ok() && request->client_seq() != next_seq_) {
    status = MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD",
                       absl::StrCat("client_seq ", request->client_seq(), ": must be ", next_seq_));
  }
  ++next_seq_;
  bool post = false;
  {
    MutexLock lock(&mu_);
    if (!status.ok()) {
      CloseLocked(status);
      return FinishedLocked(slot);
    }
    if (waiting_ == nullptr) {
      waiting_ = std::make_shared<Group>(rpc_->store, rpc_->clock->MonotonicNanos());
      post = true;
    }
    bytes_ += request->task().payload().size();
    waiting_->plan.Add(request->mutable_task());
    ReleaseLocked(slot);
    if (waiting_->plan.size() >= kGroupMax) {
      // Full: its post takes it; the next task begins another.
      groups_.push_back(std::exchange(waiting_, nullptr));
    }
  }
  if (post) rpc_->engine->Post([self = Self()] { self->SubmitOnEngine(); });
}

void SubmitStream::SubmitOnEngine() {
  std::shared_ptr<Group> group;
  {
    MutexLock lock(&mu_);
    for (const auto& full : groups_) {
      if (full->taken) continue;
      group = full;
      break;
    }
    if (group == nullptr) {
      group = std::exchange(waiting_, nullptr);
      groups_.push_back(group);
    }
    group->taken = true;
  }
  if (group->plan.specs().empty()) return GroupDone(group, std::vector<absl::StatusOr<SubmitOutcome>>());
  rpc_->queue->SubmitBatch(std::move(group->plan.specs()), false, rpc_->clock->NowMs(),
                           [self = Self(), group](absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> outcomes) {
                             self->GroupDone(group, std::move(outcomes));
                           });
}

void SubmitStream::GroupDone(const std::shared_ptr<Group>& group, absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> outcomes) {
  group->plan.Fill(std::move(outcomes));
  const double seconds = RpcProbe::Seconds(group->began_ns, rpc_->clock->MonotonicNanos());
  for (const auto& outcome : group->plan.outcomes()) ObserveSubmit(outcome, seconds);
  MutexLock lock(&mu_);
  group->done = true;
  FlushLocked();
}

// Groups may be answered out of order (a refusal waits for nothing); acks are cumulative, so only a done prefix goes out.
bool SubmitStream::FillLocked(v1::SubmitStreamResponse* out) {
  while (!groups_.empty() && groups_.front()->done) {
    const std::shared_ptr<Group> group = std::move(groups_.front());
    groups_.pop_front();
    for (const absl::StatusOr<SubmitOutcome>& outcome : group->plan.outcomes()) {
      ++through_seq_;
      ++settled_;
      std::string* id = out->add_ids();
      if (outcome.ok()) *id = FormatTaskId(outcome->id);
      if (!outcome.ok() || outcome->deduplicated) {
        v1::SubmitException* exception = out->add_exceptions();
        exception->set_client_seq(through_seq_);
        SubmitResultToProto(outcome, exception->mutable_result());
      }
    }
    bytes_ -= group->plan.payload_bytes();
  }
  if (settled_ == 0) return false;
  out->set_through_seq(through_seq_);
  return true;
}

void SubmitStream::WritingLocked() { DoneLocked(std::exchange(settled_, 0)); }

}  // namespace wheelpit
