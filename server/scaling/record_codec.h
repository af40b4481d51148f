// The SCALE record's meta. The one place in this room that knows the proto type.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/scaling/queue_scaler.h"

namespace wheelpit {

struct ScaleRecord {
  uint32_t queue = 0;  // number
  ScalingState state;
};

std::string EncodeScale(const ScaleRecord& record);
// kDataLoss CORRUPT: it does not parse, or holds a number that no measurement gives.
absl::StatusOr<ScaleRecord> DecodeScale(absl::string_view bytes);

}  // namespace wheelpit
