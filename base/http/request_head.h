// The head of one HTTP/1.x request, parsed strictly: what two readers could understand differently is refused. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/http/http_types.h"

namespace wheelpit {

struct HeadLimits {
  size_t target_bytes_max = 8192;
  size_t header_line_bytes_max = 8192;
  size_t headers_max = 256;
  size_t head_bytes_max = 64 << 10;
  uint64_t body_bytes_max = 18ULL << 20;
};

struct RequestHead {
  HttpRequest request;  // without body and peer
  bool keep_alive = true;
  bool expect_continue = false;
  bool chunked = false;
  uint64_t content_length = 0;
};

// Where the head in `bytes` ends (past the empty line), 0 if it is not complete yet. Empty lines in front are part of it.
size_t FindHeadEnd(absl::string_view bytes);

// What is already wrong with an incomplete head: an HTTP status (414, 431), or 0.
int CheckPartialHead(absl::string_view bytes, const HeadLimits& limits);

// `bytes` is a complete head. 0, or the HTTP status to refuse with (400, 413, 414, 415, 431, 501, 505) and why.
int ParseRequestHead(absl::string_view bytes, const HeadLimits& limits, RequestHead* head, std::string* why);

}  // namespace wheelpit
