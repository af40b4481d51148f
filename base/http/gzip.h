// One compression for answers: gzip members, which may be concatenated.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

// One gzip member. `level` 1..9.
std::string GzipCompress(absl::string_view data, int level = 1);
// All members of `data`; kInvalidArgument if damaged or longer than `bytes_max` when unpacked.
absl::StatusOr<std::string> GzipDecompress(absl::string_view data, size_t bytes_max);

// Whether an Accept-Encoding value allows gzip (by name or `*`, q > 0).
bool AcceptsGzip(absl::string_view accept_encoding);

}  // namespace wheelpit
