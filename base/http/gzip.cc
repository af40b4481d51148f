#include "base/http/gzip.h"

#include <zlib.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/check.h"

namespace wheelpit {
namespace {
constexpr int kGzipWindow = 15 + 16;  // zlib: + 16 = gzip framing
}

std::string GzipCompress(absl::string_view data, int level) {
  z_stream stream = {};
  WHEELPIT_CHECK(deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out;
  const auto* input = reinterpret_cast<const Bytef*>(data.data());
  size_t left = data.size();
  int result = Z_OK;
  do {
    // zlib counts in 32 bits.
    const size_t feed = left < (1u << 30) ? left : (1u << 30);
    if (stream.avail_in == 0) {
      stream.next_in = const_cast<Bytef*>(input);
      stream.avail_in = static_cast<uInt>(feed);
      input += feed;
      left -= feed;
    }
    const size_t had = out.size();
    out.resize(had + (64 << 10) + data.size() / 16);
    stream.next_out = reinterpret_cast<Bytef*>(&out[had]);
    stream.avail_out = static_cast<uInt>(out.size() - had);
    result = deflate(&stream, left == 0 ? Z_FINISH : Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  } while (result != Z_STREAM_END);
  deflateEnd(&stream);
  return out;
}

absl::StatusOr<std::string> GzipDecompress(absl::string_view data, size_t bytes_max) {
  std::string out;
  while (!data.empty()) {
    z_stream stream = {};
    WHEELPIT_CHECK(inflateInit2(&stream, kGzipWindow) == Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    int result = Z_OK;
    while (result == Z_OK && out.size() <= bytes_max) {
      const size_t had = out.size();
      out.resize(had + (64 << 10));
      stream.next_out = reinterpret_cast<Bytef*>(&out[had]);
      stream.avail_out = 64 << 10;
      result = inflate(&stream, Z_NO_FLUSH);
      out.resize(out.size() - stream.avail_out);
    }
    data = data.substr(data.size() - stream.avail_in);
    inflateEnd(&stream);
    if (result != Z_STREAM_END) return absl::InvalidArgumentError("damaged or oversized gzip data");
  }
  if (out.size() > bytes_max) return absl::InvalidArgumentError("oversized gzip data");
  return out;
}

bool AcceptsGzip(absl::string_view accept_encoding) {
  bool any = false, named = false, accepted = false;
  for (absl::string_view clause : absl::StrSplit(accept_encoding, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(clause, ';');
    const absl::string_view coding = absl::StripAsciiWhitespace(parts[0]);
    double q = 1;
    for (size_t i = 1; i < parts.size(); ++i) {
      absl::string_view parameter = absl::StripAsciiWhitespace(parts[i]);
      if (absl::ConsumePrefix(&parameter, "q=") && !absl::SimpleAtod(parameter, &q)) q = 0;
    }
    if (absl::EqualsIgnoreCase(coding, "gzip") || absl::EqualsIgnoreCase(coding, "x-gzip")) {
      named = true;
      accepted = q > 0;
    } else if (coding == "*") {
      any = q > 0;
    }
  }
  return named ? accepted : any;
}

}  // namespace wheelpit
