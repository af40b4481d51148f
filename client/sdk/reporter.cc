#include "client/sdk/reporter.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <deque>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/status_macros.h"
#include "base/sync.h"
#include "client/sdk/channel.h"
#include "client/sdk/series_table.h"
#include "client/sdk/stream.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {
namespace {

using ReportCall = StreamCall<v1::ReportRequest, v1::ReportResponse>;

constexpr int64_t kHelloTimeoutMs = 10'000;
constexpr int64_t kHeartbeatMs = 3'000;
// A stream that lived this long was a good one.
constexpr int64_t kSteadyMs = 1'000;
constexpr int64_t kIdleWaitMs = 60'000;

// A batch on its way: its columns never change any more.
struct SentBatch {
  v1::Batch batch;
  // Series that it defined, to be defined again with a resend.
  std::vector<uint32_t> defined;
  int64_t span_end_ms = 0;
};

uint32_t Shards() {
  return std::bit_ceil(std::clamp(std::thread::hardware_concurrency(), 1U, 16U));
}

std::string DefaultReporterId() {
  // Two reporters of one process must not fence each other.
  static std::atomic<int> instances{0};  // Relaxed: only has to differ.
  const int instance = instances.fetch_add(1, std::memory_order_relaxed);
  const std::string suffix = instance == 0 ? "" : absl::StrCat("#", instance + 1);
  std::string pod = FromEnvironment("POD_UID");
  if (pod.empty()) pod = FromEnvironment("POD_NAME");
  if (!pod.empty()) {
    return absl::StrCat(FromEnvironment("POD_NAMESPACE"), "/", pod, "/",
                        FromEnvironment("CONTAINER_NAME"), suffix)
        .substr(0, 128);
  }
  return absl::StrCat(HostName().substr(0, 64), "/", getpid(), "/", RandomHex(6), suffix);
}

// The sample's ref, by the order that the protocol gives the columns.
uint32_t RefOfSample(const v1::Batch& batch, uint32_t index) {
  for (const auto* column : {&batch.counter_refs(), &batch.fraction_refs(), &batch.gauge_refs(),
                             &batch.gauge_removes()}) {
    if (index < static_cast<uint32_t>(column->size())) return column->Get(static_cast<int>(index));
    index -= static_cast<uint32_t>(column->size());
  }
  return UINT32_MAX;
}

bool IsFatal(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kDataLoss || ErrorReason(status) == "STALE_INCARNATION";
}

}  // namespace

class Reporter::Impl {
 public:
  Impl(ReporterOptions options, std::shared_ptr<grpc::Channel> channel)
      : options_(std::move(options)),
        interval_ms_(absl::ToInt64Milliseconds(options_.interval)),
        channel_(std::move(channel)),
        stub_(v1::ReportService::NewStub(channel_)),
        table_(Shards()),
        backoff_(options_.client.retry, RandomSeed()) {
    incarnation_ = static_cast<uint64_t>(absl::ToUnixNanos(ClientClock().WallNow()));
    hello_labels_ = options_.labels;
    if (options_.pod_labels) {
      for (const auto& [label, variable] :
           {std::pair{"namespace", "POD_NAMESPACE"}, std::pair{"pod", "POD_NAME"}}) {
        std::string value = FromEnvironment(variable);
        if (!value.empty()) hello_labels_.emplace_back(label, std::move(value));
      }
    }
    thread_ = std::thread([this] { Run(); });
  }

  SeriesTable& table() { return table_; }
  void Stop() {
    {
      MutexLock lock(&mu_);
      stopping_ = true;
      stop_by_ms_ = NowMs() + absl::ToInt64Milliseconds(options_.goodbye_timeout);
      ++flush_asked_;
    }
    wakeup_->Signal();
    thread_.join();
    stream_.reset();
    stub_.reset();
    ReleaseChannel(&channel_);
  }
  absl::Status Flush(absl::Duration timeout);
  ReporterStats stats() const {
    MutexLock lock(&mu_);
    return stats_;
  }
  absl::Status last_error() const {
    MutexLock lock(&mu_);
    return stats_.connected ? absl::OkStatus() : last_error_;
  }

