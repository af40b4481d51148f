#include "base/http/http_client.h"

#include <sys/socket.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/http/chunked.h"
#include "base/http/client_connection.h"
#include "base/http/tls.h"
#include "base/http/url.h"
#include "base/status_macros.h"
#include "base/sync.h"

namespace wheelpit {
namespace {

constexpr size_t kHeadBytesMax = 256 << 10;
// Longer ones, infinity among them, are no different.
constexpr absl::Duration kTimeoutMax = absl::Hours(24 * 365);

using Sink = absl::FunctionRef<bool(absl::string_view)>;

// The answer's head, or kInternal.
absl::Status ParseHead(absl::string_view head, HttpAnswer* answer) {
  const auto bad = [] { return absl::InternalError("the answer is not HTTP"); };
  size_t end = head.find("\r\n");
  const absl::string_view first = head.substr(0, end);
  // HTTP/1.1 200 OK
  if (!absl::StartsWith(first, "HTTP/1.") || first.size() < 12 || first[8] != ' ') return bad();
  if (!absl::SimpleAtoi(first.substr(9, 3), &answer->status)) return bad();
  while (end != absl::string_view::npos) {
    head.remove_prefix(end + 2);
    end = head.find("\r\n");
    const absl::string_view line = head.substr(0, end);
    if (line.empty()) continue;
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos) return bad();
    answer->headers.emplace_back(std::string(line.substr(0, colon)),
                                 std::string(absl::StripAsciiWhitespace(line.substr(colon + 1))));
  }
  return absl::OkStatus();
}

class RealHttpClient final : public HttpClient {
 public:
  RealHttpClient(HttpClientOptions options, Url url, SslContext context, const Clock* clock)
      : options_(std::move(options)), url_(std::move(url)), context_(std::move(context)), clock_(clock) {}

  absl::StatusOr<HttpAnswer> Call(const HttpCall& call) override {
    return Run(call, nullptr);
  }
  absl::StatusOr<HttpAnswer> Stream(const HttpCall& call, Sink on_data) override {
    return Run(call, &on_data);
  }
  void Cancel() override {
    MutexLock lock(&mu_);
    cancelled_ = true;
    idle_.clear();
    for (const int fd : at_work_) ::shutdown(fd, SHUT_RDWR);
  }

 private:
  struct Exchange {
    std::unique_ptr<ClientConnection> connection;
    // Came after what was parsed last.
    std::string buffer;
    HttpAnswer answer;
    int64_t deadline_ns = 0;
    bool reused = false;
    // Something of an answer has come.
    bool begun = false;
    bool keep = false;
  };

  absl::StatusOr<HttpAnswer> Run(const HttpCall& call, Sink* on_data);
  absl::Status Open(Exchange* exchange, bool fresh);
  absl::Status Talk(const HttpCall& call, Exchange* exchange, Sink* on_data);
  absl::Status ReadHead(Exchange* exchange);
  absl::Status ReadBody(absl::string_view method, Exchange* exchange, Sink on_body);
  absl::Status ReadPlain(uint64_t length, bool to_end, Exchange* exchange, Sink on_body);
  absl::Status ReadChunks(Exchange* exchange, Sink on_body);
  absl::Status Fill(Exchange* exchange);
  std::string RequestText(const HttpCall& call) const;
  void Leave(Exchange* exchange, bool healthy);

