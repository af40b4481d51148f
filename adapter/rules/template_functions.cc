#include "adapter/rules/template_functions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "adapter/naming/go_text.h"
#include "adapter/rules/template_nodes.h"
#include "base/status_macros.h"

namespace wheelpit::adapter::internal {
namespace {

absl::Status Error(absl::string_view name, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("error calling ", name, ": ", message));
}

absl::Status WantArgs(absl::string_view name, const std::vector<TemplateValue>& args, size_t least,
                      size_t most) {
  if (args.size() >= least && args.size() <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "wrong number of args for ", name, ": want ", args.size() < least ? "at least " : "at most ",
      args.size() < least ? least : most, " got ", args.size()));
}

// -1, 0, 1; nothing if the kinds cannot be compared. Integers and floats do not mix, as in Go.
std::optional<int> Compare(const TemplateValue& a, const TemplateValue& b) {
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  if (a.As<int64_t>() && b.As<int64_t>()) return order(*a.As<int64_t>(), *b.As<int64_t>());
  if (a.As<double>() && b.As<double>()) return order(*a.As<double>(), *b.As<double>());
  if (a.As<std::string>() && b.As<std::string>())
    return order(*a.As<std::string>(), *b.As<std::string>());
  if (a.As<bool>() && b.As<bool>()) return order(*a.As<bool>(), *b.As<bool>());
  return std::nullopt;
}

absl::StatusOr<TemplateValue> Comparison(absl::string_view name,
                                         const std::vector<TemplateValue>& args) {
  WHEELPIT_RETURN_IF_ERROR(WantArgs(name, args, 2, name == "eq" ? SIZE_MAX : 2));
  for (size_t i = 1; i < args.size(); ++i) {
    const bool ordering = name != "eq" && name != "ne";
    if (ordering && args[0].As<bool>() != nullptr)
      return Error(name, "invalid type for comparison");
    const std::optional<int> order = Compare(args[0], args[i]);
    if (!order.has_value()) return Error(name, "incompatible types for comparison");
    if (name == "eq" && *order == 0) return TemplateValue(true);
    if (name == "ne") return TemplateValue(*order != 0);
    if (name == "lt") return TemplateValue(*order < 0);
    if (name == "le") return TemplateValue(*order <= 0);
    if (name == "gt") return TemplateValue(*order > 0);
    if (name == "ge") return TemplateValue(*order >= 0);
  }
  return TemplateValue(false);
}

absl::StatusOr<TemplateValue> Index(const std::vector<TemplateValue>& args) {
  WHEELPIT_RETURN_IF_ERROR(WantArgs("index", args, 1, SIZE_MAX));
  TemplateValue value = args[0];
  for (size_t i = 1; i < args.size(); ++i) {
    if (const auto* map = value.As<TemplateValue::Map>()) {
      const std::string* key = args[i].As<std::string>();
      if (key == nullptr)
        return Error("index",
                     absl::StrCat("value has type ", args[i].KindName(), "; should be string"));
      const auto it = map->find(*key);
      value = TemplateValue(it == map->end() ? std::string() : it->second);
      continue;
    }
    const int64_t* at = args[i].As<int64_t>();
    const auto* list = value.As<TemplateValue::List>();
    const std::string* text = value.As<std::string>();
    if (list == nullptr && text == nullptr)
      return Error("index", absl::StrCat("can't index item of type ", value.KindName()));
    if (at == nullptr)
      return Error("index",
                   absl::StrCat("cannot index slice/array with type ", args[i].KindName()));
    const size_t size = list != nullptr ? list->size() : text->size();
    if (*at < 0 || static_cast<size_t>(*at) >= size)
      return Error("index", absl::StrCat("index out of range: ", *at));
    const auto index = static_cast<size_t>(*at);
    value = list != nullptr
                ? TemplateValue((*list)[index])
                : TemplateValue(static_cast<int64_t>(static_cast<unsigned char>((*text)[index])));
  }
  return value;
}

