#include "tests/bench/beanstalk_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <unordered_set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/bench/bench_util.h"

namespace wheelpit::bench {
namespace {

// One connection: what is to be sent, and what came and is not yet parsed.
struct Connection {
  int fd = -1;
  bool worker = false;
  std::string out, in;
  int unanswered = 0;
  bool reserving = false;
  uint64_t to_put = 0;
};

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Fail("beanstalkd does not answer");
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return fd;
}

class Run {
 public:
  Run(int port, const PeerLoad& load) : load_(load), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (int i = 0; i < load.submitters + load.workers; ++i) {
      auto c = std::make_unique<Connection>();
      c->fd = Connect(port);
      c->worker = i >= load.submitters;
      if (!c->worker) {
        c->to_put = load.tasks / static_cast<uint64_t>(load.submitters) +
                    (static_cast<uint64_t>(i) < load.tasks % static_cast<uint64_t>(load.submitters) ? 1 : 0);
      }
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = c.get();
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, c->fd, &event);
      connections_.push_back(std::move(c));
    }
  }
  ~Run() {
    for (auto& c : connections_) ::close(c->fd);
    ::close(epoll_);
  }

  double Seconds() {
    const double start = Now();
    for (auto& c : connections_) Feed(c.get());
    epoll_event events[64];
    while (deleted_ < load_.tasks) {
      const int n = ::epoll_wait(epoll_, events, 64, 10'000);
      if (n == 0) Fail("beanstalkd stalled");
      for (int i = 0; i < n; ++i) Receive(static_cast<Connection*>(events[i].data.ptr));
    }
    return Now() - start;
  }

 private:
  // Sends what there is room for. beanstalkd answers a connection's commands in order and stops at a reserve until it has a job, so
  // a worker has one reserve waiting, always behind its deletes: one before them could hold them up for good.
  void Feed(Connection* c) {
    if (c->worker && !c->reserving) {
      c->reserving = true;
      c->out += "reserve\r\n";
    }
    while (!c->worker && c->unanswered < load_.depth && c->to_put > 0) {
      --c->to_put;
      ++c->unanswered;
      absl::StrAppend(&c->out, "put 0 0 600 64\r\n", std::string(64, 'x'), "\r\n");
    }
    Flush(c);
  }
  void Flush(Connection* c) {
    size_t done = 0;
    while (done < c->out.size()) {
      const ssize_t n = ::send(c->fd, c->out.data() + done, c->out.size() - done, MSG_NOSIGNAL);
      if (n <= 0) Fail("beanstalkd closed a connection");
      done += static_cast<size_t>(n);
    }
    c->out.clear();
  }
  void Receive(Connection* c) {
    char buffer[65536];
    const ssize_t n = ::recv(c->fd, buffer, sizeof(buffer), 0);
    if (n <= 0) Fail("beanstalkd closed a connection");
    c->in.append(buffer, static_cast<size_t>(n));
    size_t at = 0;
    while (Answer(c, &at)) {
    }
    c->in.erase(0, at);
    Feed(c);
  }
  // Consumes one whole answer at *at; false if it is not there yet.
  bool Answer(Connection* c, size_t* at) {
    const size_t end = c->in.find("\r\n", *at);
    if (end == std::string::npos) return false;
    const absl::string_view line(c->in.data() + *at, end - *at);
    size_t next = end + 2;
    if (absl::StartsWith(line, "RESERVED ")) {
      uint64_t id = 0, bytes = 0;
      const size_t space = line.find(' ', 9);
      if (!absl::SimpleAtoi(line.substr(9, space - 9), &id) || !absl::SimpleAtoi(line.substr(space + 1), &bytes)) Fail("bad RESERVED");
      if (c->in.size() < next + bytes + 2) return false;
      next += bytes + 2;
      if (!seen_.insert(id).second) Fail("beanstalkd gave a job twice");
      absl::StrAppend(&c->out, "delete ", id, "\r\nreserve\r\n");
    } else if (line == "DELETED") {
      ++deleted_;
    } else if (absl::StartsWith(line, "INSERTED ")) {
      --c->unanswered;
    } else {
      Fail(absl::StrCat("beanstalkd said ", line));
    }
    *at = next;
    return true;
  }

  const PeerLoad load_;
  const int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::unordered_set<uint64_t> seen_;
  uint64_t deleted_ = 0;
};

}  // namespace

double RunBeanstalk(int port, const PeerLoad& load) {
  Run run(port, load);
  return static_cast<double>(load.tasks) / run.Seconds();
}

}  // namespace wheelpit::bench
