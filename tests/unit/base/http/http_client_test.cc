// The client against our own server, and against one that says exactly what a test wants.
#include "base/http/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/http/http_server.h"
#include "base/http/url.h"
#include "tests/support/std_threads.h"
#include "tests/support/test_pki.h"

namespace wheelpit {
namespace {

using ::testing::HasSubstr;

// Accepts connections one after the other and lets `talk` do the rest.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::function<void(int fd, int connection)> talk) {
    listen_fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), length);
    listen(listen_fd_, 8);
    getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, talk = std::move(talk)] {
      for (int n = 0;; ++n) {
        const int fd = accept(listen_fd_, nullptr, nullptr);
        if (fd < 0) return;
        talk(fd, n);
        close(fd);
      }
    });
  }
  ~ScriptedServer() {
    shutdown(listen_fd_, SHUT_RDWR);
    thread_.join();
    close(listen_fd_);
  }
  std::string url() const { return absl::StrCat("http://127.0.0.1:", port_); }

  // Reads one request's head; false at the end.
  static bool ReadHead(int fd) {
    std::string head;
    char c;
    while (head.find("\r\n\r\n") == std::string::npos) {
      if (recv(fd, &c, 1, 0) != 1) return false;
      head.push_back(c);
    }
    return true;
  }
  static void Say(int fd, absl::string_view text) { send(fd, text.data(), text.size(), MSG_NOSIGNAL); }

 private:
  int listen_fd_ = -1;
  int port_ = 0;
  std::thread thread_;
};

