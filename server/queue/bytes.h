// Little-endian fields of checkpoint chunks.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace wheelpit {

class ByteWriter {
 public:
  explicit ByteWriter(std::string* out) : out_(out) {}
  template <typename Integer>
  void Put(Integer value) {
    const uint64_t bits = static_cast<uint64_t>(value);
    for (size_t i = 0; i < sizeof(Integer); ++i) out_->push_back(static_cast<char>(bits >> (8 * i)));
  }
  void PutDouble(double value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    Put(bits);
  }
  void PutText(absl::string_view text) {
    Put(static_cast<uint32_t>(text.size()));
    out_->append(text.data(), text.size());
  }

 private:
  std::string* const out_;
};

// Reads zeros past the end; ok() tells.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : bytes_(bytes) {}
  template <typename Integer>
  Integer Get() {
    if (bytes_.size() < sizeof(Integer)) {
      ok_ = false;
      bytes_ = {};
      return Integer{};
    }
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof(Integer); ++i) bits |= uint64_t{static_cast<uint8_t>(bytes_[i])} << (8 * i);
    bytes_.remove_prefix(sizeof(Integer));
    return static_cast<Integer>(bits);
  }
  double GetDouble() {
    const uint64_t bits = Get<uint64_t>();
    double value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  std::string GetText() {
    const uint32_t size = Get<uint32_t>();
    if (bytes_.size() < size) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }
  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }

 private:
  absl::string_view bytes_;
  bool ok_ = true;
};

}  // namespace wheelpit
