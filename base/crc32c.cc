#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace wheelpit {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41, bits reversed

// kTables[k][b]: the register after byte b and k zero bytes.
constexpr std::array<std::array<uint32_t, 256>, 8> MakeTables() {
  std::array<std::array<uint32_t, 256>, 8> t{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    t[0][b] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t b = 0; b < 256; ++b) t[k][b] = (t[k - 1][b] >> 8) ^ t[0][t[k - 1][b] & 0xff];
  }
  return t;
}
constexpr auto kTables = MakeTables();

uint64_t LoadWord(const char* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

uint32_t PortableWord(uint32_t reg, uint64_t word) {
  word ^= reg;
  uint32_t out = 0;
  for (size_t k = 0; k < 8; ++k) out ^= kTables[7 - k][(word >> (8 * k)) & 0xff];
  return out;
}

uint32_t PortableExtend(uint32_t reg, const char* p, size_t n) {
  for (; n >= 8; n -= 8, p += 8) reg = PortableWord(reg, LoadWord(p));
  for (; n > 0; --n, ++p) reg = (reg >> 8) ^ kTables[0][(reg ^ static_cast<uint8_t>(*p)) & 0xff];
  return reg;
}

#if defined(__x86_64__)

// The instruction has a latency of three cycles and a throughput of one: long buffers run as three
// streams side by side, and shift tables join the three registers.
constexpr size_t kStreamBytes = 512;

// The register `zeros` zero bytes later, as a linear map in four tables of one byte each.
struct ShiftTables {
  explicit ShiftTables(size_t zeros) {
    std::array<uint32_t, 32> columns;
    const std::array<char, 64> zero_bytes{};
    for (size_t bit = 0; bit < 32; ++bit) {
      uint32_t reg = 1u << bit;
      for (size_t i = 0; i < zeros; i += zero_bytes.size())
        reg = PortableExtend(reg, zero_bytes.data(), zero_bytes.size());
      columns[bit] = reg;
    }
    for (size_t byte = 0; byte < 4; ++byte) {
      for (size_t value = 0; value < 256; ++value) {
        uint32_t sum = 0;
        for (size_t bit = 0; bit < 8; ++bit)
          if ((value >> bit & 1) != 0) sum ^= columns[byte * 8 + bit];
        table[byte][value] = sum;
      }
    }
  }
  uint32_t operator()(uint32_t reg) const {
    return table[0][reg & 0xff] ^ table[1][reg >> 8 & 0xff] ^ table[2][reg >> 16 & 0xff] ^
           table[3][reg >> 24];
  }
  std::array<std::array<uint32_t, 256>, 4> table;
};

__attribute__((target("sse4.2"))) uint32_t HardwareExtend(uint32_t reg, const char* p, size_t n) {
  if (n >= 3 * kStreamBytes) {
    static const ShiftTables shift_one(kStreamBytes);
    static const ShiftTables shift_two(2 * kStreamBytes);
    for (; n >= 3 * kStreamBytes; n -= 3 * kStreamBytes, p += 3 * kStreamBytes) {
      uint64_t a = reg, b = 0, c = 0;
      for (size_t i = 0; i < kStreamBytes; i += 8) {
        a = _mm_crc32_u64(a, LoadWord(p + i));
        b = _mm_crc32_u64(b, LoadWord(p + kStreamBytes + i));
        c = _mm_crc32_u64(c, LoadWord(p + 2 * kStreamBytes + i));
      }
      reg = shift_two(static_cast<uint32_t>(a)) ^ shift_one(static_cast<uint32_t>(b)) ^
            static_cast<uint32_t>(c);
    }
  }
  uint64_t wide = reg;
  for (; n >= 8; n -= 8, p += 8) wide = _mm_crc32_u64(wide, LoadWord(p));
  reg = static_cast<uint32_t>(wide);
  for (; n > 0; --n, ++p) reg = _mm_crc32_u8(reg, static_cast<uint8_t>(*p));
  return reg;
}

__attribute__((target("sse4.2"))) uint32_t HardwareWord(uint32_t reg, uint64_t word) {
  return static_cast<uint32_t>(_mm_crc32_u64(reg, word));
}

bool HasHardware() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}

#endif

}  // namespace

uint32_t Crc32c(absl::string_view data, uint32_t crc) {
#if defined(__x86_64__)
  if (HasHardware()) return ~HardwareExtend(~crc, data.data(), data.size());
#endif
  return ~PortableExtend(~crc, data.data(), data.size());
}

uint32_t Crc32cPortable(absl::string_view data, uint32_t crc) {
  return ~PortableExtend(~crc, data.data(), data.size());
}

uint32_t Crc32cWord(uint64_t word, uint32_t crc) {
#if defined(__x86_64__)
  if (HasHardware()) return ~HardwareWord(~crc, word);
#endif
  return ~PortableWord(~crc, word);
}

}  // namespace wheelpit
