#include "server/rpc/report_service.h"

#include <memory>
#include <utility>

#include "base/errors.h"
#include "server/rpc/bidi_stream.h"
#include "server/rpc/probe.h"
#include "server/rpc/report_codec.h"

namespace wheelpit {
namespace {

// A batch of 1,000 samples parses into about 30 KB.
constexpr size_t kBlockBytes = 40 << 10;

// Engine thread. Apply, with its own duration and the time to its ack observed.
void ApplyTimed(const RpcContext& rpc, wheelpit::ReportStream& stream, ReportBatch batch, int64_t received_ms, int64_t received_ns,
                wheelpit::ReportStream::AckDone done) {
  const Clock* const clock = rpc.clock;
  const int64_t began_ns = clock->MonotonicNanos();
  stream.Apply(std::move(batch), received_ms, [clock, received_ns, done = std::move(done)](absl::StatusOr<BatchAck> ack) mutable {
    if (ack.ok()) {
      RpcProbe& probe = RpcProbe::Get();
      (ack->durable ? probe.ack_durable : probe.ack_applied)->Observe(RpcProbe::Seconds(received_ns, clock->MonotonicNanos()));
    }
    done(std::move(ack));
  });
  RpcProbe::Get().apply_seconds->Observe(RpcProbe::Seconds(began_ns, clock->MonotonicNanos()));
}

// One reporter's connection.
class ReportReactor final : public BidiStream<v1::ReportRequest, v1::ReportResponse> {
 public:
  ReportReactor(RpcContext* rpc, StreamHub* hub, grpc::CallbackServerContext* context)
      : BidiStream(hub, context, static_cast<int>(rpc->ingest_options.credit) + 2, kBlockBytes), rpc_(rpc) {}

  void Tick(int64_t) override {}
  // What is on its way meets DRAINING; the reporter resends it later.
  void GoAway() override {
    MutexLock lock(&mu_);
    LeaveLocked();
  }

 private:
  void OnRequest(Slot* slot) override {
    rpc_->engine->Post([self = Self(), slot, received_ms = rpc_->clock->NowMs(), received_ns = rpc_->clock->MonotonicNanos()] {
      const bool owes = self->Handle(*slot->request(), received_ms, received_ns);
      MutexLock lock(&self->mu_);
      // Paid already if the answer came at once: the request itself keeps the stream open until here.
      if (owes) self->OweLocked();
      self->FinishedLocked(slot);
    });
  }

  bool FillLocked(v1::ReportResponse* out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) override {
    if (hello_ack_ != nullptr) {
      out->mutable_hello_ack()->Swap(hello_ack_.get());
      hello_ack_.reset();
      return true;
    }
    if (!ack_due_) return false;
    ack_due_ = false;
    out->mutable_ack()->Swap(&ack_);
    ack_.Clear();
    return true;
  }

  void OnEnded() override {
    // Ingest's object dies where it lives.
    rpc_->engine->Post([self = Self()] { self->stream_.reset(); });
  }

  std::shared_ptr<ReportReactor> Self() { return std::static_pointer_cast<ReportReactor>(shared_from_this()); }

  void Fail(const absl::Status& status) {
    MutexLock lock(&mu_);
    CloseLocked(status);
  }

