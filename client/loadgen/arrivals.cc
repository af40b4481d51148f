#include "client/loadgen/arrivals.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/options.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

// Expected arrivals of a piece in its first t seconds.
double Mass(const RatePiece& piece, double t) {
  if (piece.decay == 0) return piece.per_second == 0 ? 0 : piece.per_second * t;
  return piece.per_second / piece.decay * -std::expm1(-piece.decay * t);
}

// Inverse of Mass; mass must be less than that of the whole piece.
double TimeOf(const RatePiece& piece, double mass) {
  if (piece.decay == 0) return mass / piece.per_second;
  return -std::log1p(-mass * piece.decay / piece.per_second) / piece.decay;
}

}  // namespace

absl::StatusOr<RateProfile> RateProfile::Parse(absl::string_view text) {
  RateProfile profile;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<std::string> fields = absl::StrSplit(part, ':');
    RatePiece piece;
    if (fields.size() != 2 || !absl::SimpleAtod(fields[0], &piece.per_second) ||
        !(piece.per_second >= 0) || !std::isfinite(piece.per_second)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" is not RATE:DURATION, for example 20:10s"));
    }
    WHEELPIT_ASSIGN_OR_RETURN(const int64_t ms, ParseDurationMs(fields[1]));
    piece.seconds = static_cast<double>(ms) / 1000;
    profile.pieces.push_back(piece);
  }
  return profile;
}

double RateProfile::seconds() const {
  double total = 0;
  for (const RatePiece& piece : pieces) total += piece.seconds;
  return total;
}

double RateProfile::Expected(double t) const {
  double mass = 0;
  for (const RatePiece& piece : pieces) {
    if (t <= 0) break;
    mass += Mass(piece, std::min(t, piece.seconds));
    t -= piece.seconds;
  }
  return mass;
}

std::optional<double> Arrivals::Next() {
  // Unit-rate arrivals, laid onto the profile by the inverse of its expected count: exact for any
  // rate.
  mass_ += -std::log1p(-rng_.Unit());
  double mass = mass_;
  double begin = 0;
  for (const RatePiece& piece : profile_.pieces) {
    const double whole = Mass(piece, piece.seconds);
    if (mass < whole) return begin + TimeOf(piece, mass);
    mass -= whole;
    begin += piece.seconds;
  }
  return std::nullopt;
}

}  // namespace wheelpit
