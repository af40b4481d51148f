// A client that sends exactly the bytes it is given: for servers that must bear any.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace wheelpit {

struct RawAnswer {
  int status = 0;  // 0: the connection ended before a whole answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// Blocking; connects to the loopback address on construction.
class RawHttp {
 public:
  // `tls` may be null; it is used with the client certificate that it holds.
  explicit RawHttp(int port, SSL_CTX* tls = nullptr) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connected_ && tls != nullptr) {
      ssl_ = SSL_new(tls);
      SSL_set_fd(ssl_, fd_);
      connected_ = SSL_connect(ssl_) == 1;
    }
  }
  ~RawHttp() {
    if (ssl_ != nullptr) SSL_free(ssl_);
    close(fd_);
  }
  RawHttp(const RawHttp&) = delete;
  RawHttp& operator=(const RawHttp&) = delete;

  bool connected() const { return connected_; }
  SSL* ssl() const { return ssl_; }
  int fd() const { return fd_; }

  bool Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                           : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  void FinishSending() { shutdown(fd_, SHUT_WR); }

  // One answer; `head`: of a HEAD request, without content. Interim 1xx answers are returned as answers of their own.
  RawAnswer Read(bool head = false) {
    RawAnswer answer;
    size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return answer;
    }
    const std::vector<std::string> lines = absl::StrSplit(buffer_.substr(0, end), "\r\n");
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::pair<std::string, std::string> header = absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
      answer.headers[absl::AsciiStrToLower(header.first)] = header.second;
    }
    buffer_.erase(0, end + 4);
    const int status = std::atoi(lines[0].substr(9, 3).c_str());
    size_t length = 0;
    if (auto found = answer.headers.find("content-length"); found != answer.headers.end()) {
      if (!absl::SimpleAtoi(found->second, &length)) return answer;
    }
    if (head) length = 0;
    while (buffer_.size() < length) {
      if (!Fill()) return answer;
    }
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    answer.status = status;
    return answer;
  }

  // True once the other side has closed and everything it sent was read.
  bool AtEnd() {
    if (!buffer_.empty()) return false;
    return !Fill();
  }

 private:
  bool Fill() {
    char piece[65536];
    const ssize_t got = ssl_ != nullptr ? SSL_read(ssl_, piece, sizeof(piece)) : recv(fd_, piece, sizeof(piece), 0);
    if (got <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(got));
    return true;
  }

  const int fd_;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
  std::string buffer_;
};

// One request on a connection of its own.
inline RawAnswer RawGet(int port, absl::string_view target, absl::string_view more_headers = "") {
  RawHttp client(port);
  client.Send(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: test\r\n", more_headers, "\r\n"));
  return client.Read();
}

}  // namespace wheelpit
