#include "base/http/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/http/exchange.h"
#include "base/http/poller.h"
#include "base/http/tls.h"
#include "base/log.h"
#include "base/sync.h"

namespace wheelpit {
namespace {

constexpr int kBacklog = 512;
constexpr int64_t kNsPerMs = 1'000'000;
constexpr size_t kHeadFill = 4 << 10;
constexpr size_t kBodyFill = 64 << 10;
constexpr int64_t kBodySlowestBytesPerSecond = 16 << 10;
// After the last answer: what the client still sends is read and dropped, so that the answer reaches it.
constexpr int64_t kLingerMs = 2000;
constexpr size_t kLingerBytesMax = 1 << 20;

struct AddressFree {
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

// A bound and listening socket. Not SO_REUSEPORT: two servers on one port would share its clients unseen.
absl::StatusOr<int> Listen(const std::string& host, int port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.empty() ? nullptr : host.c_str(), absl::StrCat(port).c_str(), &hints, &found);
  if (error != 0) return absl::InvalidArgumentError(absl::StrCat("host \"", host, "\": ", gai_strerror(error)));
  const std::unique_ptr<addrinfo, AddressFree> addresses(found);
  int failed = 0;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) {
      failed = errno;
      continue;
    }
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, kBacklog) == 0) return fd;
    failed = errno;
    close(fd);
  }
  const std::string what = absl::StrCat("cannot listen on ", host, ":", port, ": ", strerror(failed));
  return failed == EADDRINUSE ? absl::AlreadyExistsError(what) : absl::InvalidArgumentError(what);
}

int PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return address.ss_family == AF_INET6 ? ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port)
                                       : ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

class RealHttpServer final : public HttpServer {
 public:
  RealHttpServer(HttpServerOptions options, HttpHandler handler, ThreadFactory threads, const Clock* clock, int listen_fd,
                 SslContext context)
      : options_(std::move(options)),
        handler_(std::move(handler)),
        clock_(clock),
        listen_fd_(listen_fd),
        port_(PortOf(listen_fd)),
        context_(std::move(context)),
        poller_(clock),
        pool_(options_.name, options_.threads_max, threads, [this] { Work(); }),
        runner_(&options_, &handler_, clock, [this](int fd) { Accepted(fd); }) {
    limits_.body_bytes_max = options_.body_bytes_max;
    join_sweeper_ = threads(options_.name, [this] { poller_.Sweep(); });
    pool_.Start();
    join_accept_ = threads(options_.name, [this] { AcceptLoop(); });
  }

  ~RealHttpServer() override { Stop(0); }

  int port() const override { return port_; }
  size_t connections() const override { return use_.connections.load(std::memory_order_relaxed); }
  uint64_t requests() const override { return requests_.load(std::memory_order_relaxed); }

  absl::Status SetCertificate(absl::string_view certificate_pem, absl::string_view key_pem) override {
    absl::StatusOr<SslContext> context = MakeServerContext(certificate_pem, key_pem, options_.tls);
    if (!context.ok()) return context.status();
    MutexLock lock(&mu_);
    context_ = *std::move(context);
    return absl::OkStatus();
  }

  void Stop(int64_t grace_ms) override;

 private:
  void AcceptLoop();
  void Accepted(int fd);
  // What each pool thread does: takes a session that is ready, moves it on, and waits for the next.
  void Work();
  void Park(std::unique_ptr<Session> session, IoState want);
  // Moves a session on until it waits (parked) or ends.
  void Drive(std::unique_ptr<Session> session);
  // Each: true to go on, false if `*session` was parked or shall be dropped.
  bool StepHandshake(std::unique_ptr<Session>* session);
  bool StepHead(std::unique_ptr<Session>* session);
  bool StepBody(std::unique_ptr<Session>* session);
  bool StepLinger(std::unique_ptr<Session>* session);
  bool FinishExchange(Session* session);
  bool Refuse(Session* session, int status, absl::string_view message);
  void BeginHead(Session* session);
  bool BeginLinger(Session* session);
  void BodyReceived(Session* session, size_t bytes);
  int64_t Deadline(int64_t ms) const { return clock_->MonotonicNanos() + ms * kNsPerMs; }

  const HttpServerOptions options_;
  const HttpHandler handler_;
  const Clock* const clock_;
  HeadLimits limits_;
  const int listen_fd_;
  const int port_;
  SharedUse use_;
  std::atomic<uint64_t> requests_{0};  // relaxed: a count
  std::atomic<bool> stopping_{false};  // set before the listening socket is shut down

  Mutex mu_;
  CondVar idle_;
  SslContext context_ ABSL_GUARDED_BY(mu_);
  // Sockets that a pool thread works on.
  absl::flat_hash_set<int> active_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;

