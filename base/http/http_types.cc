#include "base/http/http_types.h"

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace wheelpit {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string DecodeOrKeep(absl::string_view text) {
  std::string out;
  return PercentDecode(text, /*plus=*/true, &out) ? out : std::string(text);
}

}  // namespace

absl::string_view HttpRequest::Header(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

bool HttpRequest::HasHeader(absl::string_view name) const { return !HeaderValues(name).empty(); }

std::vector<absl::string_view> HttpRequest::HeaderValues(absl::string_view name) const {
  std::vector<absl::string_view> values;
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) values.push_back(value);
  }
  return values;
}

absl::string_view HttpRequest::Query(absl::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return "";
}

bool HttpRequest::HasQuery(absl::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return true;
  }
  return false;
}

std::string HttpRequest::RawPath() const { return absl::StrCat("/", absl::StrJoin(path, "/")); }

HttpResponse TextResponse(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(body);
  return response;
}

HttpResponse JsonResponse(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.content_type = "application/json";
  response.body = std::move(body);
  return response;
}

HttpResponse ErrorTextResponse(int status, absl::string_view message) {
  return TextResponse(status, absl::StrCat(message, "\n"));
}

bool PercentDecode(absl::string_view text, bool plus, std::string* out) {
  out->clear();
  out->reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out->push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out->push_back(plus && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return true;
}

std::string PercentEncode(absl::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '~') {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> ParseQuery(absl::string_view text) {
  std::vector<std::pair<std::string, std::string>> query;
  for (absl::string_view part : absl::StrSplit(text, '&', absl::SkipEmpty())) {
    const size_t equals = part.find('=');
    if (equals == absl::string_view::npos) {
      query.emplace_back(DecodeOrKeep(part), "");
    } else {
      query.emplace_back(DecodeOrKeep(part.substr(0, equals)), DecodeOrKeep(part.substr(equals + 1)));
    }
  }
  return query;
}

void SplitTarget(HttpRequest* request) {
  absl::string_view path = request->target;
  path = path.substr(0, path.find('#'));
  const size_t question = path.find('?');
  request->query.clear();
  if (question != absl::string_view::npos) {
    request->query = ParseQuery(path.substr(question + 1));
    path = path.substr(0, question);
  }
  absl::ConsumePrefix(&path, "/");
  request->path = absl::StrSplit(path, '/');
}

}  // namespace wheelpit
