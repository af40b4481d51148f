#include "server/engine/record_codec.h"

#include "base/errors.h"
#include "wheelpit/journal/v1/records.pb.h"

namespace wheelpit {

std::string EncodeEpoch(const EpochState& state) {
  journal::v1::EpochMeta meta;
  meta.set_at_ms(state.at_ms);
  meta.set_epoch(state.epoch);
  meta.set_history_id(state.history_id);
  meta.set_history_start_at_ms(state.history_start_ms);
  meta.set_hash_key(state.hash_key);
  meta.set_address(state.address);
  return meta.SerializeAsString();
}

absl::StatusOr<EpochState> DecodeEpoch(absl::string_view bytes) {
  journal::v1::EpochMeta meta;
  if (!meta.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "EPOCH record does not parse");
  }
  EpochState state;
  state.at_ms = meta.at_ms();
  state.epoch = meta.epoch();
  state.history_id = meta.history_id();
  state.history_start_ms = meta.history_start_at_ms();
  state.hash_key = meta.hash_key();
  state.address = meta.address();
  return state;
}

std::string EncodeHeartbeat(int64_t at_ms) {
  journal::v1::HeartbeatMeta meta;
  meta.set_at_ms(at_ms);
  return meta.SerializeAsString();
}

int64_t MetaTime(absl::string_view meta) {
  // Writers put fields in ascending order, so field 1 (varint: tag 0x08) comes first or is absent (0).
  if (meta.empty() || meta[0] != 0x08) return 0;
  uint64_t value = 0;
  for (size_t i = 1, shift = 0; i < meta.size() && shift < 64; ++i, shift += 7) {
    const auto byte = static_cast<unsigned char>(meta[i]);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return static_cast<int64_t>(value);
  }
  return 0;
}

}  // namespace wheelpit
