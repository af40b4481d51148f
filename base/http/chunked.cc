#include "base/http/chunked.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace wheelpit {
namespace {
constexpr size_t kLineBytesMax = 1024;
constexpr size_t kTrailerBytesMax = 8192;
}  // namespace

// Size in hex, at most 2^60, then perhaps extensions, which nobody uses.
bool ChunkedDecoder::ParseSize(absl::string_view line) {
  const absl::string_view digits = absl::StripTrailingAsciiWhitespace(line.substr(0, line.find(';')));
  if (digits.empty() || digits.size() > 15) return false;
  left_ = 0;
  for (const char c : digits) {
    const auto byte = static_cast<unsigned char>(c);
    if (!absl::ascii_isxdigit(byte)) return false;
    const int digit = absl::ascii_isdigit(byte) ? c - '0' : absl::ascii_tolower(byte) - 'a' + 10;
    left_ = left_ * 16 + static_cast<uint64_t>(digit);
  }
  return true;
}

ChunkedDecoder::State ChunkedDecoder::Feed(absl::string_view bytes, size_t* used, std::string* body) {
  *used = 0;
  while (true) {
    const absl::string_view rest = bytes.substr(*used);
    if (part_ == Part::kData) {
      const size_t take = static_cast<size_t>(std::min<uint64_t>(left_, rest.size()));
      body->append(rest.data(), take);
      *used += take;
      left_ -= take;
      if (left_ > 0) return State::kMore;
      part_ = Part::kDataEnd;
      continue;
    }
    const size_t end = rest.find("\r\n");
    if (end == absl::string_view::npos) return rest.size() > kLineBytesMax ? State::kBad : State::kMore;
    const absl::string_view line = rest.substr(0, end);
    if (line.size() > kLineBytesMax) return State::kBad;
    *used += end + 2;
    switch (part_) {
      case Part::kSize:
        if (!ParseSize(line)) return State::kBad;
        part_ = left_ == 0 ? Part::kTrailer : Part::kData;
        break;
      case Part::kDataEnd:
        if (!line.empty()) return State::kBad;
        part_ = Part::kSize;
        break;
      default:
        if (line.empty()) return State::kDone;
        trailer_bytes_ += line.size();
        if (trailer_bytes_ > kTrailerBytesMax) return State::kBad;
    }
  }
}

}  // namespace wheelpit
