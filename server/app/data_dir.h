// The folder of all state.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

// Makes the folder (0700) and its parents (0755) if they do not exist, and checks that files can be made in it. kFailedPrecondition
// says what is wrong and what to do.
absl::Status PrepareDataDir(const std::string& path);

// Whole or not at all: through a temporary file beside it and a rename. Readable by all.
absl::Status WriteFileWhole(const std::string& path, absl::string_view content);

}  // namespace wheelpit