class HttpClientTest : public ::testing::Test {
 protected:
  std::unique_ptr<HttpServer> Serve(HttpHandler handler, const TestCertificate& certificate = {}) {
    HttpServerOptions options;
    options.certificate_pem = certificate.certificate_pem;
    options.key_pem = certificate.key_pem;
    auto server = HttpServer::Start(options, std::move(handler), &StartStdThread, &clock_);
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  std::unique_ptr<HttpClient> Client(HttpClientOptions options) {
    auto client = HttpClient::Create(std::move(options), &clock_);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  SystemClock clock_;
};

TEST_F(HttpClientTest, SendsWhatIsAskedAndReadsTheAnswer) {
  const auto server = Serve([](const HttpRequest& request) {
    HttpResponse response = TextResponse(
        422, absl::StrCat(request.method, " ", request.target, " ", request.body, " ",
                          request.Header("X-Tenant"), " ", request.Header("Authorization")));
    response.headers.emplace_back("X-More", "yes");
    return response;
  });
  const auto client =
      Client({.url = absl::StrCat("http://me:p%40ss@127.0.0.1:", server->port(), "/prefix/")});
  const auto answer = client->Call(
      {.method = "POST", .target = "/a%2Fb?q=1", .headers = {{"X-Tenant", "t%31"}}, .body = "hello"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 422);
  EXPECT_EQ(answer->body, "POST /prefix/a%2Fb?q=1 hello t%31 Basic bWU6cEBzcw==");
  EXPECT_EQ(answer->Header("x-more"), "yes");
}

TEST_F(HttpClientTest, KeepsItsConnection) {
  const auto server = Serve([](const HttpRequest&) { return TextResponse(200, "ok"); });
  const auto client = Client({.url = absl::StrCat("http://127.0.0.1:", server->port())});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client->Call({.target = "/"}).ok());
  EXPECT_EQ(server->connections(), 1);
}

TEST_F(HttpClientTest, AsksAgainWhenAKeptConnectionIsGone) {
  // The first connection answers once and closes without having said so.
  ScriptedServer server([](int fd, int) {
    if (ScriptedServer::ReadHead(fd))
      ScriptedServer::Say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  const auto client = Client({.url = server.url()});
  for (int i = 0; i < 3; ++i) {
    const auto answer = client->Call({.target = "/"});
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->body, "ok");
  }
}

TEST_F(HttpClientTest, ChecksTheServersCertificate) {
  const TestCa ca("good"), other("other");
  const auto server =
      Serve([](const HttpRequest&) { return TextResponse(200, "ok"); }, ca.IssueServer());
  const std::string url = absl::StrCat("https://127.0.0.1:", server->port());
  EXPECT_TRUE(Client({.url = url, .ca_pem = ca.pem()})->Call({.target = "/"}).ok());
  const auto untrusted = Client({.url = url, .ca_pem = other.pem()})->Call({.target = "/"});
  EXPECT_EQ(untrusted.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(untrusted.status().message()), HasSubstr("certificate"));
  // The system's CAs do not count beside a given one, and without one they do not know this one.
  EXPECT_FALSE(Client({.url = url})->Call({.target = "/"}).ok());
  const auto wrong_name = Client({.url = url, .ca_pem = ca.pem(), .server_name = "else.test"});
  EXPECT_THAT(std::string(wrong_name->Call({.target = "/"}).status().message()),
              HasSubstr("hostname mismatch"));
  EXPECT_TRUE(Client({.url = url, .ca_pem = ca.pem(), .server_name = "localhost"})
                  ->Call({.target = "/"})
                  .ok());
  EXPECT_TRUE(
      Client({.url = url, .ca_pem = other.pem(), .insecure = true})->Call({.target = "/"}).ok());
}

TEST_F(HttpClientTest, ShowsItsCertificate) {
  const TestCa ca("ca");
  const auto server = Serve(
      [](const HttpRequest& request) {
        return TextResponse(200, absl::StrCat(request.peer.certificates_der.size()));
      },
      ca.IssueServer());
  const TestCertificate own = ca.Issue({.common_name = "me"});
  const auto client = Client({.url = absl::StrCat("https://localhost:", server->port()),
                              .ca_pem = ca.pem(),
                              .certificate_pem = own.certificate_pem,
                              .key_pem = own.key_pem});
  const auto answer = client->Call({.target = "/"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "1");
}

TEST_F(HttpClientTest, StreamsChunksAsTheyComeUntilTold) {
  ScriptedServer server([](int fd, int) {
    if (!ScriptedServer::ReadHead(fd)) return;
    ScriptedServer::Say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    // The rest comes only after the client has had the first piece and hung up.
    char c;
    recv(fd, &c, 1, 0);
  });
  const auto client = Client({.url = server.url()});
  std::string seen;
  const auto answer = client->Stream({.target = "/", .timeout = absl::InfiniteDuration()},
                                     [&](absl::string_view data) {
                                       seen.append(data.data(), data.size());
                                       return false;
                                     });
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(seen, "one");
}

TEST_F(HttpClientTest, CancelEndsAWait) {
  ScriptedServer server([](int fd, int) {
    if (!ScriptedServer::ReadHead(fd)) return;
    ScriptedServer::Say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    char c;
    recv(fd, &c, 1, 0);
  });
  const auto client = Client({.url = server.url()});
  std::thread other;
  const auto answer = client->Stream({.target = "/", .timeout = absl::Hours(1)},
                                     [&](absl::string_view) {
                                       other = std::thread([&] { client->Cancel(); });
                                       return true;
                                     });
  other.join();
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client->Call({.target = "/"}).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(HttpClientTest, BoundsACallAsAWhole) {
  // Says something all the time, but never an answer.
  ScriptedServer server([](int fd, int) {
    if (!ScriptedServer::ReadHead(fd)) return;
    ScriptedServer::Say(fd, "HTTP/1.1 200 OK\r\n");
    while (send(fd, "X: y\r\n", 6, MSG_NOSIGNAL) == 6) {
      char c;
      if (recv(fd, &c, 1, MSG_DONTWAIT) == 0) return;
      std::this_thread::yield();
    }
  });
  const auto client = Client({.url = server.url()});
  const auto code =
      client->Call({.target = "/", .timeout = absl::Milliseconds(50)}).status().code();
  // The head's limit may be reached first.
  EXPECT_TRUE(code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kInternal);
}

TEST_F(HttpClientTest, TellsWhatIsWrongWithAnAnswer) {
  const struct {
    const char* answer;
    absl::StatusCode code;
  } kCases[] = {
      {"SSH-2.0-OpenSSH\r\n\r\n", absl::StatusCode::kInternal},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", absl::StatusCode::kUnavailable},
      {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", absl::StatusCode::kInternal},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", absl::StatusCode::kInternal},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: odd\r\n\r\n", absl::StatusCode::kInternal},
      {"", absl::StatusCode::kUnavailable},
  };
  for (const auto& c : kCases) {
    ScriptedServer server([&](int fd, int) {
      if (ScriptedServer::ReadHead(fd)) ScriptedServer::Say(fd, c.answer);
    });
    const auto client = Client({.url = server.url()});
    EXPECT_EQ(client->Call({.target = "/"}).status().code(), c.code) << c.answer;
  }
}

TEST_F(HttpClientTest, ReadsAnswersWithoutLengthAndInterimOnes) {
  ScriptedServer server([](int fd, int) {
    if (ScriptedServer::ReadHead(fd))
      ScriptedServer::Say(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end");
  });
  const auto answer = Client({.url = server.url()})->Call({.target = "/"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->body, "to the end");
}

TEST_F(HttpClientTest, LimitsAnswers) {
  const auto server =
      Serve([](const HttpRequest&) { return TextResponse(200, std::string(5000, 'x')); });
  const std::string url = absl::StrCat("http://127.0.0.1:", server->port());
  EXPECT_EQ(Client({.url = url, .body_bytes_max = 4999})->Call({.target = "/"}).status().code(),
            absl::StatusCode::kInternal);
  EXPECT_TRUE(Client({.url = url, .body_bytes_max = 5000})->Call({.target = "/"}).ok());
}

TEST_F(HttpClientTest, NoServerIsUnavailable) {
  std::string url;
  {
    const auto server = Serve([](const HttpRequest&) { return TextResponse(200, ""); });
    url = absl::StrCat("http://127.0.0.1:", server->port());
  }
  const auto answer = Client({.url = url})->Call({.target = "/"});
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("refused"));
}

TEST(UrlTest, TakesUrlsApart) {
  const auto url = ParseUrl("https://u:p%3Aw@[::1]:9090/a/b/?query#x");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->user, "u");
  EXPECT_EQ(url->password, "p:w");
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 9090);
  EXPECT_EQ(url->path, "/a/b");
  EXPECT_EQ(url->Authority(), "[::1]:9090");
  EXPECT_EQ(ParseUrl("http://h")->port, 80);
  EXPECT_EQ(ParseUrl("https://h")->Authority(), "h");
  for (const char* bad : {"", "h:80", "ftp://h", "http://", "http://h:0", "http://h:x", "http://[::1",
                          "http://%zz@h"}) {
    EXPECT_EQ(ParseUrl(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace wheelpit
