#include "base/http/http_server.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "base/http/gzip.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/raw_http.h"
#include "tests/support/std_threads.h"

namespace wheelpit {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  void StartServer(HttpHandler handler, HttpServerOptions options = {}) {
    auto server = HttpServer::Start(std::move(options), std::move(handler), StartStdThread, &clock_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // Answers with what it saw.
  static HttpResponse Echo(const HttpRequest& request) {
    std::string text = absl::StrCat(request.method, " ", request.target, "\n");
    for (const auto& [name, value] : request.headers) absl::StrAppend(&text, name, "=", value, "\n");
    return TextResponse(200, text + request.body);
  }

  SystemClock clock_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, HeaderValuesAndTargetsArriveRaw) {
  StartServer(Echo);
  const RawAnswer answer = RawGet(server_->port(), "/a%2Ab%3A?x=%41", "X-Remote-Group: system%3Amasters\r\nX-Two: 100%25\r\n");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            "GET /a%2Ab%3A?x=%41\nHost=test\nX-Remote-Group=system%3Amasters\nX-Two=100%25\n");
  EXPECT_EQ(answer.headers.at("content-type"), "text/plain; charset=utf-8");
  EXPECT_TRUE(answer.headers.count("date"));
}

TEST_F(HttpServerTest, OneConnectionServesManyRequests) {
  StartServer(Echo);
  RawHttp client(server_->port());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(client.Send(absl::StrCat("GET /", i, " HTTP/1.1\r\nHost: t\r\n\r\n")));
    EXPECT_EQ(client.Read().body, absl::StrCat("GET /", i, "\nHost=t\n"));
  }
  // Pipelined, a body in between.
  client.Send("POST /p HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbodyGET /q HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_THAT(client.Read().body, testing::EndsWith("\nbody"));
  EXPECT_EQ(client.Read().body, "GET /q\nHost=t\n");
  EXPECT_EQ(server_->requests(), 22u);
}

TEST_F(HttpServerTest, ConnectionCloseIsKept) {
  StartServer(Echo);
  RawHttp client(server_->port());
  client.Send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.Read().headers.at("connection"), "close");
  EXPECT_TRUE(client.AtEnd());
  RawHttp old(server_->port());
  old.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().status, 200);
  EXPECT_TRUE(old.AtEnd());
}

TEST_F(HttpServerTest, MethodsWithoutBodyNeedNoLength) {
  StartServer(Echo);
  RawHttp client(server_->port());
  for (const char* method : {"DELETE", "POST", "PUT", "OPTIONS"}) {
    client.Send(absl::StrCat(method, " /x HTTP/1.1\r\nHost: t\r\n\r\n"));
    EXPECT_EQ(client.Read().body, absl::StrCat(method, " /x\nHost=t\n"));
  }
}

TEST_F(HttpServerTest, GetWithBodyDoesNotShiftTheNextRequest) {
  StartServer(Echo);
  RawHttp client(server_->port());
  client.Send("GET /1 HTTP/1.1\r\nHost: t\r\nContent-Length: 18\r\n\r\nGET /evil HTTP/1.1GET /2 HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_THAT(client.Read().body, testing::StartsWith("GET /1\n"));
  EXPECT_THAT(client.Read().body, testing::StartsWith("GET /2\n"));
}

TEST_F(HttpServerTest, HeadHasTheLengthButNoContent) {
  StartServer([](const HttpRequest&) { return TextResponse(200, "12345"); });
  RawHttp client(server_->port());
  client.Send("HEAD / HTTP/1.1\r\nHost: t\r\n\r\n");
  const RawAnswer head = client.Read(/*head=*/true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), "5");
  client.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.Read().body, "12345");
}

TEST_F(HttpServerTest, ChunkedBodiesAndExpectContinueWork) {
  StartServer(Echo);
  RawHttp client(server_->port());
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  client.Send("2\r\nde\r\n0\r\n\r\n");
  EXPECT_THAT(client.Read().body, testing::EndsWith("\nabcde"));
  client.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Read().status, 100);
  client.Send("xyz");
  EXPECT_THAT(client.Read().body, testing::EndsWith("\nxyz"));
}

TEST_F(HttpServerTest, BodiesOverTheLimitAre413) {
  HttpServerOptions options;
  options.body_bytes_max = 1000;
  StartServer(Echo, options);
  RawHttp declared(server_->port());
  declared.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(declared.Read().status, 413);
  RawHttp chunked(server_->port());
  chunked.Send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x'));
  EXPECT_EQ(chunked.Read().status, 413);
  RawHttp form(server_->port());
  form.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n" +
            std::string(1000, 'x'));
  EXPECT_EQ(form.Read().status, 200);
}

