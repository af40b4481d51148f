#include "client/loadgen/load.h"

#include <httplib.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/sync.h"
#include "client/loadgen/payloads.h"
#include "client/sdk/channel.h"
#include "client/sdk/submitter.h"

namespace wheelpit {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kProgressNs = 500'000'000;

struct Arrival {
  int64_t at_ns = 0;  // monotonic
  Payloads::Payload payload;
};

// An answer: the task's id if the route makes one.
struct Answer {
  absl::Status status;
  std::string id;
};

class Load {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options),
        http_url_(absl::StripSuffix(options.http_url, "/")),
        waiting_max_(static_cast<size_t>(options.connections) * LoadOptions::kWaitingPerConnection),
        rng_(options.seed ^ 0x9e3779b9) {}

  absl::StatusOr<LoadSummary> Go();

 private:
  static int64_t Now() { return ClientClock().MonotonicNanos(); }
  absl::Status Prepare();
  // The arrivals' times, on the caller's thread.
  void Pace();
  void WaitUntil(int64_t at_ns);
  void Dispatch(Arrival arrival);
  // One HTTP connection, on a thread of its own.
  void ServeHttp();
  void Record(const Arrival& arrival, const Answer& answer);
  void Progress();
  bool Stopped() const {
    return options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed);
  }

  std::string ConnectionErrorText(httplib::Error error) const;

  const LoadOptions& options_;
  const std::string http_url_;
  const size_t waiting_max_;
  Rng rng_;
  Payloads payloads_ = Payloads::Filler(0);
  std::unique_ptr<Submitter> submitter_;
  int64_t start_ns_ = 0;
  int64_t progress_at_ns_ = 0;

  Mutex mu_;
  CondVar changed_;
  std::deque<Arrival> queue_ ABSL_GUARDED_BY(mu_);
  bool over_ ABSL_GUARDED_BY(mu_) = false;
  std::ofstream ledger_ ABSL_GUARDED_BY(mu_);
  std::vector<double> latencies_ms_ ABSL_GUARDED_BY(mu_);
  LoadSummary summary_ ABSL_GUARDED_BY(mu_);
};

