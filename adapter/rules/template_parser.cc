// From text to the tree: first text and tokens, then nodes by recursive descent.

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "adapter/naming/go_text.h"
#include "adapter/rules/template_nodes.h"
#include "base/status_macros.h"

namespace wheelpit::adapter::internal {
namespace {

constexpr absl::string_view kOpenText = "<<";
constexpr absl::string_view kCloseText = ">>";
constexpr absl::string_view kBlanks = " \t\r\n";
// Parentheses and blocks nest by recursion: a bound keeps hostile text off the stack.
constexpr int kDepthMax = 100;

struct Token {
  enum class Kind {
    kText,
    kOpen,
    kClose,
    kSpace,
    kWord,
    kField,
    kVariable,
    kDot,
    kString,
    kNumber,
    kDeclare,
    kAssign,
    kComma,
    kPipe,
    kParen,
    kThesis,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;
  int line = 1;
};

absl::Status ErrorAt(int line, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("template line ", line, ": ", message));
}

bool IsWordByte(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

class Scanner {
 public:
  explicit Scanner(absl::string_view text) : rest_(text) {}

  absl::StatusOr<std::vector<Token>> Scan() {
    bool trim_next = false;
    while (!rest_.empty()) {
      WHEELPIT_ASSIGN_OR_RETURN(trim_next, Text(trim_next));
    }
    Add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void Add(Token::Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text), line_});
  }

  void Skip(size_t n) {
    line_ += static_cast<int>(
        std::count(rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(n), '\n'));
    rest_.remove_prefix(n);
  }

  // Text up to the next action and that action. Returns whether the text after it is to be trimmed.
  absl::StatusOr<bool> Text(bool trim_left) {
    const size_t open = rest_.find(kOpenText);
    absl::string_view text = rest_.substr(0, open);
    const bool more = open != absl::string_view::npos;
    const bool trims = more && rest_.size() > open + 3 && rest_[open + 2] == '-' &&
                       kBlanks.find(rest_[open + 3]) != absl::string_view::npos;
    if (trim_left) text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (trims) text = text.substr(0, text.find_last_not_of(kBlanks) + 1);
    if (!text.empty()) Add(Token::Kind::kText, std::string(text));
    if (!more) {
      Skip(rest_.size());
      return false;
    }
    Skip(open + kOpenText.size() + (trims ? 2 : 0));
    if (absl::StartsWith(rest_, "/*")) return Comment();
    Add(Token::Kind::kOpen, std::string(kOpenText));
    return Action();
  }

  // A comment is an action of its own: `<</* … */>>`.
  absl::StatusOr<bool> Comment() {
    const size_t end = rest_.find("*/");
    if (end == absl::string_view::npos) return ErrorAt(line_, "unclosed comment");
    Skip(end + 2);
    const bool trims =
        rest_.size() > 1 && kBlanks.find(rest_[0]) != absl::string_view::npos && rest_[1] == '-';
    if (trims) Skip(2);
    if (!absl::StartsWith(rest_, kCloseText))
      return ErrorAt(line_, "comment ends before closing delimiter");
    Skip(kCloseText.size());
    return trims;
  }

  absl::StatusOr<bool> Action() {
    while (true) {
      if (rest_.empty()) return ErrorAt(line_, "unclosed action");
      const bool trims = kBlanks.find(rest_[0]) != absl::string_view::npos &&
                         absl::StartsWith(rest_.substr(1), "->>");
      if (trims || absl::StartsWith(rest_, kCloseText)) {
        Skip(kCloseText.size() + (trims ? 2 : 0));
        Add(Token::Kind::kClose, std::string(kCloseText));
        return trims;
      }
      WHEELPIT_RETURN_IF_ERROR(InsideToken());
    }
  }

