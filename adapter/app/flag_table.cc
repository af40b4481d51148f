#include "adapter/app/flag_table.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "adapter/naming/go_text.h"
#include "base/option_text.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr size_t kHelpColumns = 100;

// strconv.ParseBool's words.
bool ParseBool(absl::string_view text, bool* value) {
  for (absl::string_view yes : {"1", "t", "T", "true", "True", "TRUE"}) {
    if (text == yes) return *value = true;
  }
  for (absl::string_view no : {"0", "f", "F", "false", "False", "FALSE"}) {
    if (text == no) {
      *value = false;
      return true;
    }
  }
  return false;
}

// How many letters must change to make one name of the other.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

absl::Status BadValue(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(GoQuote(text), " ", what));
}

}  // namespace

void FlagTable::AddString(const std::string& name, const std::string& help, std::string* value) {
  flags_.push_back({name, help, *value, false, false, [value](const std::string& text) {
                      *value = text;
                      return absl::OkStatus();
                    }});
}

void FlagTable::AddBool(const std::string& name, const std::string& help, bool* value) {
  flags_.push_back({name, help, *value ? "true" : "false", true, false,
                    [value](const std::string& text) {
                      return ParseBool(text, value) ? absl::OkStatus()
                                                    : BadValue(text, "is neither true nor false");
                    }});
}

void FlagTable::AddInt(const std::string& name, const std::string& help, int min, int max,
                       int* value) {
  flags_.push_back(
      {name, help, absl::StrCat(*value), false, false, [=](const std::string& text) {
         int number = 0;
         if (!absl::SimpleAtoi(text, &number) || number < min || number > max)
           return BadValue(text, absl::StrCat("is no number from ", min, " to ", max));
         *value = number;
         return absl::OkStatus();
       }});
}

void FlagTable::AddDuration(const std::string& name, const std::string& help,
                            absl::Duration* value) {
  // A 0 that is no duration is explained by the help.
  std::string shown = *value == absl::ZeroDuration() ? "" : absl::FormatDuration(*value);
  flags_.push_back(
      {name, help, std::move(shown), false, false, [value](const std::string& text) {
         const absl::StatusOr<absl::Duration> duration = ParseGoDuration(text);
         if (!duration.ok() || *duration < absl::ZeroDuration())
           return BadValue(text, "is no duration such as 10m, 1m30s, 500ms");
         *value = *duration;
         return absl::OkStatus();
       }});
}

void FlagTable::AddList(const std::string& name, const std::string& help,
                        std::vector<std::string>* value) {
  auto given = std::make_shared<bool>(false);
  flags_.push_back({name, help, absl::StrJoin(*value, ","), false, false,
                    [value, given](const std::string& text) {
                      if (!std::exchange(*given, true)) value->clear();
                      for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty()))
                        value->emplace_back(absl::StripAsciiWhitespace(part));
                      return absl::OkStatus();
                    }});
}

void FlagTable::AddPairs(const std::string& name, const std::string& help,
                         std::vector<std::pair<std::string, std::string>>* value) {
  flags_.push_back({name, help, "", false, false, [value](const std::string& text) {
                      const size_t equals = text.find('=');
                      if (equals == std::string::npos || equals == 0)
                        return BadValue(text, "is not name=value");
                      value->emplace_back(text.substr(0, equals), text.substr(equals + 1));
                      return absl::OkStatus();
                    }});
}

void FlagTable::AddIgnored(const std::vector<std::string>& names, bool boolean,
                           std::vector<std::string>* ignored) {
  for (const std::string& name : names) {
    flags_.push_back({name, "", "", boolean, true, [ignored, name](const std::string&) {
                        ignored->push_back(name);
                        return absl::OkStatus();
                      }});
  }
}

const FlagTable::Flag* FlagTable::Find(const std::string& name) const {
  const std::string plain = absl::StrReplaceAll(name, {{"_", "-"}});
  for (const Flag& flag : flags_) {
    if (flag.name == plain) return &flag;
  }
  return nullptr;
}

absl::Status FlagTable::Unknown(const std::string& name) const {
  const Flag* nearest = nullptr;
  size_t best = 0;
  for (const Flag& flag : flags_) {
    const size_t distance = Distance(name, flag.name);
    if (nearest != nullptr && distance >= best) continue;
    nearest = &flag;
    best = distance;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown flag: --", name, nearest == nullptr ? "" : "; did you mean --",
      nearest == nullptr ? "" : nearest->name, "?"));
}

absl::Status FlagTable::Take(const std::vector<std::string>& arguments, size_t* at) const {
  absl::string_view text = arguments[*at];
  std::string name, value;
  bool has_value = false;
  if (absl::ConsumePrefix(&text, "--")) {
    const size_t equals = text.find('=');
    name = std::string(text.substr(0, equals));
    has_value = equals != absl::string_view::npos;
    if (has_value) value = std::string(text.substr(equals + 1));
  } else {
    // -v6, -v=6, -v 6
    text.remove_prefix(1);
    for (const auto& [letter, flag] : shorthands_) {
      if (text[0] == letter) name = flag;
    }
    if (name.empty())
      return absl::InvalidArgumentError(absl::StrCat("unknown shorthand flag in -", text));
    text.remove_prefix(1);
    absl::ConsumePrefix(&text, "=");
    has_value = !text.empty();
    value = std::string(text);
  }
  const Flag* const flag = Find(name);
  if (flag == nullptr) return Unknown(name);
  if (!has_value && flag->boolean) value = "true";
  if (!has_value && !flag->boolean) {
    if (++*at >= arguments.size())
      return absl::InvalidArgumentError(absl::StrCat("flag needs an argument: --", name));
    value = arguments[*at];
  }
  const absl::Status set = flag->set(value);
  return set.ok() ? set
                  : absl::InvalidArgumentError(absl::StrCat("--", flag->name, ": ", set.message()));
}

absl::Status FlagTable::Parse(const std::vector<std::string>& arguments) {
  for (size_t at = 0; at < arguments.size(); ++at) {
    const std::string& text = arguments[at];
    if (text == "--") return absl::OkStatus();
    if (text.size() < 2 || text[0] != '-')
      return absl::InvalidArgumentError(absl::StrCat("what is ", GoQuote(text), "? Only flags are taken"));
    WHEELPIT_RETURN_IF_ERROR(Take(arguments, &at));
  }
  return absl::OkStatus();
}

std::string FlagTable::Help() const {
  std::string text;
  for (const Flag& flag : flags_) {
    if (flag.hidden) continue;
    std::string help = flag.help;
    if (!flag.default_text.empty()) absl::StrAppend(&help, " Default: ", flag.default_text);
    absl::StrAppend(&text, "  --", flag.name, flag.boolean ? "" : "=…", "\n",
                    OptionHelpText(help, kHelpColumns));
  }
  return text;
}

}  // namespace wheelpit::adapter
