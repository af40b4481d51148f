#include "base/http/request_head.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace wheelpit {
namespace {

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("!#$%&'*+-.^_`|~", c);
}

bool IsToken(absl::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar); }

bool IsFieldValue(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

// Empty lines that a client sent in front of its request.
absl::string_view SkipEmptyLines(absl::string_view bytes) {
  while (absl::ConsumePrefix(&bytes, "\r\n")) {
  }
  return bytes;
}

int Refuse(int status, absl::string_view reason, std::string* why) {
  *why = std::string(reason);
  return status;
}

int ParseTarget(absl::string_view target, HttpRequest* request, std::string* why) {
  const bool printable = std::all_of(target.begin(), target.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f;
  });
  if (!printable || target.empty()) return Refuse(400, "bad request target", why);
  // The absolute form is what a client sends to a proxy; its authority is as good as a Host header.
  for (absl::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(target, scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    target = slash == absl::string_view::npos ? "/" : target.substr(slash);
  }
  if (target[0] != '/' && !(target == "*" && request->method == "OPTIONS")) {
    return Refuse(400, "bad request target", why);
  }
  request->target = std::string(target);
  SplitTarget(request);
  return 0;
}

int ParseRequestLine(absl::string_view line, const HeadLimits& limits, RequestHead* head, std::string* why) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() != 3 || !IsToken(parts[0])) return Refuse(400, "bad request line", why);
  if (parts[1].size() > limits.target_bytes_max) return Refuse(414, "request target too long", why);
  head->request.method = std::string(parts[0]);
  if (parts[2] == "HTTP/1.0") {
    head->keep_alive = false;
  } else if (parts[2] != "HTTP/1.1") {
    return absl::StartsWith(parts[2], "HTTP/") ? Refuse(505, "HTTP/1.1 is spoken here", why)
                                               : Refuse(400, "bad request line", why);
  }
  static constexpr std::array<absl::string_view, 7> kMethods = {"GET",   "HEAD",   "POST",   "PUT",
                                                                "PATCH", "DELETE", "OPTIONS"};
  if (std::find(kMethods.begin(), kMethods.end(), parts[0]) == kMethods.end()) {
    return Refuse(501, "method not implemented", why);
  }
  return ParseTarget(parts[1], &head->request, why);
}

int ParseHeaderLine(absl::string_view line, const HeadLimits& limits, HttpHeaders* headers, std::string* why) {
  if (line.size() > limits.header_line_bytes_max) return Refuse(431, "header line too long", why);
  if (headers->size() == limits.headers_max) return Refuse(431, "too many headers", why);
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return Refuse(400, "bad header line", why);
  // A name with white space around it, or a folded line, would mean different things to different readers.
  const absl::string_view name = line.substr(0, colon);
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (!IsToken(name) || !IsFieldValue(value)) return Refuse(400, "bad header line", why);
  headers->emplace_back(std::string(name), std::string(value));
  return 0;
}

int ParseContentLength(const HttpRequest& request, const HeadLimits& limits, RequestHead* head, std::string* why) {
  const std::vector<absl::string_view> lengths = request.HeaderValues("Content-Length");
  if (lengths.empty()) return 0;
  for (absl::string_view length : lengths) {
    const bool digits = !length.empty() && std::all_of(length.begin(), length.end(), [](unsigned char c) {
      return absl::ascii_isdigit(c);
    });
    if (!digits || length != lengths[0]) return Refuse(400, "bad Content-Length", why);
  }
  if (!absl::SimpleAtoi(lengths[0], &head->content_length)) return Refuse(413, "body too large", why);
  if (head->content_length > limits.body_bytes_max) return Refuse(413, "body too large", why);
  return 0;
}

// How the body is framed: exactly one way, or the request is refused.
int ParseFraming(bool http11, const HeadLimits& limits, RequestHead* head, std::string* why) {
  const HttpRequest& request = head->request;
  if (int status = ParseContentLength(request, limits, head, why); status != 0) return status;
  const std::vector<absl::string_view> encodings = request.HeaderValues("Transfer-Encoding");
  if (!encodings.empty()) {
    if (!http11 || request.HasHeader("Content-Length")) return Refuse(400, "ambiguous body length", why);
    if (encodings.size() != 1 || !absl::EqualsIgnoreCase(encodings[0], "chunked")) {
      return Refuse(501, "transfer coding not implemented", why);
    }
    head->chunked = true;
  }
  const absl::string_view coding = request.Header("Content-Encoding");
  if (!coding.empty() && !absl::EqualsIgnoreCase(coding, "identity")) {
    return Refuse(415, "content coding not supported", why);
  }
  const absl::string_view expect = request.Header("Expect");
  if (!expect.empty()) {
    if (!absl::EqualsIgnoreCase(expect, "100-continue")) return Refuse(417, "expectation not supported", why);
    head->expect_continue = http11 && (head->chunked || head->content_length > 0);
  }
  return 0;
}

}  // namespace

size_t FindHeadEnd(absl::string_view bytes) {
  const absl::string_view rest = SkipEmptyLines(bytes);
  const size_t end = rest.find("\r\n\r\n");
  return end == absl::string_view::npos ? 0 : bytes.size() - rest.size() + end + 4;
}

int CheckPartialHead(absl::string_view bytes, const HeadLimits& limits) {
  const absl::string_view rest = SkipEmptyLines(bytes);
  if (bytes.size() - rest.size() > 64) return 400;
  if (bytes.size() > limits.head_bytes_max) return 431;
  const size_t line_end = rest.find('\n');
  // Room for the method and the version.
  if (line_end == absl::string_view::npos && rest.size() > limits.target_bytes_max + 64) return 414;
  return 0;
}

int ParseRequestHead(absl::string_view bytes, const HeadLimits& limits, RequestHead* head, std::string* why) {
  *head = RequestHead();
  if (bytes.size() > limits.head_bytes_max) return Refuse(431, "headers too long", why);
  bytes = SkipEmptyLines(bytes);
  absl::ConsumeSuffix(&bytes, "\r\n\r\n");
  std::vector<absl::string_view> lines = absl::StrSplit(bytes, "\r\n");
  if (int status = ParseRequestLine(lines[0], limits, head, why); status != 0) return status;
  const bool http11 = head->keep_alive;
  HttpRequest& request = head->request;
  for (size_t i = 1; i < lines.size(); ++i) {
    if (int status = ParseHeaderLine(lines[i], limits, &request.headers, why); status != 0) return status;
  }
  const size_t hosts = request.HeaderValues("Host").size();
  if (hosts > 1 || (http11 && hosts == 0)) return Refuse(400, "exactly one Host header is needed", why);
  for (absl::string_view value : request.HeaderValues("Connection")) {
    for (absl::string_view option : absl::StrSplit(value, ',')) {
      option = absl::StripAsciiWhitespace(option);
      if (absl::EqualsIgnoreCase(option, "close")) head->keep_alive = false;
      if (!http11 && absl::EqualsIgnoreCase(option, "keep-alive")) head->keep_alive = true;
    }
  }
  return ParseFraming(http11, limits, head, why);
}

}  // namespace wheelpit
