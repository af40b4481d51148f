// A long-lived stream as a reactor: one read and one write in flight, answers merged while a write is under way, reading paused
// while too many requests are unfinished, and one orderly end.
//
// gRPC calls reactions on its threads; answers come from the engine thread. State is under mu_, and StartRead, StartWrite and Finish
// are called with it held: gRPC never runs a reaction of these inside the call, and only so can none of them follow Finish.
//
// A subclass says what a request means (OnRequest), what to write next (FillLocked), and what to undo at the end (OnEnded).
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "base/executor.h"
#include "base/sync.h"
#include "google/protobuf/arena.h"
#include "grpcpp/grpcpp.h"
#include "server/rpc/status_map.h"
#include "server/rpc/stream_hub.h"

namespace wheelpit {

template <typename Request, typename Response>
class BidiStream : public grpc::ServerBidiReactor<Request, Response>,
                   public LiveStream,
                   public std::enable_shared_from_this<BidiStream<Request, Response>> {
 public:
  // Where one request is read to and kept while it is worked on; its memory is used again for a later one.
  class Slot {
   public:
    explicit Slot(size_t block_bytes) : block_(new char[block_bytes]), arena_(block_.get(), block_bytes) { Renew(); }
    Request* request() { return request_; }
    void Renew() {
      arena_.Reset();
      request_ = google::protobuf::Arena::CreateMessage<Request>(&arena_);
    }

   private:
    std::unique_ptr<char[]> block_;
    google::protobuf::Arena arena_;
    Request* request_ = nullptr;
  };

  // Call once, right after make_shared. gRPC holds the stream until OnDone.
  void Begin() {
    self_ = this->shared_from_this();
    hub_->Add(self_);
    MutexLock lock(&mu_);
    ReadLocked();
  }
  // Ends a stream that was refused before it began.
  void Refuse(const absl::Status& status) {
    self_ = this->shared_from_this();
    MutexLock lock(&mu_);
    CloseLocked(status);
  }

  void OnReadDone(bool ok) final {
    Slot* slot = nullptr;
    {
      MutexLock lock(&mu_);
      slot = std::exchange(reading_, nullptr);
      if (!ok || closing_) {
        // gRPC tells a message that does not parse from the end of the peer's writing by nothing else than what it left behind.
        const bool broken = !ok && slot->request()->ByteSizeLong() > 0;
        ReleaseLocked(slot);
        reads_ended_ = true;
        if (broken) CloseLocked(MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "a message does not parse; text must be UTF-8"));
        SettleLocked();
        return;
      }
      ++unfinished_;
      dispatching_ = true;
    }
    OnRequest(slot);
    MutexLock lock(&mu_);
    dispatching_ = false;
    ReadLocked();
  }

  void OnWriteDone(bool ok) final {
    MutexLock lock(&mu_);
    writing_ = false;
    if (!ok) AbandonLocked(absl::CancelledError("the peer is gone"));
    FlushLocked();
  }

  void OnCancel() final {
    MutexLock lock(&mu_);
    AbandonLocked(absl::CancelledError("the peer is gone"));
  }

  void OnDone() final {
    hub_->Remove(this);
    OnEnded();
    self_.reset();  // may delete this
  }

 protected:
  BidiStream(StreamHub* hub, grpc::CallbackServerContext* context, int unfinished_max, size_t block_bytes)
      : hub_(hub), context_(context), unfinished_max_(unfinished_max), block_bytes_(block_bytes) {}