absl::StatusOr<TemplateValue> Slice(const std::vector<TemplateValue>& args) {
  WHEELPIT_RETURN_IF_ERROR(WantArgs("slice", args, 1, 3));
  const auto* list = args[0].As<TemplateValue::List>();
  const std::string* text = args[0].As<std::string>();
  if (list == nullptr && text == nullptr)
    return Error("slice", absl::StrCat("can't slice item of type ", args[0].KindName()));
  const size_t size = list != nullptr ? list->size() : text->size();
  std::array<size_t, 2> bounds = {0, size};
  for (size_t i = 1; i < args.size(); ++i) {
    const int64_t* at = args[i].As<int64_t>();
    if (at == nullptr)
      return Error("slice",
                   absl::StrCat("cannot index slice/array with type ", args[i].KindName()));
    if (*at < 0 || static_cast<size_t>(*at) > size)
      return Error("slice", absl::StrCat("index out of range: ", *at));
    bounds[i - 1] = static_cast<size_t>(*at);
  }
  const auto [first, last] = bounds;
  if (first > last)
    return Error("slice", absl::StrCat("invalid slice index: ", first, " > ", last));
  if (text != nullptr) return TemplateValue(text->substr(first, last - first));
  return TemplateValue(TemplateValue::List(list->begin() + static_cast<ptrdiff_t>(first),
                                           list->begin() + static_cast<ptrdiff_t>(last)));
}

absl::StatusOr<TemplateValue> Length(const std::vector<TemplateValue>& args) {
  WHEELPIT_RETURN_IF_ERROR(WantArgs("len", args, 1, 1));
  if (const auto* text = args[0].As<std::string>())
    return TemplateValue(static_cast<int64_t>(text->size()));
  if (const auto* list = args[0].As<TemplateValue::List>())
    return TemplateValue(static_cast<int64_t>(list->size()));
  if (const auto* map = args[0].As<TemplateValue::Map>())
    return TemplateValue(static_cast<int64_t>(map->size()));
  return Error("len", absl::StrCat("len of type ", args[0].KindName()));
}

// fmt.Sprint puts a blank between two operands when neither is text; Sprintln always.
std::string Sprint(const std::vector<TemplateValue>& args, bool line) {
  std::string out;
  for (size_t i = 0; i < args.size(); ++i) {
    const bool text =
        args[i].As<std::string>() != nullptr || (i > 0 && args[i - 1].As<std::string>() != nullptr);
    if (i > 0 && (line || !text)) out += ' ';
    out += args[i].Print();
  }
  if (line) out += '\n';
  return out;
}

struct Verb {
  std::string flags;
  std::optional<int> width, precision;
  char letter = 'v';
};

std::string Pad(std::string text, const Verb& verb) {
  const auto width = static_cast<size_t>(std::clamp(verb.width.value_or(0), 0, 10000));
  if (text.size() >= width) return text;
  const std::string blanks(width - text.size(), ' ');
  return verb.flags.find('-') != std::string::npos ? text + blanks : blanks + text;
}

std::string FormatNumber(const Verb& verb, absl::string_view length, auto value) {
  std::string format = absl::StrCat("%", verb.flags);
  if (verb.width.has_value()) absl::StrAppend(&format, std::min(*verb.width, 10000));
  if (verb.precision.has_value()) absl::StrAppend(&format, ".", std::min(*verb.precision, 1000));
  absl::StrAppend(&format, length, std::string(1, verb.letter));
  std::array<char, 12000> buffer;
// The format is put together above from checked parts.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const int n = std::snprintf(buffer.data(), buffer.size(), format.c_str(), value);
#pragma GCC diagnostic pop
  return std::string(buffer.data(),
                     static_cast<size_t>(std::clamp(n, 0, static_cast<int>(buffer.size()) - 1)));
}

std::string FormatOne(const Verb& verb, const TemplateValue& value) {
  const std::string* text = value.As<std::string>();
  if (verb.letter == 'v' || (verb.letter == 's' && value.As<int64_t>() == nullptr &&
                             value.As<double>() == nullptr && value.As<bool>() == nullptr)) {
    std::string out = value.Print();
    if (text != nullptr && verb.precision.has_value())
      out = out.substr(0, static_cast<size_t>(std::max(*verb.precision, 0)));
    return Pad(std::move(out), verb);
  }
  if (verb.letter == 'q' && text != nullptr) return Pad(GoQuote(*text), verb);
  if (verb.letter == 't' && value.As<bool>() != nullptr) return Pad(value.Print(), verb);
  if (verb.letter == 'c' && value.As<int64_t>() != nullptr)
    return Pad(std::string(1, static_cast<char>(*value.As<int64_t>())), verb);
  if (const int64_t* integer = value.As<int64_t>();
      integer != nullptr &&
      absl::string_view("dxXo").find(verb.letter) != absl::string_view::npos) {
    const bool negative_hex = verb.letter != 'd' && *integer < 0;
    if (!negative_hex) return FormatNumber(verb, "ll", static_cast<long long>(*integer));
  }
  if (const double* number = value.As<double>();
      number != nullptr &&
      absl::string_view("feEgG").find(verb.letter) != absl::string_view::npos) {
    if (verb.letter == 'g' && !verb.precision.has_value()) return Pad(value.Print(), verb);
    return FormatNumber(verb, "", *number);
  }
  if (verb.letter == 'x' && text != nullptr) {
    std::string hex;
    for (unsigned char c : *text) absl::StrAppend(&hex, absl::Hex(c, absl::kZeroPad2));
    return Pad(hex, verb);
  }
  return absl::StrCat("%!", std::string(1, verb.letter), "(", value.KindName(), "=", value.Print(),
                      ")");
}

