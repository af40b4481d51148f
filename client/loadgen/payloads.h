// What load sends: files of a folder within size bounds, drawn at random, or filler of one size.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"

namespace wheelpit {

class Payloads {
 public:
  // kNotFound: no regular file of `dir` (searched through, links not followed) has a size within
  // [bytes_min, bytes_max].
  static absl::StatusOr<Payloads> FromFolder(const std::string& dir, int64_t bytes_min,
                                             int64_t bytes_max);
  static Payloads Filler(int64_t bytes);

  struct Payload {
    std::string path;  // empty = filler
    std::string bytes;
  };
  // kNotFound when the file went away.
  absl::StatusOr<Payload> Draw(Rng* rng) const;
  size_t files() const { return files_.size(); }

 private:
  std::vector<std::string> files_;
  std::string filler_;
};

}  // namespace wheelpit