  // gRPC thread, one at a time. Ends in Finished(slot), at once or later.
  virtual void OnRequest(Slot* slot) = 0;
  // Puts the next message to write into `out`; false if there is none.
  virtual bool FillLocked(Response* out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) = 0;
  // The stream is over; no reaction comes after this.
  virtual void OnEnded() = 0;
  // The request is dealt with and its memory free; answers may still come.
  void Finished(Slot* slot) {
    MutexLock lock(&mu_);
    FinishedLocked(slot);
  }
  void FinishedLocked(Slot* slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ReleaseLocked(slot);
    DoneLocked(1);
  }
  // The two halves of it: the memory first, the requests later.
  void ReleaseLocked(Slot* slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    slot->Renew();
    free_.push_back(slot);
  }
  void DoneLocked(int requests) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    unfinished_ -= requests;
    ReadLocked();
    SettleLocked();
  }
  // What FillLocked put together is on its way.
  virtual void WritingLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {}
  // The server drains: the stream ends with DRAINING once nothing is owed and MayLeaveLocked().
  void LeaveLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    leaving_ = true;
    FlushLocked();
    SettleLocked();
  }
  virtual bool MayLeaveLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return true; }
  // Ends the stream if what it waited for has come.
  void SettleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (closing_ || unfinished_ != 0 || owed_ != 0) return;
    if (reads_ended_) {
      CloseLocked(absl::OkStatus());
    } else if (leaving_ && MayLeaveLocked()) {
      CloseLocked(MakeError(absl::StatusCode::kUnavailable, "DRAINING", "the server is shutting down", absl::Seconds(1)));
    }
  }
  // Besides the number of unfinished requests, what else may pause reading.
  virtual bool MayReadLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return true; }
  // Answers that are owed: the stream of a peer that only closed its own side stays open until they are written.
  void OweLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { ++owed_; }
  void PaidLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    --owed_;
    SettleLocked();
  }

  // Writes the next message if none is in flight, or ends the stream if it is to end.
  void FlushLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_) return;
    if (!abandoned_) {
      response_.Clear();
      if (FillLocked(&response_)) {
        writing_ = true;
        this->StartWrite(&response_);
        WritingLocked();
        return;
      }
    }
    if (closing_) {
      finished_ = true;
      this->Finish(close_status_);
    }
  }
  // The same, after what `engine` does now: answers that come together go out in one message, and their write waits for no lock
  // that a later answer needs. Engine thread.
  void FlushSoonLocked(Executor* engine) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // The end of a write flushes anyway.
    if (flush_posted_ || writing_ || finished_) return;
    flush_posted_ = true;
    engine->Post([self = this->shared_from_this()] {
      MutexLock lock(&self->mu_);
      self->flush_posted_ = false;
      self->FlushLocked();
    });
  }
  // Ends the stream with this status once what is to be written is written. The first status counts.
  void CloseLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!closing_) {
      closing_ = true;
      close_status_ = ToGrpcStatus(status);
    }
    FlushLocked();
  }
  // The same, without waiting for a peer that does not read.
  void AbandonLocked(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    abandoned_ = true;
    if (writing_ && !finished_) context_->TryCancel();
    CloseLocked(status);
  }
  bool closing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closing_; }

  mutable Mutex mu_;

 private:
  void ReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    // While a request is being handed on, the end of an earlier one must not start the next read: it could overtake.
    if (dispatching_ || reading_ != nullptr || reads_ended_ || closing_ || finished_ || unfinished_ >= unfinished_max_) return;
    if (!MayReadLocked()) return;
    if (free_.empty()) {
      slots_.push_back(std::make_unique<Slot>(block_bytes_));
      free_.push_back(slots_.back().get());
    }
    reading_ = free_.back();
    free_.pop_back();
    this->StartRead(reading_->request());
  }

  StreamHub* const hub_;
  grpc::CallbackServerContext* const context_;
  const int unfinished_max_;
  const size_t block_bytes_;
  std::shared_ptr<BidiStream> self_;

  Response response_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<Slot>> slots_ ABSL_GUARDED_BY(mu_);
  std::vector<Slot*> free_ ABSL_GUARDED_BY(mu_);
  Slot* reading_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool dispatching_ ABSL_GUARDED_BY(mu_) = false;
  int unfinished_ ABSL_GUARDED_BY(mu_) = 0;
  int owed_ ABSL_GUARDED_BY(mu_) = 0;
  bool leaving_ ABSL_GUARDED_BY(mu_) = false;
  bool reads_ended_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool flush_posted_ ABSL_GUARDED_BY(mu_) = false;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status close_status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit
