// One label matcher of a selector: `queue="a"`, `pod=~"web-.*"`. Immutable after Create, so any
// thread may use it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/model/labels.h"

namespace re2 {
class RE2;
}

namespace wheelpit {

enum class MatchOp { kEqual, kNotEqual, kRegex, kNotRegex };

class Matcher {
 public:
  // kInvalidArgument for a pattern that RE2 refuses; the message is RE2's.
  static absl::StatusOr<Matcher> Create(absl::string_view label, MatchOp op,
                                        absl::string_view value);

  // `value` is "" where the label is missing. Regexes match the whole value; `.` matches a line
  // feed too.
  bool Matches(absl::string_view value) const;
  const std::string& label() const { return label_; }
  MatchOp op() const { return op_; }
  const std::string& value() const { return value_; }

 private:
  Matcher() = default;
  std::string label_;
  MatchOp op_ = MatchOp::kEqual;
  std::string value_;
  std::shared_ptr<const re2::RE2> regex_;
};

// `=`, `!=`, `=~`, `!~`.
absl::string_view MatchOpText(MatchOp op);

}  // namespace wheelpit
