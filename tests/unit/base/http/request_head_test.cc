#include "base/http/request_head.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using testing::ElementsAre;
using testing::Pair;

int Parse(absl::string_view text, RequestHead* head) {
  std::string why;
  return ParseRequestHead(text, HeadLimits(), head, &why);
}

int StatusOf(absl::string_view text) {
  RequestHead head;
  return Parse(text, &head);
}

TEST(RequestHeadTest, ValuesStayRaw) {
  RequestHead head;
  ASSERT_EQ(Parse("GET /a%2Ab?q=%41 HTTP/1.1\r\nHost: h\r\nX-Remote-Group:  system%3Amasters \r\n\r\n", &head), 0);
  EXPECT_EQ(head.request.target, "/a%2Ab?q=%41");
  EXPECT_THAT(head.request.path, ElementsAre("a%2Ab"));
  EXPECT_THAT(head.request.headers, ElementsAre(Pair("Host", "h"), Pair("X-Remote-Group", "system%3Amasters")));
  EXPECT_TRUE(head.keep_alive);
}

TEST(RequestHeadTest, HeadEndsAtTheEmptyLine) {
  EXPECT_EQ(FindHeadEnd("GET / HTTP/1.1\r\n"), 0u);
  EXPECT_EQ(FindHeadEnd("GET / HTTP/1.1\r\n\r\nrest"), 18u);
  EXPECT_EQ(FindHeadEnd("\r\nGET / HTTP/1.1\r\n\r\n"), 20u);
}

TEST(RequestHeadTest, ConnectionAndVersionDecideKeepAlive) {
  RequestHead head;
  ASSERT_EQ(Parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n", &head), 0);
  EXPECT_FALSE(head.keep_alive);
  ASSERT_EQ(Parse("GET / HTTP/1.0\r\n\r\n", &head), 0);
  EXPECT_FALSE(head.keep_alive);
  ASSERT_EQ(Parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &head), 0);
  EXPECT_TRUE(head.keep_alive);
}

TEST(RequestHeadTest, BodiesHaveOneLength) {
  RequestHead head;
  ASSERT_EQ(Parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\n", &head), 0);
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_TRUE(head.expect_continue);
  ASSERT_EQ(Parse("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n", &head), 0);
  EXPECT_TRUE(head.chunked);
}

TEST(RequestHeadTest, UnclearRequestsAreRefused) {
  const std::string get = "GET / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Content-Length: 1\r\nContent-Length: 2\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Content-Length: +1\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Transfer-Encoding: gzip, chunked\r\n\r\n")), 501);
  EXPECT_EQ(StatusOf("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Content-Length: 99999999999999999999999\r\n\r\n")), 413);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Content-Length: 999999999\r\n\r\n")), 413);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Content-Encoding: gzip\r\n\r\n")), 415);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Expect: tea\r\n\r\n")), 417);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Space : x\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, " folded\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Lf: a\nb: c\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, absl::string_view("Nul: \0\r\n\r\n", 10))), 400);
  EXPECT_EQ(StatusOf(absl::StrCat(get, "Host: again\r\n\r\n")), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("BREW / HTTP/1.1\r\nHost: h\r\n\r\n"), 501);
  EXPECT_EQ(StatusOf("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(StatusOf("\x16\x03\x01 junk\r\n\r\n"), 400);
}

TEST(RequestHeadTest, SizesHaveLimits) {
  EXPECT_EQ(StatusOf(absl::StrCat("GET /", std::string(8191, 'a'), " HTTP/1.1\r\nHost: h\r\n\r\n")), 0);
  EXPECT_EQ(StatusOf(absl::StrCat("GET /", std::string(8192, 'a'), " HTTP/1.1\r\nHost: h\r\n\r\n")), 414);
  EXPECT_EQ(StatusOf(absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\nX: ", std::string(8190, 'a'), "\r\n\r\n")), 431);
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 256; ++i) absl::StrAppend(&many, "X", i, ": 1\r\n");
  EXPECT_EQ(StatusOf(absl::StrCat(many, "\r\n")), 431);
  EXPECT_EQ(CheckPartialHead(std::string(9000, 'a'), HeadLimits()), 414);
  EXPECT_EQ(CheckPartialHead(absl::StrCat("GET / HTTP/1.1\r\n", std::string(70'000, 'a')), HeadLimits()), 431);
  EXPECT_EQ(CheckPartialHead(std::string(100, '\n'), HeadLimits()), 0);
}

TEST(RequestHeadTest, AbsoluteTargetsAreTakenByTheirPath) {
  RequestHead head;
  ASSERT_EQ(Parse("GET http://h:1/a?b=c HTTP/1.1\r\nHost: h\r\n\r\n", &head), 0);
  EXPECT_EQ(head.request.target, "/a?b=c");
}

}  // namespace
}  // namespace wheelpit
