#include "server/scaling/record_codec.h"

#include <algorithm>
#include <cmath>

#include "base/errors.h"
#include "wheelpit/journal/v1/records.pb.h"

namespace wheelpit {

std::string EncodeScale(const ScaleRecord& record) {
  journal::v1::ScaleMeta meta;
  meta.set_at_ms(record.state.at_ms);
  meta.set_queue(record.queue);
  meta.set_arrival_rate(record.state.arrival_rate);
  meta.set_service_seconds(record.state.service_s);
  meta.set_prior_service_seconds(record.state.prior_service_s);
  meta.set_startup_seconds(record.state.startup_s);
  meta.set_needed_workers(record.state.needed_workers);
  return meta.SerializeAsString();
}

absl::StatusOr<ScaleRecord> DecodeScale(absl::string_view bytes) {
  journal::v1::ScaleMeta meta;
  if (!meta.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "SCALE record does not parse");
  }
  ScaleRecord record;
  record.queue = meta.queue();
  record.state = {meta.at_ms(),           meta.arrival_rate(),    meta.service_seconds(), meta.prior_service_seconds(),
                  meta.startup_seconds(), meta.needed_workers()};
  const ScalingState& s = record.state;
  for (const double value : {s.arrival_rate, s.service_s, s.prior_service_s, s.startup_s, s.needed_workers}) {
    if (!std::isfinite(value) || value < 0) {
      return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", "SCALE record holds a number that is not finite and >= 0");
    }
  }
  return record;
}

}  // namespace wheelpit