  absl::Status InsideToken() {
    const char c = rest_[0];
    const auto take = [&](Token::Kind kind, size_t n) {
      Add(kind, std::string(rest_.substr(0, n)));
      Skip(n);
      return absl::OkStatus();
    };
    const auto word = [&](size_t from) {
      size_t end = from;
      while (end < rest_.size() && IsWordByte(rest_[end])) ++end;
      return end;
    };
    if (kBlanks.find(c) != absl::string_view::npos) {
      // The blank before `->>` belongs to the delimiter.
      size_t end = rest_.find_first_not_of(kBlanks);
      end = std::min(end, rest_.size());
      if (end > 1 && absl::StartsWith(rest_.substr(end), "->>")) --end;
      return take(Token::Kind::kSpace, end);
    }
    if (absl::StartsWith(rest_, ":=")) return take(Token::Kind::kDeclare, 2);
    switch (c) {
      case '=':
        return take(Token::Kind::kAssign, 1);
      case ',':
        return take(Token::Kind::kComma, 1);
      case '|':
        return take(Token::Kind::kPipe, 1);
      case '(':
        return take(Token::Kind::kParen, 1);
      case ')':
        return take(Token::Kind::kThesis, 1);
      case '"':
      case '`':
      case '\'':
        return Quoted();
      case '$':
        return take(Token::Kind::kVariable, word(1));
      default:
        break;
    }
    const auto digit = [&](size_t i) {
      return i < rest_.size() && absl::ascii_isdigit(static_cast<unsigned char>(rest_[i]));
    };
    if (digit(0) ||
        ((c == '+' || c == '-') && (digit(1) || (rest_.size() > 1 && rest_[1] == '.'))) ||
        (c == '.' && digit(1))) {
      return Number();
    }
    if (c == '.') {
      const size_t end = word(1);
      if (end == 1) return take(Token::Kind::kDot, 1);
      return take(Token::Kind::kField, end);
    }
    if (const size_t end = word(0); end > 0) return take(Token::Kind::kWord, end);
    return ErrorAt(line_, absl::StrCat("unexpected ", GoQuote(rest_.substr(0, 1)), " in action"));
  }

  absl::Status Number() {
    size_t end = 1;
    while (end < rest_.size()) {
      const bool exponent_sign = (rest_[end] == '+' || rest_[end] == '-') &&
                                 (rest_[end - 1] == 'e' || rest_[end - 1] == 'E');
      if (!IsWordByte(rest_[end]) && rest_[end] != '.' && !exponent_sign) break;
      ++end;
    }
    Add(Token::Kind::kNumber, std::string(rest_.substr(0, end)));
    Skip(end);
    return absl::OkStatus();
  }

  // Strings "…" with Go's escapes, raw strings `…`, characters '…' (a number).
  absl::Status Quoted() {
    const char quote = rest_[0];
    std::string out;
    size_t i = 1;
    for (; i < rest_.size() && rest_[i] != quote; ++i) {
      if (rest_[i] == '\n' && quote != '`') return ErrorAt(line_, "unterminated quoted string");
      if (rest_[i] != '\\' || quote == '`') {
        out += rest_[i];
        continue;
      }
      if (++i == rest_.size()) break;
      const size_t which = absl::string_view("abfnrtv\\\"'").find(rest_[i]);
      if (which == absl::string_view::npos) {
        WHEELPIT_RETURN_IF_ERROR(HexEscape(&i, &out));
      } else {
        out += "\a\b\f\n\r\t\v\\\"'"[which];
      }
    }
    if (i >= rest_.size()) return ErrorAt(line_, "unterminated quoted string");
    if (quote == '\'') {
      if (out.size() != 1)
        return ErrorAt(line_, absl::StrCat("malformed character constant '", out, "'"));
      Add(Token::Kind::kNumber, absl::StrCat(static_cast<int>(static_cast<unsigned char>(out[0]))));
    } else {
      Add(Token::Kind::kString, std::move(out));
    }
    Skip(i + 1);
    return absl::OkStatus();
  }

  // \x41; `i` stands on the letter and ends on the last digit.
  absl::Status HexEscape(size_t* i, std::string* out) {
    if (rest_[*i] != 'x' || rest_.size() < *i + 3)
      return ErrorAt(line_, "unknown escape sequence in string");
    int value = 0;
    if (!absl::SimpleHexAtoi(rest_.substr(*i + 1, 2), &value))
      return ErrorAt(line_, "unknown escape sequence in string");
    *out += static_cast<char>(value);
    *i += 2;
    return absl::OkStatus();
  }

