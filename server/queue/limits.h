// Limits that hold for every queue, whatever its config.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/model/task.h"

namespace wheelpit {

inline constexpr int64_t kDelayMaxMs = 30LL * 86'400'000;
inline constexpr int64_t kLeaseTtlMaxMs = 12LL * 3'600'000;
inline constexpr int64_t kAttemptTimeoutMaxMs = 7LL * 86'400'000;
inline constexpr int64_t kRetryAfterMaxMs = 24LL * 3'600'000;
inline constexpr uint32_t kAttemptsMax = 1000;
inline constexpr uint32_t kLossesMax = 100;
inline constexpr uint32_t kReleasesMax = 100;
inline constexpr size_t kBatchItemsMax = 1000;
inline constexpr size_t kBatchBytesMax = 4 << 20;
inline constexpr size_t kErrorBytesMax = 4096;
inline constexpr size_t kNoteBytesMax = 1024;
inline constexpr uint64_t kCreditBytesDefault = 32 << 20;

bool ValidQueueName(absl::string_view name);
// BAD_FIELD.
absl::Status CheckQueueName(absl::string_view name);
absl::Status CheckBackoff(const BackoffPolicy& backoff);

}  // namespace wheelpit
