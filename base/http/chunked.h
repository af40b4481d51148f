// Chunked bodies, decoded strictly and piece by piece. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace wheelpit {

class ChunkedDecoder {
 public:
  enum class State { kMore, kDone, kBad };

  // Takes what it can of `bytes` and appends decoded data to `body`; `*used` bytes are done with. After kDone the rest of `bytes`
  // belongs to the next request. Trailers are read and dropped.
  State Feed(absl::string_view bytes, size_t* used, std::string* body);

 private:
  enum class Part { kSize, kData, kDataEnd, kTrailer };
  bool ParseSize(absl::string_view line);

  Part part_ = Part::kSize;
  uint64_t left_ = 0;  // of the present chunk
  size_t trailer_bytes_ = 0;
};

}  // namespace wheelpit
