// CRC-32C (Castagnoli), hardware where the processor has it. Source of the check value: RFC 3720, B.4.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace wheelpit {

// CRC of `data` continued from `crc` (0 to begin).
uint32_t Crc32c(absl::string_view data, uint32_t crc = 0);
// The same without the processor's instruction: what other processors run, open to tests.
uint32_t Crc32cPortable(absl::string_view data, uint32_t crc = 0);
// One 64-bit word more, as its 8 bytes in little-endian order: for checksums over columns of numbers.
uint32_t Crc32cWord(uint64_t word, uint32_t crc);

}  // namespace wheelpit
