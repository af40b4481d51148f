// The functions that templates may call.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapter/rules/template.h"

namespace wheelpit::adapter::internal {

// kInvalidArgument: wrong kinds or count, with Go's words. `and` and `or` are given all their
// arguments: the caller stops early.
absl::StatusOr<TemplateValue> CallTemplateFunction(absl::string_view name,
                                                   const std::vector<TemplateValue>& args);

// `%v`, `%s`, `%q`, `%d`, `%x`, `%f`, `%e`, `%g`, `%t`, `%c`, `%%` with Go's flags, width and
// precision.
std::string GoSprintf(absl::string_view format, const std::vector<TemplateValue>& args);

}  // namespace wheelpit::adapter::internal