absl::Status Load::Prepare() {
  if (options_.payload_dir.empty()) {
    payloads_ = Payloads::Filler(options_.payload_bytes);
  } else {
    WHEELPIT_ASSIGN_OR_RETURN(payloads_,
                              Payloads::FromFolder(options_.payload_dir, options_.payload_bytes_min,
                                                   options_.payload_bytes_max));
  }
  if (options_.http_url.empty()) {
    if (options_.queue.empty()) return absl::InvalidArgumentError("gRPC submits need a queue");
    SubmitterOptions submitter;
    submitter.client = options_.client;
    submitter.deadline = absl::Milliseconds(options_.timeout_ms);
    submitter.outstanding_max = waiting_max_;
    WHEELPIT_ASSIGN_OR_RETURN(submitter_, Submitter::Create(submitter));
  } else if (!absl::StrContains(http_url_, "://") || !httplib::Client(http_url_).is_valid()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", options_.http_url, "\" is not http://HOST:PORT"));
  }
  MutexLock lock(&mu_);
  if (!options_.ledger.empty()) {
    ledger_.open(options_.ledger, std::ios::app);
    if (!ledger_) return absl::InvalidArgumentError(absl::StrCat("cannot write ", options_.ledger));
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadSummary> Load::Go() {
  WHEELPIT_RETURN_IF_ERROR(Prepare());
  start_ns_ = Now();
  std::vector<std::thread> connections;
  for (int i = 0; submitter_ == nullptr && i < options_.connections; ++i) {
    connections.emplace_back([this] { ServeHttp(); });
  }
  Pace();
  {
    MutexLock lock(&mu_);
    over_ = true;
    changed_.SignalAll();
  }
  for (std::thread& connection : connections) connection.join();
  if (submitter_ != nullptr) {
    submitter_->Flush(absl::Milliseconds(options_.timeout_ms) + absl::Seconds(1)).IgnoreError();
    submitter_.reset();
  }
  MutexLock lock(&mu_);
  summary_.unsent = queue_.size();
  summary_.arrivals -= summary_.unsent;
  summary_.seconds = static_cast<double>(Now() - start_ns_) * 1e-9;
  std::sort(latencies_ms_.begin(), latencies_ms_.end());
  if (!latencies_ms_.empty()) {
    const size_t last = latencies_ms_.size() - 1;
    summary_.latency_p50_ms = latencies_ms_[last / 2];
    summary_.latency_p99_ms = latencies_ms_[last * 99 / 100];
    summary_.latency_max_ms = latencies_ms_[last];
  }
  ledger_.flush();
  if (!options_.ledger.empty() && !ledger_) {
    return absl::InternalError(absl::StrCat("cannot write ", options_.ledger));
  }
  return summary_;
}

void Load::WaitUntil(int64_t at_ns) {
  while (!Stopped()) {
    const int64_t now = Now();
    if (now >= progress_at_ns_) Progress();
    if (now >= at_ns) return;
    MutexLock lock(&mu_);
    changed_.WaitWithTimeout(&mu_, absl::Nanoseconds(std::min(at_ns - now, kProgressNs / 10)));
  }
}

void Load::Progress() {
  progress_at_ns_ = Now() + kProgressNs;
  if (!options_.on_progress) return;
  uint64_t sent = 0, acknowledged = 0, failed = 0;
  {
    MutexLock lock(&mu_);
    sent = summary_.arrivals;
    acknowledged = summary_.acknowledged;
    failed = summary_.failed;
  }
  options_.on_progress(sent, acknowledged, failed);
}

void Load::Pace() {
  Arrivals arrivals(options_.profile, options_.seed);
  uint64_t sent = 0;
  while (options_.requests_max == 0 || sent < options_.requests_max) {
    const std::optional<double> at = arrivals.Next();
    if (!at.has_value()) break;
    Arrival arrival;
    arrival.at_ns = start_ns_ + static_cast<int64_t>(*at * 1e9);
    WaitUntil(arrival.at_ns);
    if (Stopped()) return;
    absl::StatusOr<Payloads::Payload> payload = payloads_.Draw(&rng_);
    if (!payload.ok()) continue;
    arrival.payload = *std::move(payload);
    ++sent;
    Dispatch(std::move(arrival));
  }
  // A profile that ends in silence lasts until its end.
  if (options_.requests_max == 0 && std::isfinite(options_.profile.seconds())) {
    WaitUntil(start_ns_ + static_cast<int64_t>(options_.profile.seconds() * 1e9));
  }
}

void Load::Dispatch(Arrival arrival) {
  bool full = false;
  {
    MutexLock lock(&mu_);
    ++summary_.arrivals;
    full = submitter_ == nullptr && queue_.size() >= waiting_max_;
    if (submitter_ == nullptr && !full) {
      queue_.push_back(std::move(arrival));
      changed_.SignalAll();
      return;
    }
  }
  if (full) {
    const std::string why = absl::StrCat(waiting_max_, " requests wait for a connection: the server ",
                                         "does not keep up; lower the rate, or raise --connections");
    Record(arrival, {absl::UnavailableError(why), ""});
    return;
  }
  NewTask task;
  task.queue = options_.queue;
  task.payload = std::move(arrival.payload.bytes);
  submitter_->Submit(std::move(task),
                     [this, arrival = std::move(arrival)](absl::StatusOr<SubmitReceipt> receipt) {
                       Record(arrival, {receipt.status(), receipt.ok() ? receipt->id : ""});
                     });
}

void Load::ServeHttp() {
  httplib::Client http(http_url_);
  http.set_keep_alive(true);
  http.set_tcp_nodelay(true);
  const auto timeout = std::chrono::milliseconds(options_.timeout_ms);
  http.set_connection_timeout(timeout);
  http.set_read_timeout(timeout);
  http.set_write_timeout(timeout);
  while (true) {
    Arrival arrival;
    {
      MutexLock lock(&mu_);
      while (queue_.empty() && !over_) changed_.Wait(&mu_);
      // A server that is gone lets each request time out: what waits is not tried too.
      if (queue_.empty() || Stopped()) return;
      arrival = std::move(queue_.front());
      queue_.pop_front();
    }
    Answer answer;
    const httplib::Result result =
        http.Post(options_.route, arrival.payload.bytes, "application/octet-stream");
    if (!result) {
      answer.status = absl::UnavailableError(ConnectionErrorText(result.error()));
    } else if (result->status / 100 != 2) {
      answer.status = absl::FailedPreconditionError(
          absl::StrCat("HTTP ", result->status, ": ",
                       absl::StripTrailingAsciiWhitespace(
                           absl::string_view(result->body).substr(0, 200))));
    } else {
      const Json body = Json::parse(result->body, nullptr, false);
      if (body.is_object() && body.contains("id") && body["id"].is_string()) {
        answer.id = body["id"].get<std::string>();
      }
    }
    Record(arrival, answer);
  }
}

std::string Load::ConnectionErrorText(httplib::Error error) const {
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return absl::StrCat("cannot connect to ", http_url_);
    case httplib::Error::Read:
      return absl::StrCat("no answer from ", http_url_,
                          ": the connection broke, or --request_timeout is over");
    default:
      return absl::StrCat(http_url_, ": ", httplib::to_string(error));
  }
}

void Load::Record(const Arrival& arrival, const Answer& answer) {
  const double latency_ms = static_cast<double>(Now() - arrival.at_ns) * 1e-6;
  MutexLock lock(&mu_);
  if (!answer.status.ok()) {
    ++summary_.failed;
    if (answer.status.code() == absl::StatusCode::kUnavailable ||
        answer.status.code() == absl::StatusCode::kDeadlineExceeded) {
      ++summary_.unreachable;
    }
    if (summary_.first_error.empty()) summary_.first_error = std::string(answer.status.message());
    return;
  }
  ++summary_.acknowledged;
  latencies_ms_.push_back(latency_ms);
  if (!ledger_.is_open()) return;
  Json line = {{"id", answer.id},
               {"at_ms", static_cast<double>(arrival.at_ns - start_ns_) * 1e-6},
               {"latency_ms", latency_ms}};
  if (!arrival.payload.path.empty()) line["payload"] = arrival.payload.path;
  ledger_ << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
}

}  // namespace

absl::StatusOr<LoadSummary> RunLoad(const LoadOptions& options) { return Load(options).Go(); }

}  // namespace wheelpit
