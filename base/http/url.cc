#include "base/http/url.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/http/http_types.h"

namespace wheelpit {
namespace {

constexpr int kHttpPort = 80;
constexpr int kHttpsPort = 443;

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("URL: ", why, "; such as https://prometheus.monitoring.svc:9090/prefix"));
}

}  // namespace

std::string Url::Authority() const {
  const std::string name =
      host.find(':') == std::string::npos ? host : absl::StrCat("[", host, "]");
  return port == (tls ? kHttpsPort : kHttpPort) ? name : absl::StrCat(name, ":", port);
}

absl::StatusOr<Url> ParseUrl(absl::string_view text) {
  Url url;
  if (absl::StartsWithIgnoreCase(text, "https://")) {
    url.tls = true;
    text.remove_prefix(8);
  } else if (absl::StartsWithIgnoreCase(text, "http://")) {
    text.remove_prefix(7);
  } else {
    return Bad("must start with http:// or https://");
  }
  text = text.substr(0, text.find_first_of("?#"));
  const size_t slash = text.find('/');
  absl::string_view authority = text.substr(0, slash);
  if (slash != absl::string_view::npos) url.path = std::string(text.substr(slash));
  while (absl::EndsWith(url.path, "/")) url.path.pop_back();
  if (const size_t at = authority.rfind('@'); at != absl::string_view::npos) {
    const absl::string_view who = authority.substr(0, at);
    authority.remove_prefix(at + 1);
    const size_t colon = who.find(':');
    bool good = PercentDecode(who.substr(0, colon), /*plus=*/false, &url.user);
    if (colon != absl::string_view::npos)
      good &= PercentDecode(who.substr(colon + 1), /*plus=*/false, &url.password);
    if (!good) return Bad("bad escape before the @");
  }
  absl::string_view port;
  if (absl::StartsWith(authority, "[")) {
    const size_t end = authority.find(']');
    if (end == absl::string_view::npos) return Bad("a [ without its ]");
    url.host = std::string(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
    if (!port.empty() && port[0] != ':') return Bad("text after the ]");
  } else {
    const size_t colon = authority.find(':');
    url.host = std::string(authority.substr(0, colon));
    if (colon != absl::string_view::npos) port = authority.substr(colon);
  }
  if (url.host.empty()) return Bad("no host");
  url.port = url.tls ? kHttpsPort : kHttpPort;
  if (port.size() > 1) {
    if (!absl::SimpleAtoi(port.substr(1), &url.port) || url.port < 1 || url.port > 65535)
      return Bad("bad port");
  }
  return url;
}

}  // namespace wheelpit
