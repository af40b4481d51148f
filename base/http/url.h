// http and https URLs taken apart. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

struct Url {
  bool tls = false;
  // Decoded; both empty if the URL names no user.
  std::string user;
  std::string password;
  // Without brackets.
  std::string host;
  int port = 0;
  // As written, without a slash at the end; may be empty.
  std::string path;

  // `host:port`, with brackets where needed and without a default port.
  std::string Authority() const;
};

// kInvalidArgument if it is no http or https URL. Query and fragment are dropped. The message never
// holds the password.
absl::StatusOr<Url> ParseUrl(absl::string_view text);

}  // namespace wheelpit
