// Asks one HTTPS path over and over: some keep-alive connections, one request outstanding on each.
//
//   https_load --address=127.0.0.1:6443 --path=/… --token_file=FILE --connections=32 --seconds=4
//
// `{n}` in the path is the connection's number. One thread. One JSON object on stdout: answers a second, latencies from before a request is written until its answer is read
// whole, the least and the largest value, and the share of a core that this program took itself: near 1, it measures itself.
// Anything but 200 with one value ends it with status 1. The server's certificate is not checked.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace wheelpit::bench {
namespace {

constexpr int64_t kStallNs = 15'000'000'000;

[[noreturn]] void Fail(const std::string& message) {
  std::cerr << "https_load: " << message << std::endl;
  std::_Exit(1);
}

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// User and system time of this process.
double CpuSeconds() {
  rusage use = {};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

struct Options {
  std::string address, path, token_file;
  int connections = 1;
  double seconds = 3;
};

Options ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::pair<absl::string_view, absl::string_view> flag = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    bool good = true;
    if (flag.first == "--address") {
      options.address = std::string(flag.second);
    } else if (flag.first == "--path") {
      options.path = std::string(flag.second);
    } else if (flag.first == "--token_file") {
      options.token_file = std::string(flag.second);
    } else if (flag.first == "--connections") {
      good = absl::SimpleAtoi(flag.second, &options.connections) && options.connections > 0;
    } else {
      good = flag.first == "--seconds" && absl::SimpleAtod(flag.second, &options.seconds);
    }
    if (!good) Fail(absl::StrCat("what is ", argv[i], "? --address --path --token_file --connections --seconds"));
  }
  return options;
}

// The request of one connection.
std::string RequestText(const Options& options, int number) {
  std::ifstream file(options.token_file);
  const std::string token{std::istreambuf_iterator<char>(file), {}};
  if (token.empty()) Fail("no token in " + options.token_file);
  return absl::StrCat("GET ", absl::StrReplaceAll(options.path, {{"{n}", absl::StrCat(number)}}), " HTTP/1.1\r\nHost: ", options.address,
                      "\r\nAccept: application/json\r\nUser-Agent: https_load\r\nAuthorization: Bearer ",
                      absl::StripAsciiWhitespace(token), "\r\n\r\n");
}

int Connect(const std::string& address) {
  const std::vector<std::string> parts = absl::StrSplit(address, ':');
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  int port = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &port) || inet_pton(AF_INET, parts[0].c_str(), &to.sin_addr) != 1)
    Fail("--address is IPV4:PORT");
  to.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) Fail("cannot connect to " + address);
  return fd;
}

// What follows `name` up to the end of its header line; "" without one. `head` ends with an empty line.
absl::string_view Header(absl::string_view head, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(head, "\r\n")) {
    if (line.size() > name.size() && line[name.size()] == ':' && absl::StartsWithIgnoreCase(line, name))
      return absl::StripAsciiWhitespace(line.substr(name.size() + 1));
  }
  return "";
}

// The quantity after `"value":"`.
double ValueOf(absl::string_view body) {
  constexpr absl::string_view kKey = "\"value\":\"";
  const size_t at = body.find(kKey);
  if (at == absl::string_view::npos || body.find(kKey, at + 1) != absl::string_view::npos)
    Fail(absl::StrCat("not one value: ", body.substr(0, 300)));
  const size_t begin = at + kKey.size();
  absl::string_view text = body.substr(begin, body.find('"', begin) - begin);
  const double unit = absl::ConsumeSuffix(&text, "m") ? 1e-3 : 1;
  double value = 0;
  if (!absl::SimpleAtod(text, &value)) Fail(absl::StrCat("not a plain value: ", body.substr(0, 300)));
  return value * unit;
}

class Connection {
 public:
  Connection(SSL_CTX* context, const std::string& address, std::string request)
      : fd_(Connect(address)), ssl_(SSL_new(context)), request_(std::move(request)) {
    SSL_set_fd(ssl_, fd_);
    if (SSL_connect(ssl_) != 1) Fail("no TLS with " + address);
  }
  ~Connection() {
    SSL_free(ssl_);
    close(fd_);
  }
  int fd() const { return fd_; }
  int64_t sent_ns() const { return sent_ns_; }

  void Send() {
    buffer_.clear();
    sent_ns_ = NowNs();
    if (SSL_write(ssl_, request_.data(), static_cast<int>(request_.size())) != static_cast<int>(request_.size()))
      Fail("the server closed a connection");
  }

