// Text of a PromQL expression -> tokens with their places. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/promql/ast.h"

namespace wheelpit {

enum class TokenKind {
  kEnd,
  kIdentifier,
  kNumber,
  kDuration,  // `5m`: number = 300
  kString,
  kSymbol,  // ( ) { } [ ] , = != =~ !~ == < > <= >= + - * / % ^ @ :
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  TextPosition position;
  // Identifier or symbol as written; a string without quotes, unescaped.
  std::string text;
  double number = 0;
};

// The last token is kEnd. Errors: kInvalidArgument BAD_QUERY.
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view query);

// kInvalidArgument BAD_QUERY, `1:7: parse error: …`.
absl::Status ParseError(TextPosition position, absl::string_view message);

}  // namespace wheelpit
