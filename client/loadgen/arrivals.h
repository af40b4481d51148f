// When requests arrive: a Poisson process whose rate follows a profile. Pure.
//
//   Arrivals arrivals(RateProfile::Decaying(20, 0.02, 500), seed);
//   while (auto at = arrivals.Next()) …;     // seconds since the start, ascending
#pragma once

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/random.h"

namespace wheelpit {

// Rate at second t of a piece: per_second * exp(-decay * t), for `seconds`.
struct RatePiece {
  double per_second = 0;  // >= 0
  double decay = 0;       // 1/s, >= 0
  double seconds = 0;     // may be infinite in the last piece
};

struct RateProfile {
  std::vector<RatePiece> pieces;

  static RateProfile Decaying(double per_second, double decay, double seconds) {
    return {{{per_second, decay, seconds}}};
  }
  // `20:10s,80:30s`: 20/s for 10 s, then 80/s for 30 s.
  static absl::StatusOr<RateProfile> Parse(absl::string_view text);
  // Expected arrivals up to second `t`.
  double Expected(double t) const;
  double seconds() const;
};

class Arrivals {
 public:
  Arrivals(RateProfile profile, uint64_t seed) : profile_(std::move(profile)), rng_(seed) {}
  // Seconds since the start; none when the profile is over.
  std::optional<double> Next();

 private:
  const RateProfile profile_;
  Rng rng_;
  double mass_ = 0;  // of the expected arrivals, used up
};

}  // namespace wheelpit
