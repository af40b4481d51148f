#include "base/options.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/status_macros.h"

namespace wheelpit {
namespace {

// Above what any range allows unless it says so; kept out of the described range.
constexpr double kNoMax = 9e15;

std::string Canonical(absl::string_view name) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"-", "_"}});
}

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string FormatNumber(double v) {
  return v == std::floor(v) && std::abs(v) < 1e15 ? absl::StrCat(static_cast<int64_t>(v))
                                                  : absl::StrFormat("%.17g", v);
}

std::string ShortestDouble(double v) {
  std::string text = absl::StrFormat("%.15g", v);
  double back = 0;
  if (absl::SimpleAtod(text, &back) && back == v) return text;
  return absl::StrFormat("%.17g", v);
}

template <typename Format>
std::string RangeText(OptionRange range, const Format& format) {
  if (range.max >= kNoMax) return absl::StrCat("at least ", format(range.min));
  return absl::StrCat(format(range.min), " to ", format(range.max));
}

template <typename Value, typename Format>
absl::Status CheckRange(Value v, absl::string_view text, OptionRange range, const Format& format) {
  const double d = static_cast<double>(v);
  // Written so that NaN fails.
  if (d >= range.min && d <= range.max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(text), " is out of range: must be ", RangeText(range, format)));
}

std::string FormatMs(double ms) { return FormatDurationMs(static_cast<int64_t>(ms)); }
std::string FormatBytes(double bytes) { return FormatSize(static_cast<int64_t>(bytes)); }

}  // namespace

void OptionTable::Add(absl::string_view name, absl::string_view type, absl::string_view help,
                      std::string range, std::function<absl::Status(absl::string_view)> set,
                      std::function<std::string()> get) {
  WHEELPIT_CHECK(Find(name) == nullptr, "option %s twice", name);
  Option option;
  option.name = Canonical(name);
  option.type = std::string(type);
  option.help = std::string(help);
  option.range = std::move(range);
  option.default_value = get();
  option.set = std::move(set);
  option.get = std::move(get);
  options_.push_back(std::move(option));
}

void OptionTable::AddBool(absl::string_view name, bool* value, absl::string_view help) {
  auto set = [value](absl::string_view text) {
    if (absl::SimpleAtob(text, value)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " must be true or false"));
  };
  Add(name, "bool", help, "", set, [value] { return *value ? "true" : "false"; });
  options_.back().is_bool = true;
}

void OptionTable::AddInt(absl::string_view name, int64_t* value, absl::string_view help,
                         OptionRange range) {
  auto set = [value, range](absl::string_view text) -> absl::Status {
    int64_t v = 0;
    if (!absl::SimpleAtoi(text, &v))
      return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " must be a whole number"));
    WHEELPIT_RETURN_IF_ERROR(CheckRange(v, text, range, FormatNumber));
    *value = v;
    return absl::OkStatus();
  };
  Add(name, "int", help, RangeText(range, FormatNumber), set,
      [value] { return absl::StrCat(*value); });
}

void OptionTable::AddDouble(absl::string_view name, double* value, absl::string_view help,
                            OptionRange range) {
  auto set = [value, range](absl::string_view text) -> absl::Status {
    double v = 0;
    if (!absl::SimpleAtod(text, &v))
      return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " must be a number"));
    WHEELPIT_RETURN_IF_ERROR(CheckRange(v, text, range, FormatNumber));
    *value = v;
    return absl::OkStatus();
  };
  Add(name, "number", help, RangeText(range, FormatNumber), set,
      [value] { return ShortestDouble(*value); });
}

void OptionTable::AddDuration(absl::string_view name, int64_t* value_ms, absl::string_view help,
                              OptionRange range_ms) {
  auto set = [value_ms, range_ms](absl::string_view text) -> absl::Status {
    WHEELPIT_ASSIGN_OR_RETURN(const int64_t v, ParseDurationMs(text));
    WHEELPIT_RETURN_IF_ERROR(CheckRange(v, text, range_ms, FormatMs));
    *value_ms = v;
    return absl::OkStatus();
  };
  Add(name, "duration", help, RangeText(range_ms, FormatMs), set,
      [value_ms] { return FormatDurationMs(*value_ms); });
}

