// Go's text/template, as far as prometheus-adapter's queries need it, between `<<` and `>>`.
//
// Fields, variables, pipelines, parentheses, literals, if / else if / else, range (with else,
// break, continue), with, comments and the trim forms `<<- ` ` ->>`; the functions and, or, not,
// eq, ne, lt, le, gt, ge, index, len, slice, print, printf, println. An unknown function is an
// error of Parse, an unknown field one of Render, as in Go. Templates of templates are not known.
//
// Immutable after Parse, thread-safe.
//
//   WHEELPIT_ASSIGN_OR_RETURN(auto query, Template::Parse("sum(<<.Series>>{<<.LabelMatchers>>})"));
//   WHEELPIT_ASSIGN_OR_RETURN(std::string promql, query->Render(data));
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit::adapter {

// What a template computes with. A map's values are text, as in `.LabelValuesByName`.
class TemplateValue {
 public:
  struct NoValue {
    bool operator==(const NoValue&) const = default;
  };
  using List = std::vector<TemplateValue>;
  using Map = std::map<std::string, std::string>;
  // The data's own fields: reading one that is not there is an error, while a Map's missing key is
  // "no value".
  using Struct = std::map<std::string, TemplateValue>;

  TemplateValue() : value_(NoValue{}) {}
  explicit TemplateValue(bool value) : value_(value) {}
  explicit TemplateValue(int64_t value) : value_(value) {}
  explicit TemplateValue(double value) : value_(value) {}
  explicit TemplateValue(std::string value)
      : value_(std::make_shared<const std::string>(std::move(value))) {}
  explicit TemplateValue(List value) : value_(std::make_shared<const List>(std::move(value))) {}
  explicit TemplateValue(Map value) : value_(std::make_shared<const Map>(std::move(value))) {}
  explicit TemplateValue(Struct value) : value_(std::make_shared<const Struct>(std::move(value))) {}

  // Null if it is of another kind.
  template <typename T>
  const T* As() const {
    if constexpr (std::is_class_v<T> && !std::is_same_v<T, NoValue>) {
      const auto* shared = std::get_if<std::shared_ptr<const T>>(&value_);
      return shared == nullptr ? nullptr : shared->get();
    } else {
      return std::get_if<T>(&value_);
    }
  }

  // Go's truth: false, 0, "", empty and no value are false.
  bool Truth() const;
  // As `%v` prints it: `[a b]`, `map[k:v]`, `<no value>`.
  std::string Print() const;
  // For messages.
  absl::string_view KindName() const;

 private:
  std::variant<NoValue, bool, int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Map>,
               std::shared_ptr<const Struct>>
      value_;
};

namespace internal {
struct ListNode;
}

class Template {
 public:
  // kInvalidArgument with the line and what was found.
  static absl::StatusOr<std::shared_ptr<const Template>> Parse(absl::string_view text);
  ~Template();

  // `data` is the dot. kInvalidArgument: what cannot be evaluated, and where. Output beyond 1 MiB
  // is an error.
  absl::StatusOr<std::string> Render(const TemplateValue& data) const;

 private:
  Template();
  std::unique_ptr<const internal::ListNode> root_;
};

}  // namespace wheelpit::adapter
