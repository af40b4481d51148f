// A worker's connection: its session of the queue on one side, a gRPC stream on the other.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "server/queue/work_queue.h"
#include "server/rpc/bidi_stream.h"
#include "server/rpc/rpc_context.h"
#include "server/rpc/task_codec.h"
#include "wheelpit/v1/queue.pb.h"

namespace wheelpit {

class WorkStream final : public BidiStream<v1::WorkRequest, v1::WorkResponse>, public WorkerChannel {
 public:
  WorkStream(RpcContext* rpc, StreamHub* hub, grpc::CallbackServerContext* context);

  // Engine thread.
  void Assign(std::vector<Assignment> assignments) override;
  void LeaseLost(std::vector<LeaseRef> leases, absl::string_view cause) override;
  void CancelNotice(std::vector<LeaseRef> leases) override;
  void Superseded() override;

  void Tick(int64_t now_ms) override;
  void GoAway() override;

 private:
  void OnRequest(Slot* slot) override;
  bool FillLocked(v1::WorkResponse* out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override;
  bool MayLeaveLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override { return held_.empty(); }
  void OnEnded() override;

  std::shared_ptr<WorkStream> Self() { return std::static_pointer_cast<WorkStream>(shared_from_this()); }
  // What the engine thread does for a request; errors end the stream. Whoever runs it holds the stream.
  using Action = absl::AnyInvocable<void(int64_t now)>;
  absl::StatusOr<Action> Hello(const v1::WorkRequest& request);
  absl::StatusOr<Action> OnMessage(v1::WorkRequest* request);
  template <typename Items, typename Method>
  Action Operate(v1::LeaseOperation operation, Items items, LeaseResults results, Method method);
  void OpenOnEngine(const SessionHello& hello, int64_t now);
  void Answer(v1::LeaseOperation operation, LeaseResults results, const std::vector<LeaseOutcome>& outcomes);
  void SignOfLife(int64_t now);
  void CloseIfDrained() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  RpcContext* const rpc_;

  // gRPC's reading thread.
  bool hello_seen_ = false;

  // Engine thread.
  SessionId session_ = 0;
  bool superseded_ = false;
  int64_t next_heartbeat_ms_ = 0;

  // Relaxed: only compared with the timer's time.
  std::atomic<int64_t> heard_at_ms_;

  // mu_. Tokens whose tasks the worker has not given back.
  absl::flat_hash_set<uint64_t> held_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<v1::WorkWelcome> welcome_ ABSL_GUARDED_BY(mu_);
  v1::WorkAck ack_ ABSL_GUARDED_BY(mu_);
  std::deque<v1::WorkLeaseLost> lost_ ABSL_GUARDED_BY(mu_);
  v1::WorkCancelNotice cancel_ ABSL_GUARDED_BY(mu_);
  std::deque<Assignment> assignments_ ABSL_GUARDED_BY(mu_);
  bool welcomed_ ABSL_GUARDED_BY(mu_) = false;
  bool ping_due_ ABSL_GUARDED_BY(mu_) = false;
  bool pinged_ ABSL_GUARDED_BY(mu_) = false;
  bool go_away_due_ ABSL_GUARDED_BY(mu_) = false;
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace wheelpit
