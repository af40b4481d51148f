// Errors as HTTP answers with a JSON body.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/http/http_types.h"

namespace wheelpit {

// {"error":{"reason":"QUEUE_FULL","message":"…"}} with HttpStatusOf, and Retry-After where the error has a retry time.
HttpResponse ErrorJsonResponse(const absl::Status& status);

// `text` as a JSON string with its quotes.
std::string JsonQuoted(absl::string_view text);

}  // namespace wheelpit
