#include "client/loadgen/payloads.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace wheelpit {

absl::StatusOr<Payloads> Payloads::FromFolder(const std::string& dir, int64_t bytes_min,
                                              int64_t bytes_max) {
  namespace fs = std::filesystem;
  Payloads payloads;
  std::error_code error;
  fs::recursive_directory_iterator it(dir, fs::directory_options::skip_permission_denied, error);
  if (error) return absl::NotFoundError(absl::StrCat("cannot read ", dir, ": ", error.message()));
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) break;
    if (it->is_symlink(error) || !it->is_regular_file(error)) continue;
    const auto size = static_cast<int64_t>(it->file_size(error));
    if (!error && size >= bytes_min && size <= bytes_max) {
      payloads.files_.push_back(it->path().string());
    }
  }
  if (payloads.files_.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no file of ", bytes_min, " to ", bytes_max, " bytes in ", dir));
  }
  // One order, whatever the file system's: a seed repeats a run.
  std::sort(payloads.files_.begin(), payloads.files_.end());
  return payloads;
}

Payloads Payloads::Filler(int64_t bytes) {
  Payloads payloads;
  payloads.filler_.assign(static_cast<size_t>(bytes), 'w');
  return payloads;
}

absl::StatusOr<Payloads::Payload> Payloads::Draw(Rng* rng) const {
  if (files_.empty()) return Payload{"", filler_};
  Payload payload;
  payload.path = files_[rng->Below(files_.size())];
  std::ifstream file(payload.path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", payload.path));
  payload.bytes = text.str();
  return payload;
}

}  // namespace wheelpit