 private:
  static int64_t NowMs() { return ClientClock().NowMs(); }

  // All on thread_.
  void Run();
  void Connect(int64_t now);
  void HandleStream(int64_t now);
  void HandleHelloAck(const v1::HelloAck& ack, int64_t now);
  void HandleAck(const v1::Ack& ack);
  void HandleRejects(const v1::Ack& ack);
  void HandleEnd(const absl::Status& status, int64_t now);
  // True if it wrote.
  bool WriteNext(int64_t now);
  bool SendNewBatch(int64_t now);
  void SendBatch(SentBatch& sent, int64_t now);
  bool PassDue(int64_t now);
  void SettleFlushes();
  void SetCredit(uint32_t credit, int64_t now);
  bool Finished(int64_t now);
  int64_t WaitMs(int64_t now);
  bool drained() const { return unacked_.empty() && !in_pass_ && flushes_.empty(); }

  const ReporterOptions options_;
  const int64_t interval_ms_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ReportService::Stub> stub_;
  const std::shared_ptr<Wakeup> wakeup_ = std::make_shared<Wakeup>();
  SeriesTable table_;

  mutable Mutex mu_;
  CondVar flushed_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int64_t stop_by_ms_ ABSL_GUARDED_BY(mu_) = 0;
  // Calls of Flush so far; those whose increments are acknowledged.
  uint64_t flush_asked_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t flush_done_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status fatal_ ABSL_GUARDED_BY(mu_);
  absl::Status last_error_ ABSL_GUARDED_BY(mu_) = absl::UnavailableError("not connected yet");
  ReporterStats stats_ ABSL_GUARDED_BY(mu_);

  // thread_ only.
  Backoff backoff_;
  uint64_t incarnation_ = 0;
  std::vector<LabelPair> hello_labels_;
  std::shared_ptr<ReportCall> stream_;
  bool welcome_ = false;  // HelloAck is here
  bool dead_ = false;     // fatal_ is set
  bool said_goodbye_ = false;
  int64_t connect_at_ms_ = 0;
  int64_t hello_by_ms_ = 0;
  int64_t welcome_ms_ = 0;
  int64_t last_write_ms_ = 0;
  uint64_t history_id_ = 0;
  uint64_t applied_at_hello_ = 0;
  bool durable_ = false;
  uint32_t credit_ = 0;
  int64_t paused_since_ms_ = 0;  // 0 = not paused
  BatchLimits limits_;
  uint64_t next_seq_ = 1;
  uint64_t acked_ = 0;
  std::deque<SentBatch> unacked_;
  size_t resend_ = 0;  // place in unacked_ of the next batch that this stream has not got
  bool in_pass_ = false;
  int64_t pass_ms_ = 0;  // start of the pass
  int64_t span_start_ms_ = NowMs();
  uint64_t pass_flush_ = 0;                            // flush_asked_ at the start of the pass
  std::deque<std::pair<uint64_t, uint64_t>> flushes_;  // flush_asked_, seq that covers it
  std::thread thread_;
};

void Reporter::Impl::Run() {
  while (true) {
    const int64_t now = NowMs();
    HandleStream(now);
    if (Finished(now)) break;
    if (stream_ == nullptr && !dead_ && now >= connect_at_ms_) Connect(now);
    const bool wrote = stream_ != nullptr && stream_->CanWrite() && WriteNext(now);
    if (!wrote) wakeup_->Wait(absl::Milliseconds(WaitMs(NowMs())));
  }
  if (stream_ != nullptr) {
    stream_->Cancel();
    while (!stream_->ended()) wakeup_->Wait(absl::Seconds(1));
  }
}

bool Reporter::Impl::Finished(int64_t now) {
  MutexLock lock(&mu_);
  if (!stopping_) return false;
  return dead_ || now >= stop_by_ms_ || (said_goodbye_ && stream_ == nullptr);
}