TEST_F(HttpServerTest, MemoryOfAllBodiesIsBounded) {
  HttpServerOptions options;
  options.body_bytes_all_max = 50'000;
  StartServer(Echo, options);
  RawHttp large(server_->port());
  large.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 90000\r\n\r\n" + std::string(90'000, 'a'));
  EXPECT_EQ(large.Read().status, 503);
  // What it held is free again, and what was answered is not held.
  RawHttp small(server_->port());
  for (int i = 0; i < 5; ++i) {
    small.Send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 40000\r\n\r\n" + std::string(40'000, 'b'));
    EXPECT_EQ(small.Read().status, 200);
  }
}

TEST_F(HttpServerTest, ForeignAndOversizedBytesGet4xx) {
  StartServer(Echo);
  const auto status_of = [this](const std::string& bytes) {
    RawHttp client(server_->port());
    client.Send(bytes);
    client.FinishSending();
    return client.Read().status;
  };
  EXPECT_EQ(status_of("GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: t\r\n\r\n"), 414);
  EXPECT_EQ(status_of(std::string(1 << 20, 'a')), 414);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: t\r\nX: " + std::string(9000, 'a') + "\r\n\r\n"), 431);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n" + std::string(1 << 20, 'b')), 431);
  EXPECT_EQ(status_of(std::string("\x16\x03\x01\x02\x00\x01\r\n\r\n", 10)), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
  EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: t\r\nRange: bytes=0-1,2-3,4-\r\n\r\n"), 200);
}

TEST_F(HttpServerTest, GarbageDoesNotHarmTheServer) {
  StartServer(Echo);
  Rng rng(20260101);
  const std::string good = "POST /x?y=%41 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nRange: bytes=0-\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (int round = 0; round < 200; ++round) {
    std::string bytes = round % 2 == 0 ? good : std::string(rng.Below(3000), '\0');
    if (round % 2 == 1) {
      for (char& c : bytes) c = static_cast<char>(rng.Below(256));
    }
    const uint64_t flips = rng.Below(6);
    for (uint64_t i = 0; i < flips && !bytes.empty(); ++i) bytes[rng.Below(bytes.size())] = static_cast<char>(rng.Below(256));
    RawHttp client(server_->port());
    client.Send(bytes);
    client.FinishSending();
    while (!client.AtEnd() && client.Read().status != 0) {
    }
  }
  EXPECT_EQ(RawGet(server_->port(), "/").status, 200);
}

TEST_F(HttpServerTest, IdleAndSlowConnectionsHoldNoThread) {
  HttpServerOptions options;
  options.threads_max = 1;
  StartServer(Echo, options);
  std::vector<std::unique_ptr<RawHttp>> idle;
  for (int i = 0; i < 300; ++i) {
    idle.push_back(std::make_unique<RawHttp>(server_->port()));
    ASSERT_TRUE(idle.back()->connected());
    if (i % 3 == 1) idle.back()->Send("GET /half HTTP/1.1\r\nHo");
    if (i % 3 == 2) idle.back()->Send("POST /half HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhalf");
  }
  EXPECT_EQ(RawGet(server_->port(), "/").status, 200);
  idle[1]->Send("st: t\r\n\r\n");
  EXPECT_EQ(idle[1]->Read().status, 200);
  idle[2]->Send("456789");
  EXPECT_THAT(idle[2]->Read().body, testing::EndsWith("\nhalf456789"));
}

TEST_F(HttpServerTest, SlowHeadsAndIdleConnectionsAreClosed) {
  HttpServerOptions options;
  options.keep_alive_ms = 1;
  options.head_ms = 1;
  StartServer(Echo, options);
  RawHttp idle(server_->port()), slow(server_->port());
  slow.Send("GET / HT");
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_TRUE(slow.AtEnd());
}

TEST_F(HttpServerTest, ConnectionsBeyondTheLimitAreClosed) {
  HttpServerOptions options;
  options.connections_max = 2;
  StartServer(Echo, options);
  RawHttp first(server_->port()), second(server_->port()), third(server_->port());
  EXPECT_TRUE(third.AtEnd());
  first.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(first.Read().status, 200);
}