void OptionTable::AddSize(absl::string_view name, int64_t* value_bytes, absl::string_view help,
                          OptionRange range) {
  auto set = [value_bytes, range](absl::string_view text) -> absl::Status {
    WHEELPIT_ASSIGN_OR_RETURN(const int64_t v, ParseSize(text));
    WHEELPIT_RETURN_IF_ERROR(CheckRange(v, text, range, FormatBytes));
    *value_bytes = v;
    return absl::OkStatus();
  };
  Add(name, "size", help, RangeText(range, FormatBytes), set,
      [value_bytes] { return FormatSize(*value_bytes); });
}

void OptionTable::AddString(absl::string_view name, std::string* value, absl::string_view help) {
  auto set = [value](absl::string_view text) {
    *value = std::string(text);
    return absl::OkStatus();
  };
  Add(name, "string", help, "", set, [value] { return *value; });
}

void OptionTable::AddChoice(absl::string_view name, std::string* value,
                            std::vector<std::string> choices, absl::string_view help) {
  const std::string range = absl::StrJoin(choices, ", ");
  auto set = [value, range, choices = std::move(choices)](absl::string_view text) {
    if (std::find(choices.begin(), choices.end(), text) == choices.end())
      return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " must be one of ", range));
    *value = std::string(text);
    return absl::OkStatus();
  };
  Add(name, "choice", help, range, std::move(set), [value] { return *value; });
}

void OptionTable::AddList(absl::string_view name, std::vector<std::string>* value,
                          absl::string_view help) {
  auto set = [value](absl::string_view text) {
    value->emplace_back(text);
    return absl::OkStatus();
  };
  Add(name, "list", help, "", set, [value] { return absl::StrJoin(*value, ","); });
  options_.back().clear = [value] { value->clear(); };
}

OptionTable::Option* OptionTable::Find(absl::string_view name) {
  const std::string canonical = Canonical(name);
  for (Option& option : options_)
    if (option.name == canonical) return &option;
  return nullptr;
}

absl::Status OptionTable::Unknown(absl::string_view shown, absl::string_view name) const {
  const std::string nearest = Nearest(name);
  // A guess that has little in common with the word only misleads.
  const std::string word = Canonical(name);
  const bool alike = absl::StartsWith(nearest, word) ||
                     EditDistance(word, nearest) <= std::max<size_t>(1, word.size() / 2);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown option ", Quoted(shown),
                   alike ? absl::StrCat(": the nearest is ", nearest) : ""));
}

absl::Status OptionTable::Set(absl::string_view name, absl::string_view text, OptionOrigin origin) {
  Option* option = Find(name);
  if (option == nullptr) return Unknown(name, name);
  if (origin < option->origin) return absl::OkStatus();
  std::vector<std::string> values;
  if (option->clear != nullptr && origin == OptionOrigin::kEnvironment) {
    values = absl::StrSplit(text, ',', absl::SkipWhitespace());
  } else {
    values.emplace_back(text);
  }
  if (option->clear != nullptr && origin != option->origin) option->clear();
  for (const std::string& value : values) {
    const absl::Status set = option->set(value);
    if (!set.ok())
      return absl::InvalidArgumentError(absl::StrCat("option ", option->name, ": ", set.message()));
  }
  option->origin = origin;
  return absl::OkStatus();
}

absl::Status OptionTable::ParseFlags(const std::vector<std::string>& args,
                                     std::vector<std::string>* positional) {
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    if (arg == "--") {
      positional->insert(positional->end(), args.begin() + static_cast<ptrdiff_t>(i) + 1,
                         args.end());
      break;
    }
    if (!absl::ConsumePrefix(&arg, "--")) {
      positional->push_back(args[i]);
      continue;
    }
    const size_t equals = arg.find('=');
    const absl::string_view name = arg.substr(0, equals);
    const Option* option = Find(name);
    if (equals != absl::string_view::npos) {
      if (option == nullptr) return Unknown(absl::StrCat("--", name), name);
      WHEELPIT_RETURN_IF_ERROR(Set(name, arg.substr(equals + 1), OptionOrigin::kFlag));
      continue;
    }
    if (option == nullptr && absl::StartsWith(name, "no")) {
      absl::string_view negated = name.substr(2);
      while (!negated.empty() && (negated[0] == '-' || negated[0] == '_')) negated.remove_prefix(1);
      const Option* found = Find(negated);
      if (found != nullptr && found->is_bool) {
        WHEELPIT_RETURN_IF_ERROR(Set(negated, "false", OptionOrigin::kFlag));
        continue;
      }
    }
    if (option == nullptr) return Unknown(absl::StrCat("--", name), name);
    if (option->is_bool) {
      WHEELPIT_RETURN_IF_ERROR(Set(name, "true", OptionOrigin::kFlag));
      continue;
    }
    if (i + 1 == args.size())
      return absl::InvalidArgumentError(absl::StrCat("option ", option->name, ": value missing"));
    WHEELPIT_RETURN_IF_ERROR(Set(name, args[++i], OptionOrigin::kFlag));
  }
  return absl::OkStatus();
}

