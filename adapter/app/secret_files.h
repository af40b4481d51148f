// Small files with secrets: written whole or not at all, mode 0600.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/small_file.h"

namespace wheelpit::adapter {

// Through a temporary file beside it and a rename, both synced. The file belongs to its owner
// alone.
absl::Status WriteSecretFile(const std::string& path, absl::string_view content);

// The token in the file, without blanks around it; a new one of 32 random bytes in base64url is
// made and written if there is none. A file that others may read is made private again.
absl::StatusOr<std::string> LoadOrMakeToken(const std::string& path);

}  // namespace wheelpit::adapter
