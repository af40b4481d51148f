// One bidirectional call as a mailbox: gRPC's threads put messages in, one owner thread takes them
// out and writes.
//
//   auto stream = StreamCall<Req, Resp>::Start([&](auto* context, auto* reactor) {
//   stub->async()->Work(context, reactor); }, wakeup); wakeup->WaitUntil(…); for (Resp& message :
//   stream->Take()) …; if (stream->CanWrite()) stream->Write(std::move(request)); if (auto end =
//   stream->ended()) …
#pragma once

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/sync.h"
#include "client/sdk/channel.h"

namespace wheelpit {

// Something happened: look. Thread-safe; outlives whoever signals it by being shared.
class Wakeup {
 public:
  void Signal() {
    MutexLock lock(&mu_);
    set_ = true;
    cv_.Signal();
  }
  // Returns at a signal since the last return, or after `timeout`.
  void Wait(absl::Duration timeout) {
    const int64_t until = ClientClock().MonotonicNanos() + absl::ToInt64Nanoseconds(timeout);
    MutexLock lock(&mu_);
    while (!set_) {
      const int64_t left = until - ClientClock().MonotonicNanos();
      if (left <= 0) break;
      cv_.WaitWithTimeout(&mu_, absl::Nanoseconds(left));
    }
    set_ = false;
  }

 private:
  Mutex mu_;
  CondVar cv_;
  bool set_ ABSL_GUARDED_BY(mu_) = false;
};

template <typename Request, typename Response>
class StreamCall : public grpc::ClientBidiReactor<Request, Response> {
 public:
  using Begin =
      std::function<void(grpc::ClientContext*, grpc::ClientBidiReactor<Request, Response>*)>;

  static std::shared_ptr<StreamCall> Start(const Begin& begin, std::shared_ptr<Wakeup> wakeup) {
    std::shared_ptr<StreamCall> call(new StreamCall(std::move(wakeup)));
    call->self_ = call;  // Until OnDone.
    begin(&call->context_, call.get());
    call->AddHold();  // Writes come from outside the reactions; dropped when reading ends.
    call->StartRead(&call->incoming_);
    call->StartCall();
    return call;
  }

  // One write at a time.
  bool CanWrite() {
    MutexLock lock(&mu_);
    return open_ && !writing_ && !half_closed_;
  }
  // Requires CanWrite. Lost if the stream breaks; its end then says so.
  void Write(Request message) {
    MutexLock lock(&mu_);
    if (!open_ || writing_ || half_closed_) return;
    outgoing_ = std::move(message);
    writing_ = true;
    this->StartWrite(&outgoing_);
  }
  // No more writes; after the one in flight.
  void WritesDone() {
    MutexLock lock(&mu_);
    if (!open_ || half_closed_) return;
    half_closed_ = true;
    if (!writing_) this->StartWritesDone();
  }
  void Cancel() { context_.TryCancel(); }

  // Everything that came since the last call, in order. What came before the end is there when
  // ended() is set.
  std::vector<Response> Take() {
    MutexLock lock(&mu_);
    return std::exchange(inbox_, {});
  }
  std::optional<absl::Status> ended() {
    MutexLock lock(&mu_);
    return ended_;
  }

 private:
  explicit StreamCall(std::shared_ptr<Wakeup> wakeup) : wakeup_(std::move(wakeup)) {}

  void OnReadDone(bool ok) override {
    {
      MutexLock lock(&mu_);
      if (ok) {
        inbox_.push_back(std::move(incoming_));
        incoming_ = Response();
        this->StartRead(&incoming_);
      } else {
        open_ = false;
      }
    }
    wakeup_->Signal();
    if (!ok) this->RemoveHold();
  }
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mu_);
      writing_ = false;
      if (ok && open_ && half_closed_) this->StartWritesDone();
    }
    wakeup_->Signal();
  }
  void OnDone(const grpc::Status& status) override {
    {
      MutexLock lock(&mu_);
      open_ = false;
      ended_ = FromGrpcStatus(status);
    }
    wakeup_->Signal();
    const std::shared_ptr<StreamCall> last = std::move(self_);
  }

  const std::shared_ptr<Wakeup> wakeup_;
  std::shared_ptr<StreamCall> self_;
  grpc::ClientContext context_;
  Response incoming_;
  Mutex mu_;
  Request outgoing_ ABSL_GUARDED_BY(mu_);
  bool open_ ABSL_GUARDED_BY(mu_) = true;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Response> inbox_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit
