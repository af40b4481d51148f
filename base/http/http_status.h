// The HTTP status of an error: the same for every door that speaks HTTP.
#pragma once

#include "absl/status/status.h"

namespace wheelpit {

// 200 for OK; by reason where one code has several (413 PAYLOAD_TOO_LARGE, 507 DISK_LOW), else by code.
int HttpStatusOf(const absl::Status& status);

}  // namespace wheelpit