TEST_F(HttpServerTest, LargeAnswersAreCompressedOnce) {
  const std::string page(100'000, 'x');
  StartServer([&page](const HttpRequest& request) {
    HttpResponse response = TextResponse(200, page);
    if (request.target == "/packed") {
      response.body = GzipCompress(page);
      response.headers.emplace_back("Content-Encoding", "gzip");
    }
    return response;
  });
  const RawAnswer plain = RawGet(server_->port(), "/");
  EXPECT_EQ(plain.body, page);
  EXPECT_EQ(plain.headers.at("vary"), "Accept-Encoding");
  for (const char* target : {"/", "/packed"}) {
    const RawAnswer answer = RawGet(server_->port(), target, "Accept-Encoding: gzip\r\n");
    EXPECT_EQ(answer.headers.at("content-encoding"), "gzip");
    const auto back = GzipDecompress(answer.body, 1 << 20);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, page);
  }
}

TEST_F(HttpServerTest, SharedPagesOfManyMegabytesArriveWhole) {
  auto page = std::make_shared<std::string>();
  for (int i = 0; page->size() < (20u << 20); ++i) absl::StrAppend(page.get(), "line ", i, "\n");
  StartServer([page](const HttpRequest&) {
    HttpResponse response;
    response.content_type = "text/plain";
    response.shared_body = page;
    return response;
  });
  EXPECT_EQ(RawGet(server_->port(), "/").body, *page);
}

TEST_F(HttpServerTest, AbortEndsTheConnectionWithoutAnAnswer) {
  StartServer([](const HttpRequest&) {
    HttpResponse response;
    response.abort = true;
    return response;
  });
  EXPECT_EQ(RawGet(server_->port(), "/").status, 0);
}

TEST_F(HttpServerTest, BusyPortAndBadAddressAreErrors) {
  StartServer(Echo);
  HttpServerOptions options;
  options.port = server_->port();
  const auto busy = HttpServer::Start(options, Echo, StartStdThread, &clock_);
  EXPECT_EQ(busy.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(busy.status().message()), testing::HasSubstr(absl::StrCat("127.0.0.1:", server_->port())));
  options.host = "no.such.host.invalid";
  EXPECT_EQ(HttpServer::Start(options, Echo, StartStdThread, &clock_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HttpServerTest, ErrorsOfTheServerCanBeShaped) {
  HttpServerOptions options;
  options.error_response = [](int status, absl::string_view message) {
    return JsonResponse(status, absl::StrCat("{\"code\":", status, ",\"message\":\"", message, "\"}"));
  };
  StartServer(Echo, options);
  RawHttp client(server_->port());
  client.Send("BREW / HTTP/1.1\r\nHost: t\r\n\r\n");
  const RawAnswer answer = client.Read();
  EXPECT_EQ(answer.status, 501);
  EXPECT_EQ(answer.body, "{\"code\":501,\"message\":\"method not implemented\"}");
}

TEST_F(HttpServerTest, StopLetsARunningRequestFinish) {
  absl::Notification begun, go_on;
  const std::string page(3 << 20, 'y');
  StartServer([&](const HttpRequest&) {
    begun.Notify();
    go_on.WaitForNotification();
    return TextResponse(200, page);
  });
  RawHttp client(server_->port()), idle(server_->port());
  client.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  begun.WaitForNotification();
  auto join = StartStdThread("stop", [this] { server_->Stop(60'000); });
  // Idle connections end at once: Stop has begun.
  EXPECT_TRUE(idle.AtEnd());
  go_on.Notify();
  const RawAnswer answer = client.Read();
  EXPECT_EQ(answer.body.size(), page.size());
  EXPECT_TRUE(client.AtEnd());
  join();
  EXPECT_FALSE(RawHttp(server_->port()).connected());
}

TEST_F(HttpServerTest, ManyClientsAtOnce) {
  StartServer(Echo);
  std::vector<absl::AnyInvocable<void()>> joins;
  std::atomic<int> good{0};
  for (int c = 0; c < 16; ++c) {
    joins.push_back(StartStdThread("client", [this, c, &good] {
      RawHttp client(server_->port());
      for (int i = 0; i < 50; ++i) {
        client.Send(absl::StrCat("PUT /", c, "/", i, " HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab"));
        if (client.Read().body == absl::StrCat("PUT /", c, "/", i, "\nHost=t\nContent-Length=2\nab")) ++good;
      }
    }));
  }
  for (auto& join : joins) join();
  EXPECT_EQ(good.load(), 16 * 50);
}

}  // namespace
}  // namespace wheelpit
