#include "adapter/rules/template.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapter/naming/go_text.h"
#include "adapter/rules/template_functions.h"
#include "adapter/rules/template_nodes.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr size_t kOutputBytesMax = 1 << 20;

// strconv's %v: the shortest text that reads back, in exponent form below 1e-4 and from 1e21 on.
std::string PrintDouble(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  const double magnitude = std::fabs(value);
  const bool exponent = magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e21);
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value,
                    exponent ? std::chars_format::scientific : std::chars_format::fixed);
  return std::string(buffer, end.ptr);
}

using internal::Command;
using internal::ListNode;
using internal::Node;
using internal::Operand;
using internal::Pipeline;

absl::Status At(int line, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat("template line ", line, ": ", status.message()));
}

class Execution {
 public:
  Execution(const TemplateValue& data, std::string* out) : out_(*out) {
    variables_.emplace_back("$", data);
  }

  absl::Status List(const ListNode& list, const TemplateValue& dot) {
    for (const Node& node : list.nodes) {
      WHEELPIT_RETURN_IF_ERROR(One(node, dot));
      if (jump_ != Jump::kNone) break;
    }
    return absl::OkStatus();
  }

 private:
  enum class Jump { kNone, kBreak, kContinue };

  absl::Status Write(absl::string_view text) {
    if (out_.size() + text.size() > kOutputBytesMax)
      return absl::InvalidArgumentError("template: output exceeds 1 MiB");
    absl::StrAppend(&out_, text);
    return absl::OkStatus();
  }

  absl::Status One(const Node& node, const TemplateValue& dot) {
    switch (node.kind) {
      case Node::Kind::kText:
        return Write(node.text);
      case Node::Kind::kBreak:
        jump_ = Jump::kBreak;
        return absl::OkStatus();
      case Node::Kind::kContinue:
        jump_ = Jump::kContinue;
        return absl::OkStatus();
      case Node::Kind::kAction: {
        WHEELPIT_ASSIGN_OR_RETURN(const TemplateValue value,
                                  Evaluate(node.pipeline, dot, /*set=*/true));
        return node.pipeline.variables.empty() ? Write(value.Print()) : absl::OkStatus();
      }
      case Node::Kind::kIf:
      case Node::Kind::kWith: {
        const size_t outer = variables_.size();
        WHEELPIT_ASSIGN_OR_RETURN(const TemplateValue value,
                                  Evaluate(node.pipeline, dot, /*set=*/true));
        const bool with = node.kind == Node::Kind::kWith;
        const absl::Status status =
            value.Truth() ? List(node.body, with ? value : dot) : List(node.otherwise, dot);
        variables_.resize(outer);
        return status;
      }
      case Node::Kind::kRange:
        return Range(node, dot);
    }
    return absl::OkStatus();
  }

  absl::Status Range(const Node& node, const TemplateValue& dot) {
    const size_t outer = variables_.size();
    WHEELPIT_ASSIGN_OR_RETURN(const TemplateValue value,
                              Evaluate(node.pipeline, dot, /*set=*/false));
    std::vector<std::pair<TemplateValue, TemplateValue>> items;
    if (const auto* list = value.As<TemplateValue::List>()) {
      for (size_t i = 0; i < list->size(); ++i)
        items.emplace_back(TemplateValue(static_cast<int64_t>(i)), (*list)[i]);
    } else if (const auto* map = value.As<TemplateValue::Map>()) {
      for (const auto& [key, text] : *map)
        items.emplace_back(TemplateValue(key), TemplateValue(text));
    } else if (value.As<TemplateValue::NoValue>() == nullptr) {
      return At(node.pipeline.line, absl::InvalidArgumentError(
                                        absl::StrCat("range can't iterate over ", value.Print())));
    }
    if (items.empty()) return List(node.otherwise, dot);
    const std::vector<std::string>& names = node.pipeline.variables;
    for (const auto& [key, item] : items) {
      // One variable is the element; two are index (or key) and element.
      if (names.size() == 1) Set(names[0], item, node.pipeline.assigns);
      if (names.size() == 2) {
        Set(names[0], key, node.pipeline.assigns);
        Set(names[1], item, node.pipeline.assigns);
      }
      const absl::Status status = List(node.body, item);
      variables_.resize(outer);
      if (!status.ok()) return status;
      const Jump jump = std::exchange(jump_, Jump::kNone);
      if (jump == Jump::kBreak) break;
    }
    return absl::OkStatus();
  }

  void Set(const std::string& name, const TemplateValue& value, bool assigns) {
    if (assigns) {
      for (auto it = variables_.rbegin(); it != variables_.rend(); ++it) {
        if (it->first == name) {
          it->second = value;
          return;
        }
      }
    }
    variables_.emplace_back(name, value);
  }

  absl::StatusOr<TemplateValue> Evaluate(const Pipeline& pipeline, const TemplateValue& dot,
                                         bool set) {
    std::optional<TemplateValue> value;
    for (const Command& command : pipeline.commands) {
      WHEELPIT_ASSIGN_OR_RETURN(value, Run(command, dot, value));
    }
    if (set) {
      for (const std::string& name : pipeline.variables) Set(name, *value, pipeline.assigns);
    }
    return *value;
  }

