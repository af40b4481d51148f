// Small configuration files read whole: certificates, tokens, rules.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace wheelpit {

// kNotFound if there is none; kInvalidArgument above 1 MiB.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

}  // namespace wheelpit