  absl::string_view rest_;
  int line_ = 1;
  std::vector<Token> tokens_;
};

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  absl::StatusOr<std::unique_ptr<const ListNode>> Parse() {
    auto root = std::make_unique<ListNode>();
    std::string stop;
    WHEELPIT_RETURN_IF_ERROR(List(root.get(), &stop));
    if (!stop.empty()) return ErrorAt(line_, absl::StrCat("unexpected {{", stop, "}}"));
    return root;
  }

 private:
  const Token& Peek() const { return tokens_[std::min(position_, tokens_.size() - 1)]; }
  const Token& Take() {
    const Token& token = Peek();
    ++position_;
    line_ = token.line;
    return token;
  }
  bool Accept(Token::Kind kind) {
    if (Peek().kind != kind) return false;
    Take();
    return true;
  }
  void Blank() {
    while (Accept(Token::Kind::kSpace)) {
    }
  }
  absl::Status Unexpected(const Token& token, absl::string_view where) const {
    const bool end = token.kind == Token::Kind::kClose || token.kind == Token::Kind::kEnd;
    return ErrorAt(
        token.line,
        absl::StrCat("unexpected ", end ? "end of action" : GoQuote(token.text), " in ", where));
  }
  absl::Status Close(absl::string_view where) {
    Blank();
    if (const Token& token = Take(); token.kind != Token::Kind::kClose)
      return Unexpected(token, where);
    return absl::OkStatus();
  }

  // Nodes up to the end or an `else` or `end` action, whose word goes to `stop`; after `else`, the
  // rest of its action is unread.
  absl::Status List(ListNode* list, std::string* stop) {
    stop->clear();
    while (Peek().kind != Token::Kind::kEnd) {
      const Token& token = Take();
      if (token.kind == Token::Kind::kText) {
        Node node;
        node.text = token.text;
        list->nodes.push_back(std::move(node));
        continue;
      }
      Blank();
      if (Peek().kind == Token::Kind::kWord && (Peek().text == "end" || Peek().text == "else")) {
        *stop = Take().text;
        return *stop == "end" ? Close("end") : absl::OkStatus();
      }
      WHEELPIT_RETURN_IF_ERROR(Action(list));
    }
    return absl::OkStatus();
  }

  absl::Status Action(ListNode* list) {
    Node node;
    const std::string word = Peek().kind == Token::Kind::kWord ? Peek().text : "";
    if (word == "if" || word == "range" || word == "with") {
      Take();
      node.kind = word == "if"      ? Node::Kind::kIf
                  : word == "range" ? Node::Kind::kRange
                                    : Node::Kind::kWith;
      WHEELPIT_RETURN_IF_ERROR(Control(word, &node));
    } else if (word == "break" || word == "continue") {
      Take();
      if (range_depth_ == 0)
        return ErrorAt(line_, absl::StrCat("{{", word, "}} outside {{range}}"));
      node.kind = word == "break" ? Node::Kind::kBreak : Node::Kind::kContinue;
      WHEELPIT_RETURN_IF_ERROR(Close(word));
    } else if (word == "define" || word == "template" || word == "block") {
      return ErrorAt(line_, absl::StrCat("{{", word, "}} is not supported in rules"));
    } else {
      node.kind = Node::Kind::kAction;
      WHEELPIT_RETURN_IF_ERROR(ParsePipeline("command", /*range=*/false, &node.pipeline));
      WHEELPIT_RETURN_IF_ERROR(Close("command"));
    }
    list->nodes.push_back(std::move(node));
    return absl::OkStatus();
  }