  // `last` is what the pipeline gave so far: the final argument.
  absl::StatusOr<std::optional<TemplateValue>> Run(const Command& command, const TemplateValue& dot,
                                                   const std::optional<TemplateValue>& last) {
    const Operand& first = command.operands[0];
    if (first.kind != Operand::Kind::kFunction) {
      WHEELPIT_ASSIGN_OR_RETURN(TemplateValue value, Value(first, dot));
      return value;
    }
    std::vector<TemplateValue> args;
    const bool short_circuit = first.name == "and" || first.name == "or";
    for (size_t i = 1; i < command.operands.size(); ++i) {
      WHEELPIT_ASSIGN_OR_RETURN(TemplateValue arg, Value(command.operands[i], dot));
      args.push_back(std::move(arg));
      // The first that decides ends it, so that the rest may be what would be an error.
      if (short_circuit && args.back().Truth() == (first.name == "or")) return args.back();
    }
    if (last.has_value()) args.push_back(*last);
    absl::StatusOr<TemplateValue> value = internal::CallTemplateFunction(first.name, args);
    if (!value.ok()) return At(first.line, value.status());
    return Fields(*std::move(value), first);
  }

  absl::StatusOr<TemplateValue> Value(const Operand& operand, const TemplateValue& dot) {
    switch (operand.kind) {
      case Operand::Kind::kDot:
        return Fields(dot, operand);
      case Operand::Kind::kLiteral:
        return Fields(operand.literal, operand);
      case Operand::Kind::kNil:
        return TemplateValue();
      case Operand::Kind::kVariable:
        for (auto it = variables_.rbegin(); it != variables_.rend(); ++it) {
          if (it->first == operand.name) return Fields(it->second, operand);
        }
        return At(operand.line,
                  absl::InvalidArgumentError(absl::StrCat("undefined variable ", operand.name)));
      case Operand::Kind::kFunction: {
        absl::StatusOr<TemplateValue> value = internal::CallTemplateFunction(operand.name, {});
        if (!value.ok()) return At(operand.line, value.status());
        return Fields(*std::move(value), operand);
      }
      case Operand::Kind::kPipeline: {
        const size_t outer = variables_.size();
        WHEELPIT_ASSIGN_OR_RETURN(TemplateValue value,
                                  Evaluate(*operand.pipeline, dot, /*set=*/true));
        variables_.resize(outer);
        return Fields(std::move(value), operand);
      }
    }
    return TemplateValue();
  }

  static absl::StatusOr<TemplateValue> Fields(TemplateValue value, const Operand& operand) {
    for (const std::string& field : operand.fields) {
      if (const auto* map = value.As<TemplateValue::Map>()) {
        const auto it = map->find(field);
        value = it == map->end() ? TemplateValue() : TemplateValue(it->second);
        continue;
      }
      const auto* fields = value.As<TemplateValue::Struct>();
      const auto it =
          fields == nullptr ? TemplateValue::Struct::const_iterator() : fields->find(field);
      if (fields == nullptr || it == fields->end()) {
        return At(operand.line,
                  absl::InvalidArgumentError(
                      absl::StrCat("can't evaluate field ", field, " in type ", value.KindName())));
      }
      TemplateValue next = it->second;
      value = std::move(next);
    }
    return value;
  }

  std::string& out_;
  std::vector<std::pair<std::string, TemplateValue>> variables_;
  Jump jump_ = Jump::kNone;
};

}  // namespace

bool TemplateValue::Truth() const {
  if (const bool* value = As<bool>()) return *value;
  if (const int64_t* value = As<int64_t>()) return *value != 0;
  if (const double* value = As<double>()) return *value != 0;
  if (const std::string* value = As<std::string>()) return !value->empty();
  if (const List* value = As<List>()) return !value->empty();
  if (const Map* value = As<Map>()) return !value->empty();
  return As<Struct>() != nullptr;
}

std::string TemplateValue::Print() const {
  if (const bool* value = As<bool>()) return *value ? "true" : "false";
  if (const int64_t* value = As<int64_t>()) return absl::StrCat(*value);
  if (const double* value = As<double>()) return PrintDouble(*value);
  if (const std::string* value = As<std::string>()) return *value;
  std::string out;
  if (const List* value = As<List>()) {
    for (const TemplateValue& item : *value)
      absl::StrAppend(&out, out.empty() ? "[" : " ", item.Print());
    return absl::StrCat(out.empty() ? "[" : out, "]");
  }
  if (const Map* value = As<Map>()) {
    for (const auto& [key, text] : *value)
      absl::StrAppend(&out, out.empty() ? "map[" : " ", key, ":", text);
    return absl::StrCat(out.empty() ? "map[" : out, "]");
  }
  if (const Struct* value = As<Struct>()) {
    for (const auto& [key, field] : *value)
      absl::StrAppend(&out, out.empty() ? "{" : " ", field.Print());
    return absl::StrCat(out.empty() ? "{" : out, "}");
  }
  return "<no value>";
}

absl::string_view TemplateValue::KindName() const {
  if (As<bool>() != nullptr) return "bool";
  if (As<int64_t>() != nullptr) return "int";
  if (As<double>() != nullptr) return "float64";
  if (As<std::string>() != nullptr) return "string";
  if (As<List>() != nullptr) return "[]string";
  if (As<Map>() != nullptr) return "map[string]string";
  if (As<Struct>() != nullptr) return "the rule's data";
  return "nil";
}

Template::Template() = default;
Template::~Template() = default;

absl::StatusOr<std::shared_ptr<const Template>> Template::Parse(absl::string_view text) {
  auto parsed = std::shared_ptr<Template>(new Template());
  WHEELPIT_ASSIGN_OR_RETURN(parsed->root_, internal::ParseTemplate(text));
  return parsed;
}

absl::StatusOr<std::string> Template::Render(const TemplateValue& data) const {
  std::string out;
  WHEELPIT_RETURN_IF_ERROR(Execution(data, &out).List(*root_, data));
  return out;
}

}  // namespace wheelpit::adapter
