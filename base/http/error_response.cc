#include "base/http/error_response.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/errors.h"
#include "base/http/http_status.h"

namespace wheelpit {

std::string JsonQuoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20 || byte == 0x7f || c == '<' || c == '>' || c == '&') {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned>(byte));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

HttpResponse ErrorJsonResponse(const absl::Status& status) {
  HttpResponse response = JsonResponse(
      HttpStatusOf(status), absl::StrCat("{\"error\":{\"reason\":", JsonQuoted(ErrorReason(status)), ",\"message\":",
                                         JsonQuoted(std::string(status.message())), "}}\n"));
  if (const absl::Duration retry = ErrorRetryAfter(status); retry > absl::ZeroDuration()) {
    response.headers.emplace_back("Retry-After", absl::StrCat(static_cast<int64_t>(std::ceil(absl::ToDoubleSeconds(retry)))));
  }
  return response;
}

}  // namespace wheelpit