int64_t Reporter::Impl::WaitMs(int64_t now) {
  int64_t until = now + kIdleWaitMs;
  if (stream_ == nullptr) {
    if (!dead_) until = std::min(until, connect_at_ms_);
  } else if (!welcome_) {
    until = std::min(until, hello_by_ms_);
  } else if (!said_goodbye_) {
    until = std::min({until, pass_ms_ + interval_ms_, last_write_ms_ + kHeartbeatMs});
    // With a write in flight or no credit the next signal wakes; time alone does not help.
    if (!stream_->CanWrite() || unacked_.size() >= credit_) until = now + kHeartbeatMs;
  }
  MutexLock lock(&mu_);
  if (stopping_) until = std::min(until, stop_by_ms_);
  return std::max<int64_t>(until - now, 0);
}

void Reporter::Impl::Connect(int64_t now) {
  welcome_ = false;
  said_goodbye_ = false;
  hello_by_ms_ = now + kHelloTimeoutMs;
  stream_ =
      ReportCall::Start([this](grpc::ClientContext* context,
                               auto* reactor) { stub_->async()->ReportStream(context, reactor); },
                        wakeup_);
  v1::ReportRequest request;
  v1::Hello* hello = request.mutable_hello();
  hello->set_reporter_id(options_.reporter_id);
  hello->set_incarnation(incarnation_);
  hello->set_acked_through(acked_);
  hello->set_mode(v1::VALUE_MODE_DELTA);
  for (const LabelPair& pair : hello_labels_) {
    v1::Label* label = hello->add_labels();
    label->set_name(pair.first);
    label->set_value(pair.second);
  }
  stream_->Write(std::move(request));
  last_write_ms_ = now;
}

void Reporter::Impl::HandleStream(int64_t now) {
  if (stream_ == nullptr) return;
  // The end first: what came before it is in the inbox by then.
  const std::optional<absl::Status> end = stream_->ended();
  for (const v1::ReportResponse& response : stream_->Take()) {
    if (response.has_hello_ack() && !welcome_) HandleHelloAck(response.hello_ack(), now);
    if (response.has_ack() && welcome_) {
      HandleAck(response.ack());
      SetCredit(response.ack().credit(), now);
    }
  }
  if (end.has_value()) {
    HandleEnd(*end, now);
  } else if (!welcome_ && now >= hello_by_ms_) {
    stream_->Cancel();
    hello_by_ms_ = now + kHelloTimeoutMs;
  }
}

void Reporter::Impl::HandleHelloAck(const v1::HelloAck& ack, int64_t now) {
  welcome_ = true;
  welcome_ms_ = now;
  durable_ = ack.durable();
  table_.BeginStream();
  const bool changed = history_id_ != 0 && history_id_ != ack.history_id();
  if (changed) table_.AnnounceAll();
  history_id_ = ack.history_id();
  applied_at_hello_ = ack.applied_seq();
  resend_ = 0;
  limits_ = BatchLimits();
  if (ack.limits().samples_per_batch_max() > 0) {
    limits_.samples_max = ack.limits().samples_per_batch_max();
  }
  if (ack.limits().batch_bytes_max() > 0) limits_.bytes_max = ack.limits().batch_bytes_max();
  if (ack.applied_seq() >= next_seq_ && unacked_.empty() && acked_ == 0) {
    // Somebody else counts under our number: take a new one while nothing was sent under it.
    ++incarnation_;
    stream_->Cancel();
    welcome_ = false;
  }
  {
    MutexLock lock(&mu_);
    stats_.connected = true;
    if (changed) ++stats_.history_changes;
  }
  SetCredit(ack.credit(), now);
}

void Reporter::Impl::SetCredit(uint32_t credit, int64_t now) {
  credit_ = credit;
  if (credit == 0 && paused_since_ms_ == 0) {
    paused_since_ms_ = now;
  } else if (credit > 0 && paused_since_ms_ != 0) {
    MutexLock lock(&mu_);
    stats_.paused += absl::Milliseconds(now - paused_since_ms_);
    paused_since_ms_ = 0;
  }
}