  // What follows `if`, `range` or `with`, to its `end`.
  absl::Status Control(const std::string& word, Node* node) {
    if (++depth_ > kDepthMax) return ErrorAt(line_, "nests too deeply");
    const size_t outer_variables = variables_.size();
    const bool range = node->kind == Node::Kind::kRange;
    Blank();
    WHEELPIT_RETURN_IF_ERROR(ParsePipeline(word, range, &node->pipeline));
    WHEELPIT_RETURN_IF_ERROR(Close(word));
    range_depth_ += range ? 1 : 0;
    std::string stop;
    WHEELPIT_RETURN_IF_ERROR(List(&node->body, &stop));
    range_depth_ -= range ? 1 : 0;
    if (stop == "else") {
      Blank();
      // `else if x` is an `if` inside the else, with which it shares its `end`; so are `else with
      // x` and their like.
      if (!range && Peek().kind == Token::Kind::kWord && Peek().text == word) {
        WHEELPIT_RETURN_IF_ERROR(Action(&node->otherwise));
        stop = "end";
      } else {
        WHEELPIT_RETURN_IF_ERROR(Close("else"));
        WHEELPIT_RETURN_IF_ERROR(List(&node->otherwise, &stop));
      }
    }
    if (stop != "end") return ErrorAt(line_, absl::StrCat("{{", word, "}} without {{end}}"));
    variables_.resize(outer_variables);
    --depth_;
    return absl::OkStatus();
  }

  absl::Status ParsePipeline(absl::string_view where, bool range, Pipeline* pipeline) {
    if (++depth_ > kDepthMax) return ErrorAt(line_, "nests too deeply");
    pipeline->line = Peek().line;
    WHEELPIT_RETURN_IF_ERROR(Declarations(where, range, pipeline));
    while (true) {
      Blank();
      Command command;
      WHEELPIT_RETURN_IF_ERROR(ParseCommand(where, &command));
      if (!pipeline->commands.empty() && command.operands[0].kind != Operand::Kind::kFunction) {
        return ErrorAt(line_, "non executable command in pipeline");
      }
      pipeline->commands.push_back(std::move(command));
      Blank();
      if (!Accept(Token::Kind::kPipe)) break;
    }
    // A variable is known from here on, not in its own value.
    if (!pipeline->assigns)
      variables_.insert(variables_.end(), pipeline->variables.begin(), pipeline->variables.end());
    --depth_;
    return absl::OkStatus();
  }

  absl::Status Declarations(absl::string_view where, bool range, Pipeline* pipeline) {
    const size_t start = position_;
    std::vector<std::string> names;
    while (Peek().kind == Token::Kind::kVariable) {
      names.push_back(Take().text);
      Blank();
      if (range && names.size() == 1 && Accept(Token::Kind::kComma)) {
        Blank();
        if (Peek().kind != Token::Kind::kVariable) return Unexpected(Peek(), where);
        continue;
      }
      break;
    }
    const Token::Kind next = Peek().kind;
    if (names.empty() || (next != Token::Kind::kDeclare && next != Token::Kind::kAssign)) {
      if (names.size() > 1) return Unexpected(Peek(), where);
      position_ = start;
      return absl::OkStatus();
    }
    pipeline->assigns = Take().kind == Token::Kind::kAssign;
    for (const std::string& name : names) {
      if (name == "$") return ErrorAt(line_, "$ cannot be set");
      if (pipeline->assigns) WHEELPIT_RETURN_IF_ERROR(KnownVariable(name));
    }
    pipeline->variables = std::move(names);
    return absl::OkStatus();
  }

  absl::Status KnownVariable(absl::string_view name) const {
    if (name == "$" || std::find(variables_.begin(), variables_.end(), name) != variables_.end())
      return absl::OkStatus();
    return ErrorAt(line_, absl::StrCat("undefined variable ", GoQuote(name)));
  }

  absl::Status ParseCommand(absl::string_view where, Command* command) {
    while (true) {
      Blank();
      const Token::Kind kind = Peek().kind;
      if (kind == Token::Kind::kPipe || kind == Token::Kind::kClose ||
          kind == Token::Kind::kThesis || kind == Token::Kind::kEnd)
        break;
      Operand operand;
      WHEELPIT_RETURN_IF_ERROR(ParseOperand(where, &operand));
      command->operands.push_back(std::move(operand));
    }
    if (command->operands.empty())
      return ErrorAt(Peek().line, absl::StrCat("missing value for ", where));
    const Operand& first = command->operands[0];
    const bool callable = first.kind == Operand::Kind::kFunction;
    if (!callable && command->operands.size() > 1)
      return ErrorAt(line_, "can't give argument to non-function");
    if (first.kind == Operand::Kind::kNil) return ErrorAt(line_, "nil is not a command");
    return absl::OkStatus();
  }

