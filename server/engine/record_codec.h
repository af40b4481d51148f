// Metas of the engine's own records: EPOCH and HEARTBEAT. The one place in this room that knows the proto types.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

// Who writes the journal, and which unbroken history it continues.
struct EpochState {
  int64_t at_ms = 0;
  uint64_t epoch = 0;
  uint64_t history_id = 0;
  int64_t history_start_ms = 0;
  std::string hash_key;  // 16 bytes
  std::string address;
};

std::string EncodeEpoch(const EpochState& state);
// kDataLoss CORRUPT.
absl::StatusOr<EpochState> DecodeEpoch(absl::string_view bytes);
std::string EncodeHeartbeat(int64_t at_ms);

// `at_ms` of any record's meta without decoding the rest (it is field 1 of each); 0 if there is none.
int64_t MetaTime(absl::string_view meta);

}  // namespace wheelpit