void Reporter::Impl::HandleRejects(const v1::Ack& ack) {
  if (ack.rejects().empty()) return;
  {
    MutexLock lock(&mu_);
    stats_.samples_rejected += static_cast<uint64_t>(ack.rejects_size());
  }
  if (!options_.on_reject) return;
  for (const v1::Reject& reject : ack.rejects()) {
    ReporterOptions::Reject told{"", reject.reason(), reject.message()};
    for (const SentBatch& sent : unacked_) {
      if (sent.batch.seq() == reject.seq()) {
        told.series = table_.Describe(RefOfSample(sent.batch, reject.sample_index()));
      }
    }
    options_.on_reject(told);
  }
}

void Reporter::Impl::HandleAck(const v1::Ack& ack) {
  if (durable_ && ack.level() != v1::ACK_LEVEL_DURABLE) return;
  backoff_.Reset();
  HandleRejects(ack);
  uint64_t settled = 0;
  while (!unacked_.empty() && unacked_.front().batch.seq() <= ack.through_seq()) {
    acked_ = unacked_.front().batch.seq();
    unacked_.pop_front();
    ++settled;
    if (resend_ > 0) --resend_;
  }
  {
    MutexLock lock(&mu_);
    stats_.batches_acked += settled;
    stats_.batches_unacked = unacked_.size();
  }
  SettleFlushes();
}

void Reporter::Impl::HandleEnd(const absl::Status& status, int64_t now) {
  stream_.reset();
  const bool clean = said_goodbye_ && status.ok();
  if (!clean) said_goodbye_ = false;
  const absl::Status error =
      status.ok() ? absl::UnavailableError("the aggregator ended the stream") : status;
  if (welcome_) SetCredit(1, now);
  if (welcome_ && now - welcome_ms_ > kSteadyMs) backoff_.Reset();
  welcome_ = false;
  dead_ = IsFatal(error);
  connect_at_ms_ = now + backoff_.NextMs(error);
  MutexLock lock(&mu_);
  stats_.connected = false;
  if (!clean) ++stats_.reconnects;
  last_error_ = error;
  if (dead_) {
    fatal_ = error;
    flushed_.SignalAll();
  }
}

bool Reporter::Impl::PassDue(int64_t now) {
  if (in_pass_ || pass_ms_ == 0 || now >= pass_ms_ + interval_ms_) return true;
  MutexLock lock(&mu_);
  return flush_asked_ > pass_flush_;
}

bool Reporter::Impl::WriteNext(int64_t now) {
  if (!welcome_ || said_goodbye_) return false;
  // Batches that this stream has not got come first, in their order. Those that the aggregator has
  // already applied are repeated too: it may not have made them durable, and answers them again.
  if (resend_ < unacked_.size()) {
    if (resend_ >= credit_) return false;
    SentBatch& sent = unacked_[resend_++];
    table_.Redefine(sent.defined, &sent.batch);
    {
      MutexLock lock(&mu_);
      ++stats_.batches_resent;
    }
    SendBatch(sent, now);
    // A repeat may be recognised before its definitions are read, so they do not count as known.
    if (sent.batch.seq() <= applied_at_hello_) table_.BeginStream();
    return true;
  }
  if (unacked_.size() < credit_ && PassDue(now) && SendNewBatch(now)) return true;
  bool stopping = false;
  {
    MutexLock lock(&mu_);
    stopping = stopping_ && flush_done_ == flush_asked_;
  }
  if (stopping && drained()) {
    if (!options_.gauges_stay) {
      v1::ReportRequest request;
      request.mutable_goodbye()->set_drained(true);
      stream_->Write(std::move(request));
    }
    stream_->WritesDone();
    said_goodbye_ = true;
    return true;
  }
  if (now >= last_write_ms_ + kHeartbeatMs) {
    v1::ReportRequest request;
    request.mutable_heartbeat();
    stream_->Write(std::move(request));
    last_write_ms_ = now;
    return true;
  }
  return false;
}

