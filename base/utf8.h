// UTF-8: what protobuf, JSON and the exposition formats take as text.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace wheelpit {

// Strict: no overlong forms, no surrogates, at most U+10FFFF. NUL is valid.
bool IsValidUtf8(absl::string_view text);

// The text in at most `bytes_max` bytes (cut between characters), with U+FFFD for each byte that is no part of a character.
std::string ToValidUtf8(absl::string_view text, size_t bytes_max);

}  // namespace wheelpit
