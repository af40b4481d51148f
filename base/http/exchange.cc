#include "base/http/exchange.h"

#include <httplib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/http/gzip.h"

namespace wheelpit {
namespace {

// So that a slow reader is not cut while it makes progress, and one that makes none is.
constexpr int64_t kSlowestBytesPerSecond = 16 << 10;

// What httplib reads is a head made by us, so that its decoding and its regular expressions see nothing from outside; what it
// writes goes to the connection.
class ExchangeStream final : public httplib::Stream {
 public:
  ExchangeStream(Connection* connection, std::string head, int64_t transfer_ms)
      : connection_(connection), head_(std::move(head)), transfer_ms_(transfer_ms) {}

  bool is_readable() const override { return used_ < head_.size(); }
  bool is_writable() const override { return !failed_; }
  ssize_t read(char* to, size_t size) override {
    const size_t take = std::min(size, head_.size() - used_);
    std::copy_n(head_.data() + used_, take, to);
    used_ += take;
    return static_cast<ssize_t>(take);
  }
  ssize_t write(const char* data, size_t size) override {
    if (failed_) return -1;
    // The head of an answer waits for its content: one packet instead of two.
    if (size < 4096 && held_.size() < 16384) {
      held_.append(data, size);
      return static_cast<ssize_t>(size);
    }
    if (!Flush() || !WriteAll(connection_, {data, size}, transfer_ms_)) failed_ = true;
    return failed_ ? -1 : static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  socket_t socket() const override { return connection_->fd(); }

  bool Flush() {
    if (failed_) return false;
    if (!held_.empty() && !WriteAll(connection_, held_, transfer_ms_)) failed_ = true;
    held_.clear();
    return !failed_;
  }

 private:
  Connection* const connection_;
  const std::string head_;
  const int64_t transfer_ms_;
  size_t used_ = 0;
  std::string held_;
  bool failed_ = false;
};

// httplib hands each accepted socket to a queue of tasks; ours only parks it, so it runs at once.
class InlineQueue final : public httplib::TaskQueue {
 public:
  void enqueue(std::function<void()> task) override { task(); }
  void shutdown() override {}
};

struct Exchange {
  const HttpResponse* response = nullptr;
  bool keep_alive = true;
  std::string date;
};
// What httplib's handler answers with: it is called deep inside process_request, on this thread.
thread_local const Exchange* current_exchange = nullptr;

// As in the Date header; put into words once a second.
const std::string& DateText(absl::Time now) {
  thread_local int64_t seconds = -1;
  thread_local std::string text;
  if (const int64_t is = absl::ToUnixSeconds(now); is != seconds || text.empty()) {
    text = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
    seconds = is;
  }
  return text;
}

void FillResponse(const Exchange& exchange, httplib::Response* out) {
  const HttpResponse& response = *exchange.response;
  out->status = response.status;
  for (const auto& [name, value] : response.headers) out->set_header(name, value);
  out->set_header("Date", exchange.date);
  if (!exchange.keep_alive) out->set_header("Connection", "close");
  const std::string& content = response.content();
  if (content.empty()) {
    if (!response.content_type.empty()) out->set_header("Content-Type", response.content_type);
    return;
  }
  // A provider of known length: httplib would compress plain content by its own mind.
  out->set_content_provider(content.size(), response.content_type,
                            [&content](size_t offset, size_t length, httplib::DataSink& sink) {
                              return sink.write(content.data() + offset, length);
                            });
}

void CompressResponse(const HttpRequest& request, size_t bytes_min, HttpResponse* response) {
  if (response->content().size() < bytes_min) return;
  for (const auto& [name, value] : response->headers) {
    if (absl::EqualsIgnoreCase(name, "Content-Encoding")) return;
  }
  if (std::none_of(response->headers.begin(), response->headers.end(),
                   [](const auto& header) { return absl::EqualsIgnoreCase(header.first, "Vary"); })) {
    response->headers.emplace_back("Vary", "Accept-Encoding");
  }
  if (!AcceptsGzip(request.Header("Accept-Encoding"))) return;
  response->body = GzipCompress(response->content());
  response->shared_body = nullptr;
  response->headers.emplace_back("Content-Encoding", "gzip");
}

}  // namespace

bool WriteAll(Connection* connection, absl::string_view data, int64_t transfer_ms) {
  const int64_t start = connection->Now();
  size_t done = 0;
  while (done < data.size()) {
    size_t written = 0;
    const IoState state = connection->Write(data.data() + done, data.size() - done, &written);
    done += written;
    if (state == IoState::kClosed) return false;
    if (state == IoState::kDone) continue;
    const auto earned_ns = static_cast<int64_t>(done) * (1'000'000'000 / kSlowestBytesPerSecond);
    if (!connection->Wait(state, start + transfer_ms * 1'000'000 + earned_ns)) return false;
  }
  return true;
}

class ExchangeRunner::Library final : public httplib::Server {
 public:
  explicit Library(std::function<void(int fd)> accepted) : accepted_(std::move(accepted)) {
    new_task_queue = [] { return new InlineQueue(); };
    // Before its routes, which are regular expressions.
    set_pre_routing_handler([](const httplib::Request&, httplib::Response& out) {
      FillResponse(*current_exchange, &out);
      return HandlerResponse::Handled;
    });
    // Not ours to promise: a number of requests, and parts of pages.
    set_post_routing_handler([](const httplib::Request&, httplib::Response& out) {
      out.headers.erase("Keep-Alive");
      out.headers.erase("Accept-Ranges");
    });
  }

  void Accept(int listen_fd) {
    svr_sock_ = listen_fd;
    listen_after_bind();
    // svr_sock_ keeps its value: httplib leaves out the content of answers when it believes itself shut down.
  }

  // False if nothing was answered.
  bool Process(ExchangeStream* stream) {
    bool closed = false;
    return process_request(*stream, /*close_connection=*/false, closed, nullptr);
  }

 private:
  bool process_and_close_socket(socket_t socket) override {
    accepted_(socket);
    return true;
  }

  const std::function<void(int fd)> accepted_;
};

ExchangeRunner::ExchangeRunner(const HttpServerOptions* options, const HttpHandler* handler, const Clock* clock,
                               std::function<void(int fd)> accepted)
    : options_(options), handler_(handler), clock_(clock), library_(std::make_unique<Library>(std::move(accepted))) {}

ExchangeRunner::~ExchangeRunner() = default;

void ExchangeRunner::AcceptUntilClosed(int listen_fd) { library_->Accept(listen_fd); }

bool ExchangeRunner::Run(Session* session, bool keep_alive) {
  HttpRequest& request = session->head.request;
  request.peer = session->connection.Peer();
  HttpResponse response = (*handler_)(request);
  // A slow reader of the answer shall not hold the request too.
  request.body = std::string();
  session->ReleaseBody();
  if (response.abort) return false;
  CompressResponse(request, options_->gzip_bytes_min, &response);
  return Answer(session, request.method, response, keep_alive);
}

bool ExchangeRunner::Answer(Session* session, absl::string_view method, const HttpResponse& response, bool keep_alive) {
  Exchange exchange;
  exchange.response = &response;
  exchange.keep_alive = keep_alive;
  exchange.date = DateText(clock_->WallNow());
  // GET and HEAD differ in what is sent; no other method needs more of httplib, since the body is read already.
  ExchangeStream stream(&session->connection, absl::StrCat(method == "HEAD" ? "HEAD" : "GET", " / HTTP/1.1\r\n\r\n"),
                        options_->transfer_ms);
  current_exchange = &exchange;
  const bool answered = library_->Process(&stream);
  current_exchange = nullptr;
  return answered && stream.Flush();
}

bool ExchangeRunner::Refuse(Session* session, int status, absl::string_view message) {
  const HttpResponse response =
      options_->error_response ? options_->error_response(status, message) : ErrorTextResponse(status, message);
  return Answer(session, session->head.request.method, response, /*keep_alive=*/false);
}

}  // namespace wheelpit