  absl::Status ParseOperand(absl::string_view where, Operand* operand) {
    const Token token = Take();
    operand->line = token.line;
    switch (token.kind) {
      case Token::Kind::kDot:
        break;
      case Token::Kind::kField:
        operand->fields.push_back(token.text.substr(1));
        break;
      case Token::Kind::kVariable:
        operand->kind = Operand::Kind::kVariable;
        operand->name = token.text;
        WHEELPIT_RETURN_IF_ERROR(KnownVariable(token.text));
        break;
      case Token::Kind::kString:
        operand->kind = Operand::Kind::kLiteral;
        operand->literal = TemplateValue(token.text);
        break;
      case Token::Kind::kNumber: {
        operand->kind = Operand::Kind::kLiteral;
        WHEELPIT_ASSIGN_OR_RETURN(operand->literal, NumberValue(token));
        break;
      }
      case Token::Kind::kWord:
        WHEELPIT_RETURN_IF_ERROR(Word(token, operand));
        break;
      case Token::Kind::kParen:
        operand->kind = Operand::Kind::kPipeline;
        operand->pipeline = std::make_unique<Pipeline>();
        WHEELPIT_RETURN_IF_ERROR(
            ParsePipeline("parenthesized pipeline", /*range=*/false, operand->pipeline.get()));
        Blank();
        if (const Token& end = Take(); end.kind != Token::Kind::kThesis)
          return ErrorAt(end.line, "unclosed left paren");
        break;
      default:
        return Unexpected(token, where);
    }
    while (Peek().kind == Token::Kind::kField) operand->fields.push_back(Take().text.substr(1));
    // `.a.b` and `$x.a` are chains; two operands need a blank between them.
    const Token::Kind next = Peek().kind;
    const bool separated = next == Token::Kind::kSpace || next == Token::Kind::kClose ||
                           next == Token::Kind::kPipe || next == Token::Kind::kThesis ||
                           next == Token::Kind::kEnd;
    if (!separated) return Unexpected(Peek(), "operand");
    return absl::OkStatus();
  }

  static absl::Status Word(const Token& token, Operand* operand) {
    if (token.text == "true" || token.text == "false") {
      operand->kind = Operand::Kind::kLiteral;
      operand->literal = TemplateValue(token.text == "true");
    } else if (token.text == "nil") {
      operand->kind = Operand::Kind::kNil;
    } else if (IsTemplateFunction(token.text)) {
      operand->kind = Operand::Kind::kFunction;
      operand->name = token.text;
    } else {
      return ErrorAt(token.line, absl::StrCat("function ", GoQuote(token.text), " not defined"));
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<TemplateValue> NumberValue(const Token& token) {
    int64_t integer = 0;
    if (absl::SimpleAtoi(token.text, &integer)) return TemplateValue(integer);
    if (absl::StartsWith(token.text, "0x") && absl::SimpleHexAtoi(token.text, &integer))
      return TemplateValue(integer);
    double number = 0;
    const bool word = token.text.find_first_of("xXnNiI") != std::string::npos;
    if (!word && absl::SimpleAtod(token.text, &number)) return TemplateValue(number);
    return ErrorAt(token.line, absl::StrCat("bad number syntax: ", GoQuote(token.text)));
  }

  const std::vector<Token> tokens_;
  size_t position_ = 0;
  int line_ = 1;
  int depth_ = 0;
  int range_depth_ = 0;
  std::vector<std::string> variables_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const ListNode>> ParseTemplate(absl::string_view text) {
  WHEELPIT_ASSIGN_OR_RETURN(std::vector<Token> tokens, Scanner(text).Scan());
  return Parser(std::move(tokens)).Parse();
}

}  // namespace wheelpit::adapter::internal