  Poller poller_;
  WorkerPool pool_;
  ExchangeRunner runner_;
  absl::AnyInvocable<void()> join_sweeper_;
  absl::AnyInvocable<void()> join_accept_;
};

// An accept error (ECONNABORTED, ENOBUFS, …) makes httplib close its socket and return: it gets another copy.
void RealHttpServer::AcceptLoop() {
  while (!stopping_.load()) {
    const int copy = fcntl(listen_fd_, F_DUPFD_CLOEXEC, 0);
    if (copy >= 0) runner_.AcceptUntilClosed(copy);
    if (stopping_.load()) return;
    Log(LogLevel::kWarning, "http_accept_failed", {{"server", options_.name}});
    MutexLock lock(&mu_);
    if (!stopping_.load()) idle_.WaitWithTimeout(&mu_, absl::Milliseconds(20));
  }
}

void RealHttpServer::Accepted(int fd) {
  const int on = 1;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  SSL* ssl = nullptr;
  bool refuse = connections() >= options_.connections_max;
  if (!refuse) {
    MutexLock lock(&mu_);
    if (context_ != nullptr) {
      ssl = SSL_new(context_.get());
      refuse = ssl == nullptr;
    }
  }
  if (refuse) {
    Log(LogLevel::kWarning, "http_connection_refused", {{"server", options_.name}});
    close(fd);
    return;
  }
  auto session = std::make_unique<Session>(fd, ssl, clock_, &use_);
  session->deadline_ns = Deadline(options_.head_ms);
  if (ssl == nullptr) BeginHead(session.get());
  Park(std::move(session), IoState::kWantRead);
}

void RealHttpServer::Work() {
  while (std::unique_ptr<Session> session = poller_.Take()) {
    pool_.Begin();
    {
      MutexLock lock(&mu_);
      active_.insert(session->connection.fd());
    }
    Drive(std::move(session));
    pool_.End();
  }
}

void RealHttpServer::Park(std::unique_ptr<Session> session, IoState want) {
  session->want = want;
  poller_.Park(std::move(session));
}

void RealHttpServer::Drive(std::unique_ptr<Session> session) {
  const int fd = session->connection.fd();
  IoState parked_for = IoState::kClosed;
  bool go_on = true;
  while (go_on) {
    switch (session->phase) {
      case Session::Phase::kHandshake:
        go_on = StepHandshake(&session);
        break;
      case Session::Phase::kHead:
        go_on = StepHead(&session);
        break;
      case Session::Phase::kBody:
        go_on = StepBody(&session);
        break;
      case Session::Phase::kLinger:
        go_on = StepLinger(&session);
        break;
    }
  }
  parked_for = session->want;
  {
    // Before the socket can be closed and its number reused.
    MutexLock lock(&mu_);
    active_.erase(fd);
    if (active_.empty()) idle_.SignalAll();
  }
  if (parked_for != IoState::kClosed) Park(std::move(session), parked_for);
}

bool RealHttpServer::StepHandshake(std::unique_ptr<Session>* session) {
  Session& s = **session;
  s.want = s.connection.Handshake();
  if (s.want != IoState::kDone) return false;
  BeginHead(&s);
  return true;
}

void RealHttpServer::BeginHead(Session* session) {
  session->phase = Session::Phase::kHead;
  session->head_started = false;
  session->deadline_ns = Deadline(options_.keep_alive_ms);
}

bool RealHttpServer::StepHead(std::unique_ptr<Session>* session) {
  Session& s = **session;
  Connection& connection = s.connection;
  const size_t end = FindHeadEnd(connection.pending());
  if (end == 0) {
    if (!connection.pending().empty() && !s.head_started) {
      s.head_started = true;
      s.deadline_ns = Deadline(options_.head_ms);
    }
    if (const int status = CheckPartialHead(connection.pending(), limits_); status != 0) {
      return Refuse(&s, status, "request head too long");
    }
    s.want = connection.Fill(kHeadFill);
    if (s.want == IoState::kDone) return true;
    // What came before the socket ran dry: the deadline runs from its first byte.
    return false;
  }
  std::string why;
  const int status = ParseRequestHead(connection.pending().substr(0, end), limits_, &s.head, &why);
  connection.Consume(end);
  if (status != 0) return Refuse(&s, status, why);
  s.phase = Session::Phase::kBody;
  s.decoder = ChunkedDecoder();
  s.body.clear();
  s.body_started_ns = clock_->MonotonicNanos();
  BodyReceived(&s, 0);
  if (s.head.expect_continue && connection.pending().empty()) {
    if (!WriteAll(&connection, "HTTP/1.1 100 Continue\r\n\r\n", options_.transfer_ms)) {
      s.want = IoState::kClosed;
      return false;
    }
  }
  return true;
}