bool Reporter::Impl::SendNewBatch(int64_t now) {
  if (!in_pass_) {
    in_pass_ = true;
    pass_ms_ = now;
    MutexLock lock(&mu_);
    pass_flush_ = flush_asked_;
  }
  SentBatch sent;
  in_pass_ = table_.Fill(limits_, &sent.batch);
  const v1::Batch& batch = sent.batch;
  const bool empty = batch.series().empty() && batch.counter_refs().empty() &&
                     batch.fraction_refs().empty() && batch.gauge_refs().empty() &&
                     batch.gauge_removes().empty();
  if (!empty) {
    sent.batch.set_seq(next_seq_++);
    sent.batch.set_interval_ms(std::max<int64_t>(now - span_start_ms_, 0));
    sent.span_end_ms = now;
    for (const v1::SeriesDef& series : batch.series()) sent.defined.push_back(series.ref());
    unacked_.push_back(std::move(sent));
    resend_ = unacked_.size();
    MutexLock lock(&mu_);
    ++stats_.batches_sent;
    stats_.batches_unacked = unacked_.size();
  }
  if (!in_pass_) {
    span_start_ms_ = now;
    flushes_.emplace_back(pass_flush_, next_seq_ - 1);
    SettleFlushes();
  }
  if (!empty) SendBatch(unacked_.back(), now);
  return !empty;
}

void Reporter::Impl::SendBatch(SentBatch& sent, int64_t now) {
  sent.batch.set_age_ms(now - sent.span_end_ms);
  v1::ReportRequest request;
  *request.mutable_batch() = sent.batch;
  stream_->Write(std::move(request));
  last_write_ms_ = now;
}

void Reporter::Impl::SettleFlushes() {
  uint64_t done = 0;
  while (!flushes_.empty() && flushes_.front().second <= acked_) {
    done = flushes_.front().first;
    flushes_.pop_front();
  }
  if (done == 0) return;
  MutexLock lock(&mu_);
  flush_done_ = std::max(flush_done_, done);
  flushed_.SignalAll();
}

absl::Status Reporter::Impl::Flush(absl::Duration timeout) {
  const int64_t until = NowMs() + absl::ToInt64Milliseconds(timeout);
  uint64_t mine = 0;
  {
    MutexLock lock(&mu_);
    mine = ++flush_asked_;
  }
  wakeup_->Signal();
  MutexLock lock(&mu_);
  while (flush_done_ < mine) {
    if (!fatal_.ok()) return fatal_;
    const int64_t left = until - NowMs();
    if (left <= 0) {
      return absl::DeadlineExceededError(
          stats_.connected ? absl::StrCat(stats_.batches_unacked, " batches are not acknowledged")
                           : absl::StrCat("no connection: ", last_error_.message()));
    }
    flushed_.WaitWithTimeout(&mu_, absl::Milliseconds(left));
  }
  return absl::OkStatus();
}

Reporter::Reporter(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Reporter::~Reporter() { impl_->Stop(); }

absl::StatusOr<std::unique_ptr<Reporter>> Reporter::Create(ReporterOptions options) {
  if (options.interval < absl::Milliseconds(100) || options.interval > absl::Seconds(60)) {
    return absl::InvalidArgumentError("interval must be 100 ms..60 s");
  }
  if (options.reporter_id.size() > 128) {
    return absl::InvalidArgumentError("reporter_id must be 1..128 bytes of UTF-8");
  }
  if (options.reporter_id.empty()) options.reporter_id = DefaultReporterId();
  WHEELPIT_ASSIGN_OR_RETURN(auto channel, MakeChannel(options.client));
  return std::unique_ptr<Reporter>(
      new Reporter(std::make_shared<Impl>(std::move(options), std::move(channel))));
}

absl::StatusOr<Reporter::Counter> Reporter::AddCounter(const SeriesSpec& spec) {
  Counter counter;
  WHEELPIT_ASSIGN_OR_RETURN(counter.cells_, impl_->table().AddCounter(spec));
  return counter;
}

absl::StatusOr<Reporter::Gauge> Reporter::AddGauge(const SeriesSpec& spec, Merge merge) {
  Gauge gauge;
  WHEELPIT_ASSIGN_OR_RETURN(gauge.cell_, impl_->table().AddGauge(spec, merge));
  return gauge;
}

absl::Status Reporter::Flush(absl::Duration timeout) { return impl_->Flush(timeout); }
ReporterStats Reporter::stats() const { return impl_->stats(); }
absl::Status Reporter::last_error() const { return impl_->last_error(); }

}  // namespace wheelpit