  // --- engine thread ---
  // True if Acked() is called for it, now or later.
  bool Handle(const v1::ReportRequest& request, int64_t received_ms, int64_t received_ns) {
    if (ended_) return false;
    if (stream_ == nullptr) {
      Open(request, received_ms);
      return false;
    }
    switch (request.message_case()) {
      case v1::ReportRequest::kBatch:
        ApplyTimed(*rpc_, *stream_, BatchFromProto(request.batch()), received_ms, received_ns,
                   [self = Self()](absl::StatusOr<BatchAck> ack) { self->Acked(std::move(ack)); });
        return true;
      case v1::ReportRequest::kGoodbye:
        stream_->Goodbye(request.goodbye().drained(), received_ms,
                         [self = Self()](absl::StatusOr<BatchAck> ack) { self->Acked(std::move(ack)); });
        return true;
      case v1::ReportRequest::kHello:
        ended_ = true;
        Fail(MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", "hello comes once"));
        return false;
      case v1::ReportRequest::kHeartbeat:
      case v1::ReportRequest::MESSAGE_NOT_SET:
        stream_->Heartbeat(received_ms);
        return false;
    }
    return false;
  }

  void Open(const v1::ReportRequest& request, int64_t received_ms) {
    if (!request.has_hello()) {
      ended_ = true;
      return Fail(MakeError(absl::StatusCode::kFailedPrecondition, "NO_HELLO", "the first message must be hello"));
    }
    HelloOutcome outcome;
    const absl::StatusOr<ReportHello> hello = HelloFromProto(request.hello());
    if (!hello.ok()) {
      ended_ = true;
      return Fail(hello.status());
    }
    auto opened = rpc_->ingest->Open(*hello, received_ms, &outcome,
                                     [weak = std::weak_ptr<ReportReactor>(Self())](absl::Status status) {
                                       if (auto self = weak.lock()) self->Superseded(status);
                                     });
    if (!opened.ok()) {
      ended_ = true;
      return Fail(opened.status());
    }
    stream_ = *std::move(opened);
    MutexLock lock(&mu_);
    hello_ack_ = std::make_unique<v1::HelloAck>();
    HelloAckToProto(outcome, *rpc_, hello_ack_.get());
    FlushLocked();
  }

  void Superseded(const absl::Status& status) {
    ended_ = true;
    Fail(status);
  }

  void Acked(absl::StatusOr<BatchAck> ack) {
    MutexLock lock(&mu_);
    if (ack.ok()) {
      MergeAck(*std::move(ack), &ack_);
      ack_due_ = true;
    } else {
      ended_ = true;
      CloseLocked(ack.status());
    }
    PaidLocked();
    FlushSoonLocked(rpc_->engine);
  }

  RpcContext* const rpc_;
  // Engine thread.
  std::unique_ptr<ReportStream> stream_;
  bool ended_ = false;

  std::unique_ptr<v1::HelloAck> hello_ack_ ABSL_GUARDED_BY(mu_);
  v1::Ack ack_ ABSL_GUARDED_BY(mu_);
  bool ack_due_ ABSL_GUARDED_BY(mu_) = false;
};

// A unary report: Hello, then the batch if there is one, then the goodbye if there is one. Engine thread.
class UnaryReport : public std::enable_shared_from_this<UnaryReport> {
 public:
  UnaryReport(RpcContext* rpc, grpc::ServerUnaryReactor* reactor, const v1::UnaryReportRequest* request, v1::UnaryReportResponse* response)
      : rpc_(rpc), reactor_(reactor), request_(request), response_(response) {}

  void Start() {
    received_ms_ = rpc_->clock->NowMs();
    received_ns_ = rpc_->clock->MonotonicNanos();
    rpc_->engine->Post([self = shared_from_this()] { self->Open(); });
  }

 private:
  void Open() {
    HelloOutcome outcome;
    const absl::StatusOr<ReportHello> hello = HelloFromProto(request_->hello());
    if (!hello.ok()) return reactor_->Finish(ToGrpcStatus(hello.status()));
    auto opened = rpc_->ingest->Open(*hello, received_ms_, &outcome, nullptr);
    if (!opened.ok()) return reactor_->Finish(ToGrpcStatus(opened.status()));
    stream_ = *std::move(opened);
    HelloAckToProto(outcome, *rpc_, response_->mutable_hello_ack());
    if (!request_->has_batch()) return Goodbye();
    ApplyTimed(*rpc_, *stream_, BatchFromProto(request_->batch()), received_ms_, received_ns_, [self = shared_from_this()](absl::StatusOr<BatchAck> ack) {
      if (!ack.ok()) return self->reactor_->Finish(ToGrpcStatus(ack.status()));
      MergeAck(*std::move(ack), self->response_->mutable_ack());
      self->Goodbye();
    });
  }

  void Goodbye() {
    if (!request_->has_goodbye()) return reactor_->Finish(grpc::Status::OK);
    stream_->Goodbye(request_->goodbye().drained(), received_ms_, [self = shared_from_this()](absl::StatusOr<BatchAck> ack) {
      if (ack.ok()) MergeAck(*std::move(ack), self->response_->mutable_ack());
      self->reactor_->Finish(ToGrpcStatus(ack.status()));
    });
  }

  RpcContext* const rpc_;
  grpc::ServerUnaryReactor* const reactor_;
  const v1::UnaryReportRequest* const request_;
  v1::UnaryReportResponse* const response_;
  int64_t received_ms_ = 0;
  int64_t received_ns_ = 0;
  std::unique_ptr<ReportStream> stream_;
};

}  // namespace

grpc::ServerBidiReactor<v1::ReportRequest, v1::ReportResponse>* ReportService::ReportStream(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<ReportReactor>(rpc_, hub_, context);
  if (absl::Status status = rpc_->CheckNewWork(); !status.ok()) {
    stream->Refuse(status);
  } else {
    stream->Begin();
  }
  return stream.get();
}

grpc::ServerUnaryReactor* ReportService::Report(grpc::CallbackServerContext* context, const v1::UnaryReportRequest* request,
                                                v1::UnaryReportResponse* response) {
  auto* reactor = context->DefaultReactor();
  absl::Status status = rpc_->CheckNewWork();
  if (status.ok() && !request->has_hello()) {
    status = MakeError(absl::StatusCode::kFailedPrecondition, "NO_HELLO", "a report needs hello");
  }
  if (!status.ok()) {
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }
  std::make_shared<UnaryReport>(rpc_, reactor, request, response)->Start();
  return reactor;
}

}  // namespace wheelpit