  // Reads on when the socket is ready; the body once it is whole.
  bool Receive(absl::string_view* body) {
    char piece[16 << 10];
    do {
      const int got = SSL_read(ssl_, piece, sizeof(piece));
      if (got <= 0) Fail("the server closed a connection");
      buffer_.append(piece, static_cast<size_t>(got));
    } while (SSL_pending(ssl_) > 0);
    const size_t end = buffer_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const absl::string_view head = absl::string_view(buffer_).substr(0, end);
    if (!absl::StartsWith(head, "HTTP/1.1 200 ")) Fail("not 200: " + buffer_.substr(0, 1000));
    size_t length = 0;
    if (!absl::SimpleAtoi(Header(head, "Content-Length"), &length)) Fail("an answer without a length");
    if (buffer_.size() < end + 4 + length) return false;
    *body = absl::string_view(buffer_).substr(end + 4);
    return true;
  }

 private:
  const int fd_;
  SSL* const ssl_;
  const std::string request_;
  std::string buffer_;
  int64_t sent_ns_ = 0;
};

class Load {
 public:
  explicit Load(const Options& options) {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
    for (int i = 0; i < options.connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(context, options.address, RequestText(options, i)));
      epoll_event event = {};
      event.events = EPOLLIN;
      event.data.u64 = static_cast<uint64_t>(i);
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_.back()->fd(), &event);
    }
    SSL_CTX_free(context);
  }
  ~Load() { close(epoll_); }

  void Run(double seconds) {
    latencies_ns_.clear();
    value_min_ = std::numeric_limits<double>::infinity();
    value_max_ = -value_min_;
    const double cpu = CpuSeconds();
    const int64_t start_ns = NowNs();
    end_ns_ = start_ns + static_cast<int64_t>(seconds * 1e9);
    for (auto& connection : connections_) connection->Send();
    size_t open = connections_.size();
    while (open > 0) {
      epoll_event events[64];
      const int count = epoll_wait(epoll_, events, 64, 1000);
      if (count == 0) CheckStalled();
      for (int i = 0; i < count; ++i) open -= Answered(connections_[events[i].data.u64].get());
    }
    seconds_ = static_cast<double>(NowNs() - start_ns) / 1e9;
    cpu_ = CpuSeconds() - cpu;
  }

  void Print() {
    std::sort(latencies_ns_.begin(), latencies_ns_.end());
    const auto at = [this](double share) {
      const auto place = static_cast<size_t>(share * static_cast<double>(latencies_ns_.size() - 1) + 0.5);
      return static_cast<double>(latencies_ns_[place]) / 1e6;
    };
    const nlohmann::ordered_json line = {
        {"answers", latencies_ns_.size()}, {"per_second", static_cast<double>(latencies_ns_.size()) / seconds_},
        {"p50_ms", at(0.5)},               {"p99_ms", at(0.99)},
        {"max_ms", at(1)},                 {"cpu_share", cpu_ / seconds_},
        {"value_min", value_min_},         {"value_max", value_max_}};
    std::cout << line.dump() << std::endl;
  }

 private:
  // 1 if the connection's last answer is in.
  size_t Answered(Connection* connection) {
    absl::string_view body;
    if (!connection->Receive(&body)) return 0;
    const int64_t now_ns = NowNs();
    latencies_ns_.push_back(now_ns - connection->sent_ns());
    const double value = ValueOf(body);
    value_min_ = std::min(value_min_, value);
    value_max_ = std::max(value_max_, value);
    if (now_ns >= end_ns_) return 1;
    connection->Send();
    return 0;
  }

  void CheckStalled() {
    for (auto& connection : connections_) {
      if (NowNs() - connection->sent_ns() > kStallNs) Fail("no answer for 15 s");
    }
  }

  const int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<int64_t> latencies_ns_;
  double value_min_ = 0;
  double value_max_ = 0;
  int64_t end_ns_ = 0;
  double seconds_ = 0;
  double cpu_ = 0;
};

int Main(int argc, char** argv) {
  const Options options = ReadOptions(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  Load load(options);
  // Connections, caches and code paths are warm when it counts.
  load.Run(std::min(1.0, options.seconds / 4));
  load.Run(options.seconds);
  load.Print();
  return 0;
}

}  // namespace
}  // namespace wheelpit::bench

int main(int argc, char** argv) { return wheelpit::bench::Main(argc, argv); }
