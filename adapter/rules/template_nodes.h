// The tree between template_parser.cc and template.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapter/rules/template.h"

namespace wheelpit::adapter::internal {

struct Pipeline;

// What an argument starts from; `fields` are then read from it one after the other.
struct Operand {
  enum class Kind { kDot, kVariable, kLiteral, kNil, kFunction, kPipeline };
  Kind kind = Kind::kDot;
  // Of a variable (with its $) or function.
  std::string name;
  TemplateValue literal;
  std::unique_ptr<Pipeline> pipeline;
  std::vector<std::string> fields;
  int line = 1;
};

struct Command {
  std::vector<Operand> operands;
};

struct Pipeline {
  // `$x :=`, `$i, $x :=` or `$x =`.
  std::vector<std::string> variables;
  bool assigns = false;
  std::vector<Command> commands;
  int line = 1;
};

struct Node;
struct ListNode {
  std::vector<Node> nodes;
};

struct Node {
  enum class Kind { kText, kAction, kIf, kRange, kWith, kBreak, kContinue };
  Kind kind = Kind::kText;
  std::string text;
  Pipeline pipeline;
  ListNode body;
  ListNode otherwise;
};

absl::StatusOr<std::unique_ptr<const ListNode>> ParseTemplate(absl::string_view text);
bool IsTemplateFunction(absl::string_view name);

}  // namespace wheelpit::adapter::internal