absl::Status OptionTable::ParseEnv(absl::string_view prefix,
                                   const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    absl::string_view name = absl::string_view(entry).substr(0, entry.find('='));
    const absl::string_view shown = name;
    if (!absl::ConsumePrefix(&name, prefix) || shown.size() == entry.size()) continue;
    if (Find(name) == nullptr) return Unknown(shown, name);
    WHEELPIT_RETURN_IF_ERROR(
        Set(name, absl::string_view(entry).substr(shown.size() + 1), OptionOrigin::kEnvironment));
  }
  return absl::OkStatus();
}

std::vector<OptionTable::Described> OptionTable::Describe() const {
  std::vector<Described> out;
  out.reserve(options_.size());
  for (const Option& o : options_)
    out.push_back({o.name, o.type, o.get(), o.default_value, o.range, o.help, o.origin});
  return out;
}

std::string OptionTable::Nearest(absl::string_view name) const {
  const std::string canonical = Canonical(name);
  std::string best;
  size_t best_distance = ~size_t{0};
  for (const Option& option : options_) {
    const size_t distance = EditDistance(canonical, option.name);
    if (distance < best_distance) {
      best_distance = distance;
      best = option.name;
    }
  }
  return best;
}

absl::StatusOr<int64_t> ParseDurationMs(absl::string_view text) {
  absl::Duration d;
  if (!absl::ParseDuration(text, &d) || d == absl::InfiniteDuration() ||
      d == -absl::InfiniteDuration())
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), " must be a duration such as 30s, 1m30s or 500ms"));
  const int64_t ms = absl::ToInt64Milliseconds(d);
  if (absl::Milliseconds(ms) != d)
    return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " must be whole milliseconds"));
  return ms;
}

std::string FormatDurationMs(int64_t ms) {
  return ms == 0 ? "0s" : absl::FormatDuration(absl::Milliseconds(ms));
}

absl::StatusOr<int64_t> ParseSize(absl::string_view text) {
  size_t digits = 0;
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.'))
    ++digits;
  absl::string_view unit = absl::StripLeadingAsciiWhitespace(text.substr(digits));
  absl::ConsumeSuffix(&unit, "B");
  double factor = 1;
  bool known = unit.empty();
  static constexpr absl::string_view kUnits = "kMGT";
  if (!unit.empty()) {
    const char letter = unit[0] == 'K' ? 'k' : unit[0];
    const size_t power = kUnits.find(letter);
    const bool binary = unit.size() == 2 && unit[1] == 'i';
    known = power != absl::string_view::npos && (unit.size() == 1 || binary);
    if (known) factor = std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  }
  double number = 0;
  if (!known || !absl::SimpleAtod(text.substr(0, digits), &number))
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), " must be a size such as 64MiB, 10k or 1000"));
  const double bytes = number * factor;
  if (bytes > kNoMax || bytes != std::floor(bytes))
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(text), " must be whole bytes, at most 9 PB"));
  return static_cast<int64_t>(bytes);
}

std::string FormatSize(int64_t bytes) {
  static constexpr absl::string_view kUnits[] = {"", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(bytes, kUnits[unit]);
}

absl::string_view OptionOriginName(OptionOrigin origin) {
  switch (origin) {
    case OptionOrigin::kDefault:
      return "default";
    case OptionOrigin::kFile:
      return "file";
    case OptionOrigin::kEnvironment:
      return "environment";
    case OptionOrigin::kFlag:
      return "flag";
  }
  return "default";
}

}  // namespace wheelpit