std::optional<int> TakeInt(absl::string_view* rest) {
  std::optional<int> number;
  while (!rest->empty() && absl::ascii_isdigit(static_cast<unsigned char>((*rest)[0]))) {
    number = std::min(number.value_or(0) * 10 + ((*rest)[0] - '0'), 1000000);
    rest->remove_prefix(1);
  }
  return number;
}

}  // namespace

bool IsTemplateFunction(absl::string_view name) {
  static constexpr absl::string_view kNames[] = {"and", "or",    "not",   "eq",     "ne",
                                                 "lt",  "le",    "gt",    "ge",     "index",
                                                 "len", "slice", "print", "printf", "println"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

std::string GoSprintf(absl::string_view format, const std::vector<TemplateValue>& args) {
  std::string out;
  size_t next = 0;
  while (!format.empty()) {
    const size_t percent = format.find('%');
    absl::StrAppend(&out, format.substr(0, percent));
    if (percent == absl::string_view::npos) break;
    format.remove_prefix(percent + 1);
    Verb verb;
    while (!format.empty() &&
           absl::string_view("+-# 0").find(format[0]) != absl::string_view::npos) {
      verb.flags += format[0];
      format.remove_prefix(1);
    }
    verb.width = TakeInt(&format);
    if (!format.empty() && format[0] == '.') {
      format.remove_prefix(1);
      verb.precision = TakeInt(&format).value_or(0);
    }
    if (format.empty()) return out + "%!(NOVERB)";
    verb.letter = format[0];
    format.remove_prefix(1);
    if (verb.letter == '%') {
      out += '%';
    } else if (next == args.size()) {
      absl::StrAppend(&out, "%!", std::string(1, verb.letter), "(MISSING)");
    } else {
      out += FormatOne(verb, args[next++]);
    }
  }
  if (next < args.size()) {
    out += "%!(EXTRA ";
    for (size_t i = next; i < args.size(); ++i) {
      absl::StrAppend(&out, i > next ? ", " : "", args[i].KindName(), "=", args[i].Print());
    }
    out += ")";
  }
  return out;
}

absl::StatusOr<TemplateValue> CallTemplateFunction(absl::string_view name,
                                                   const std::vector<TemplateValue>& args) {
  if (name == "and" || name == "or") {
    WHEELPIT_RETURN_IF_ERROR(WantArgs(name, args, 1, SIZE_MAX));
    for (const TemplateValue& arg : args) {
      if (arg.Truth() == (name == "or")) return arg;
    }
    return args.back();
  }
  if (name == "not") {
    WHEELPIT_RETURN_IF_ERROR(WantArgs(name, args, 1, 1));
    return TemplateValue(!args[0].Truth());
  }
  if (name == "index") return Index(args);
  if (name == "slice") return Slice(args);
  if (name == "len") return Length(args);
  if (name == "print") return TemplateValue(Sprint(args, /*line=*/false));
  if (name == "println") return TemplateValue(Sprint(args, /*line=*/true));
  if (name == "printf") {
    WHEELPIT_RETURN_IF_ERROR(WantArgs(name, args, 1, SIZE_MAX));
    const std::string* format = args[0].As<std::string>();
    if (format == nullptr)
      return Error(name,
                   absl::StrCat("wrong type for value; expected string; got ", args[0].KindName()));
    return TemplateValue(
        GoSprintf(*format, std::vector<TemplateValue>(args.begin() + 1, args.end())));
  }
  return Comparison(name, args);
}

}  // namespace wheelpit::adapter::internal
