// JSON as a Kubernetes API server writes it: field order kept, `<`, `>`, `&`, U+2028 and U+2029
// escaped, a newline at the end.
#pragma once

#include <string>

#include "nlohmann/json.hpp"

namespace wheelpit::adapter {

using Json = nlohmann::ordered_json;

// `pretty`: 2 spaces. Text that is not UTF-8 is replaced, never an error.
std::string JsonText(const Json& json, bool pretty);

}  // namespace wheelpit::adapter