  const HttpClientOptions options_;
  const Url url_;
  const SslContext context_;
  const Clock* const clock_;
  Mutex mu_;
  std::vector<std::unique_ptr<ClientConnection>> idle_ ABSL_GUARDED_BY(mu_);
  std::set<int> at_work_ ABSL_GUARDED_BY(mu_);
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
};

std::string RealHttpClient::RequestText(const HttpCall& call) const {
  std::string text = absl::StrCat(call.method, " ", url_.path, call.target, " HTTP/1.1\r\nHost: ",
                                  url_.Authority(), "\r\nUser-Agent: ", options_.user_agent, "\r\n");
  bool authorized = false;
  for (const auto& [name, value] : call.headers) {
    authorized |= absl::EqualsIgnoreCase(name, "Authorization");
    absl::StrAppend(&text, name, ": ", value, "\r\n");
  }
  if (!authorized && !url_.user.empty()) {
    absl::StrAppend(&text, "Authorization: Basic ",
                    absl::Base64Escape(absl::StrCat(url_.user, ":", url_.password)), "\r\n");
  }
  if (!call.content_type.empty()) absl::StrAppend(&text, "Content-Type: ", call.content_type, "\r\n");
  if (!call.body.empty() || call.method == "POST")
    absl::StrAppend(&text, "Content-Length: ", call.body.size(), "\r\n");
  absl::StrAppend(&text, "\r\n", call.body);
  return text;
}

absl::Status RealHttpClient::Open(Exchange* exchange, bool fresh) {
  {
    MutexLock lock(&mu_);
    if (cancelled_) return absl::CancelledError("the client is stopped");
    if (!fresh && !idle_.empty()) {
      exchange->connection = std::move(idle_.back());
      idle_.pop_back();
      exchange->reused = true;
      at_work_.insert(exchange->connection->fd());
      return absl::OkStatus();
    }
  }
  exchange->connection = std::make_unique<ClientConnection>(clock_);
  WHEELPIT_RETURN_IF_ERROR(exchange->connection->Connect(url_, exchange->deadline_ns));
  {
    MutexLock lock(&mu_);
    if (cancelled_) return absl::CancelledError("the client is stopped");
    at_work_.insert(exchange->connection->fd());
  }
  if (context_ == nullptr) return absl::OkStatus();
  const std::string& name = options_.server_name.empty() ? url_.host : options_.server_name;
  return exchange->connection->StartTls(context_.get(), name, !options_.insecure,
                                        exchange->deadline_ns);
}

void RealHttpClient::Leave(Exchange* exchange, bool healthy) {
  if (exchange->connection == nullptr) return;
  std::unique_ptr<ClientConnection> connection = std::move(exchange->connection);
  MutexLock lock(&mu_);
  at_work_.erase(connection->fd());
  // Bytes beyond the answer would be taken for the next one.
  const bool keep = healthy && exchange->keep && exchange->buffer.empty() && !cancelled_;
  if (keep && idle_.size() < options_.idle_max) idle_.push_back(std::move(connection));
}

absl::StatusOr<HttpAnswer> RealHttpClient::Run(const HttpCall& call, Sink* on_data) {
  const absl::Duration timeout =
      std::min(std::max(call.timeout, absl::ZeroDuration()), kTimeoutMax);
  const int64_t deadline_ns = clock_->MonotonicNanos() + absl::ToInt64Nanoseconds(timeout);
  for (bool fresh = false;; fresh = true) {
    Exchange exchange;
    exchange.deadline_ns = deadline_ns;
    absl::Status status = Open(&exchange, fresh);
    if (status.ok()) status = Talk(call, &exchange, on_data);
    Leave(&exchange, status.ok());
    if (status.ok()) return std::move(exchange.answer);
    {
      MutexLock lock(&mu_);
      if (cancelled_) return absl::CancelledError("the client is stopped");
    }
    // The server had closed the kept connection before it saw the request.
    if (exchange.reused && !exchange.begun && absl::IsUnavailable(status)) continue;
    return status;
  }
}

absl::Status RealHttpClient::Talk(const HttpCall& call, Exchange* exchange, Sink* on_data) {
  WHEELPIT_RETURN_IF_ERROR(exchange->connection->Write(RequestText(call), exchange->deadline_ns));
  do {
    exchange->answer = HttpAnswer();
    WHEELPIT_RETURN_IF_ERROR(ReadHead(exchange));
  } while (exchange->answer.status >= 100 && exchange->answer.status < 200);
  if (on_data != nullptr && exchange->answer.status >= 200 && exchange->answer.status < 300)
    return ReadBody(call.method, exchange, *on_data);
  bool too_long = false;
  const auto keep = [&](absl::string_view piece) {
    too_long = exchange->answer.body.size() + piece.size() > options_.body_bytes_max;
    if (!too_long) exchange->answer.body.append(piece.data(), piece.size());
    return !too_long;
  };
  const absl::Status status = ReadBody(call.method, exchange, keep);
  if (too_long) return absl::InternalError(absl::StrCat("the answer is longer than ", options_.body_bytes_max, " bytes"));
  return status;
}

absl::Status RealHttpClient::Fill(Exchange* exchange) {
  WHEELPIT_ASSIGN_OR_RETURN(const bool more,
                            exchange->connection->Read(&exchange->buffer, exchange->deadline_ns));
  if (!more) return absl::UnavailableError("the answer broke off");
  exchange->begun = true;
  return absl::OkStatus();
}

absl::Status RealHttpClient::ReadHead(Exchange* exchange) {
  size_t end = 0;
  while ((end = exchange->buffer.find("\r\n\r\n")) == std::string::npos) {
    if (exchange->buffer.size() > kHeadBytesMax)
      return absl::InternalError("the head of the answer is too long");
    WHEELPIT_RETURN_IF_ERROR(Fill(exchange));
  }
  const absl::Status parsed =
      ParseHead(absl::string_view(exchange->buffer).substr(0, end), &exchange->answer);
  exchange->buffer.erase(0, end + 4);
  return parsed;
}

absl::Status RealHttpClient::ReadBody(absl::string_view method, Exchange* exchange, Sink on_body) {
  const HttpAnswer& answer = exchange->answer;
  exchange->keep = !absl::EqualsIgnoreCase(answer.Header("Connection"), "close");
  if (method == "HEAD" || answer.status == 204 || answer.status == 304) return absl::OkStatus();
  const absl::string_view coding = answer.Header("Transfer-Encoding");
  if (absl::EqualsIgnoreCase(coding, "chunked")) return ReadChunks(exchange, on_body);
  if (!coding.empty()) return absl::InternalError("the answer has an unknown transfer coding");
  const absl::string_view length_text = answer.Header("Content-Length");
  uint64_t length = 0;
  if (!length_text.empty() && !absl::SimpleAtoi(length_text, &length))
    return absl::InternalError("the answer has a bad content length");
  const bool to_end = length_text.empty();
  if (to_end) exchange->keep = false;
  return ReadPlain(length, to_end, exchange, on_body);
}

absl::Status RealHttpClient::ReadPlain(uint64_t length, bool to_end, Exchange* exchange, Sink on_body) {
  std::string& buffer = exchange->buffer;
  while (true) {
    const size_t take =
        to_end ? buffer.size() : static_cast<size_t>(std::min<uint64_t>(length, buffer.size()));
    if (take > 0 && !on_body(absl::string_view(buffer).substr(0, take)))
      return absl::CancelledError("reading ended");
    buffer.erase(0, take);
    length -= to_end ? 0 : take;
    if (!to_end && length == 0) return absl::OkStatus();
    WHEELPIT_ASSIGN_OR_RETURN(const bool more,
                              exchange->connection->Read(&buffer, exchange->deadline_ns));
    if (!more) return to_end ? absl::OkStatus() : absl::UnavailableError("the answer broke off");
  }
}

absl::Status RealHttpClient::ReadChunks(Exchange* exchange, Sink on_body) {
  ChunkedDecoder decoder;
  while (true) {
    size_t used = 0;
    std::string data;
    const ChunkedDecoder::State state = decoder.Feed(exchange->buffer, &used, &data);
    exchange->buffer.erase(0, used);
    if (!data.empty() && !on_body(data)) return absl::CancelledError("reading ended");
    if (state == ChunkedDecoder::State::kDone) return absl::OkStatus();
    if (state == ChunkedDecoder::State::kBad) return absl::InternalError("the answer's chunks are malformed");
    WHEELPIT_RETURN_IF_ERROR(Fill(exchange));
  }
}

}  // namespace

absl::string_view HttpAnswer::Header(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(HttpClientOptions options,
                                                               const Clock* clock) {
  WHEELPIT_ASSIGN_OR_RETURN(Url url, ParseUrl(options.url));
  SslContext context;
  if (url.tls) {
    WHEELPIT_ASSIGN_OR_RETURN(context, MakeClientContext(options.ca_pem, options.certificate_pem,
                                                         options.key_pem, options.insecure));
  }
  return std::unique_ptr<HttpClient>(
      new RealHttpClient(std::move(options), std::move(url), std::move(context), clock));
}

}  // namespace wheelpit
