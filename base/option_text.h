// An option table as text for people: --help and docs/config.md. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "base/options.h"

namespace wheelpit {

// One option a paragraph, lines of at most `columns` (40 or more):
//   --queue_lease_ttl=duration
//       Lease time of a task. 1s to 12h, default 30s.
std::string OptionHelp(const OptionTable& table, size_t columns = 80);

// `text` in lines of at most `columns`, indented as what OptionHelp says of an option.
std::string OptionHelpText(absl::string_view text, size_t columns = 80);

// A table with the columns option, type, default, range, meaning; nothing else.
std::string OptionMarkdown(const OptionTable& table);

// `name = value  # origin`, one a line: --print_config.
std::string OptionValues(const OptionTable& table);

}  // namespace wheelpit
