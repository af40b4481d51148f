#include "base/errors.h"

#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"

namespace wheelpit {
namespace {

constexpr absl::string_view kReasonUrl = "wheelpit/reason";
constexpr absl::string_view kRetryAfterUrl = "wheelpit/retry_after_ms";
constexpr size_t kQuotedBytesMax = 128;

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                       absl::Duration retry_after) {
  absl::Status status(code, message);
  if (!reason.empty()) status.SetPayload(kReasonUrl, absl::Cord(reason));
  if (retry_after > absl::ZeroDuration()) {
    // Rounded up: a caller that waits as long as told must not come early.
    const int64_t ms = absl::ToInt64Milliseconds(absl::Ceil(retry_after, absl::Milliseconds(1)));
    status.SetPayload(kRetryAfterUrl, absl::Cord(absl::StrCat(ms)));
  }
  return status;
}

std::string ErrorReason(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonUrl);
  return payload.has_value() ? std::string(*payload) : std::string();
}

absl::Duration ErrorRetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfterUrl);
  int64_t ms = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &ms))
    return absl::ZeroDuration();
  return absl::Milliseconds(ms);
}

std::string Quoted(absl::string_view text) {
  // Messages go where only UTF-8 may: into JSON and protobuf.
  if (!IsValidUtf8(text)) {
    const bool whole = text.size() <= kQuotedBytesMax;
    return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kQuotedBytesMax)), whole ? "\"" : "...\"");
  }
  if (text.size() <= kQuotedBytesMax) return absl::StrCat("\"", absl::Utf8SafeCEscape(text), "\"");
  size_t cut = kQuotedBytesMax;
  while (cut > kQuotedBytesMax - 4 && (static_cast<uint8_t>(text[cut]) & 0xc0) == 0x80) --cut;
  return absl::StrCat("\"", absl::Utf8SafeCEscape(text.substr(0, cut)), "...\"");
}

}  // namespace wheelpit
