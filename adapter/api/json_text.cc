#include "adapter/api/json_text.h"

#include "absl/strings/str_replace.h"

namespace wheelpit::adapter {

namespace {

std::string EscapeForHtml(std::string json) {
  // Outside strings JSON has none of these, so replacing them in the whole text is safe.
  absl::StrReplaceAll({{"<", "\\u003c"},
                       {">", "\\u003e"},
                       {"&", "\\u0026"},
                       {"\u2028", "\\u2028"},
                       {"\u2029", "\\u2029"}},
                      &json);
  return json;
}

}  // namespace

std::string JsonText(const Json& json, bool pretty) {
  return EscapeForHtml(json.dump(pretty ? 2 : -1, ' ', /*ensure_ascii=*/false,
                                 Json::error_handler_t::replace)) +
         "\n";
}

}  // namespace wheelpit::adapter
