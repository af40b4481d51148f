// Client-streamed tasks: what arrives while the engine is busy goes to it as one batch; acks are cumulative, in order.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "server/rpc/bidi_stream.h"
#include "server/rpc/rpc_context.h"
#include "server/rpc/task_codec.h"
#include "wheelpit/v1/queue.pb.h"

namespace wheelpit {

class SubmitStream final : public BidiStream<v1::SubmitStreamRequest, v1::SubmitStreamResponse> {
 public:
  SubmitStream(RpcContext* rpc, StreamHub* hub, grpc::CallbackServerContext* context);

  void Tick(int64_t) override {}
  void GoAway() override {
    MutexLock lock(&mu_);
    LeaveLocked();
  }

 private:
  // Tasks that go to the engine together.
  struct Group {
    Group(const SeriesStore* store, int64_t now_ns) : plan(store), began_ns(now_ns) {}
    SubmitPlan plan;
    const int64_t began_ns;  // arrival of its first task
    bool taken = false;  // by the engine
    bool done = false;
  };

  void OnRequest(Slot* slot) override;
  bool FillLocked(v1::SubmitStreamResponse* out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  void OnEnded() override {}
  void SubmitOnEngine();
  void GroupDone(const std::shared_ptr<Group>& group, absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> outcomes);
  void WritingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  bool MayReadLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  std::shared_ptr<SubmitStream> Self() { return std::static_pointer_cast<SubmitStream>(shared_from_this()); }

  RpcContext* const rpc_;
  uint64_t next_seq_ = 1;  // gRPC's reading thread

  // Read, and still growing until the engine takes it; null = none. Each group has one post.
  std::shared_ptr<Group> waiting_ ABSL_GUARDED_BY(mu_);
  // Full, or with the engine; oldest first.
  std::deque<std::shared_ptr<Group>> groups_ ABSL_GUARDED_BY(mu_);
  uint64_t through_seq_ ABSL_GUARDED_BY(mu_) = 0;
  int settled_ ABSL_GUARDED_BY(mu_) = 0;  // in the message that is being filled
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;  // payload of what is not settled
};

}  // namespace wheelpit