void RealHttpServer::BodyReceived(Session* session, size_t bytes) {
  session->ReserveBody(bytes);
  session->deadline_ns = session->body_started_ns + options_.transfer_ms * kNsPerMs +
                         static_cast<int64_t>(session->reserved) * (1'000'000'000 / kBodySlowestBytesPerSecond);
}

bool RealHttpServer::StepBody(std::unique_ptr<Session>* session) {
  Session& s = **session;
  Connection& connection = s.connection;
  bool complete = false;
  if (s.head.chunked) {
    size_t used = 0;
    const auto state = s.decoder.Feed(connection.pending(), &used, &s.body);
    connection.Consume(used);
    if (state == ChunkedDecoder::State::kBad) return Refuse(&s, 400, "bad chunked body");
    if (s.body.size() > options_.body_bytes_max) return Refuse(&s, 413, "body too large");
    complete = state == ChunkedDecoder::State::kDone;
  } else if (connection.pending().size() >= s.head.content_length) {
    const auto length = static_cast<size_t>(s.head.content_length);
    s.body.assign(connection.pending().data(), length);
    connection.Consume(length);
    complete = true;
  }
  if (complete) return FinishExchange(&s);
  const size_t had = connection.input.size();
  s.want = connection.Fill(kBodyFill);
  BodyReceived(&s, connection.input.size() - had);
  if (use_.body_bytes.load(std::memory_order_relaxed) > options_.body_bytes_all_max) {
    return Refuse(&s, 503, "too many request bodies at once");
  }
  return s.want == IoState::kDone;
}

bool RealHttpServer::FinishExchange(Session* session) {
  session->head.request.body = std::move(session->body);
  session->body.clear();
  requests_.fetch_add(1, std::memory_order_relaxed);
  const bool keep_alive = session->head.keep_alive && !stopping_.load();
  const bool answered = runner_.Run(session, keep_alive);
  session->head = RequestHead();
  if (!answered) {
    session->want = IoState::kClosed;
    return false;
  }
  if (!keep_alive) return BeginLinger(session);
  BeginHead(session);
  return true;
}

bool RealHttpServer::Refuse(Session* session, int status, absl::string_view message) {
  // Before the answer: what the client sends next may count on it.
  session->body = std::string();
  session->ReleaseBody();
  if (!runner_.Refuse(session, status, message)) {
    session->want = IoState::kClosed;
    return false;
  }
  return BeginLinger(session);
}

bool RealHttpServer::BeginLinger(Session* session) {
  session->connection.ShutdownWrite();
  session->phase = Session::Phase::kLinger;
  session->deadline_ns = Deadline(kLingerMs);
  return true;
}

bool RealHttpServer::StepLinger(std::unique_ptr<Session>* session) {
  Session& s = **session;
  s.discarded += s.connection.pending().size();
  s.connection.Consume(s.connection.pending().size());
  s.want = s.discarded > kLingerBytesMax ? IoState::kClosed : s.connection.Fill(kHeadFill);
  return s.want == IoState::kDone;
}

void RealHttpServer::Stop(int64_t grace_ms) {
  {
    MutexLock lock(&mu_);
    if (stopped_) return;
    stopped_ = true;
    stopping_.store(true);
    idle_.SignalAll();
  }
  shutdown(listen_fd_, SHUT_RDWR);
  join_accept_();
  close(listen_fd_);
  poller_.CloseIdle();
  {
    MutexLock lock(&mu_);
    const int64_t until_ns = clock_->MonotonicNanos() + grace_ms * kNsPerMs;
    while (!active_.empty()) {
      const int64_t left_ns = until_ns - clock_->MonotonicNanos();
      if (left_ns <= 0) break;
      idle_.WaitWithTimeout(&mu_, absl::Nanoseconds(left_ns));
    }
    for (const int fd : active_) shutdown(fd, SHUT_RDWR);
  }
  poller_.Close();
  join_sweeper_();
  pool_.Join();
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options, HttpHandler handler,
                                                              ThreadFactory threads, const Clock* clock) {
  SslContext context;
  if (!options.certificate_pem.empty() || !options.key_pem.empty()) {
    absl::StatusOr<SslContext> made = MakeServerContext(options.certificate_pem, options.key_pem, options.tls);
    if (!made.ok()) return made.status();
    context = *std::move(made);
  }
  if (options.port < 0 || options.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("port ", options.port, ": must be 0..65535"));
  }
  absl::StatusOr<int> fd = Listen(options.host, options.port);
  if (!fd.ok()) return fd.status();
  // TLS writes to a connection that is gone raise it.
  signal(SIGPIPE, SIG_IGN);
  return std::make_unique<RealHttpServer>(std::move(options), std::move(handler), std::move(threads), clock, *fd,
                                          std::move(context));
}

}  // namespace wheelpit
