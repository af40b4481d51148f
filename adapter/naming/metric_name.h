// From a series to the metric name that the API shows, by a rule's `name` block; and what a
// seriesQuery says of its series' name.
//
// Immutable after Create, thread-safe.
//
//   WHEELPIT_ASSIGN_OR_RETURN(auto names, MetricNamer::Create("^(.*)_total$", "${1}_per_second"));
//   names->Convert("jobs_total")   -> jobs_per_second;   names->Convert("jobs") -> nothing
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "re2/re2.h"

namespace wheelpit::adapter {

class MetricNamer {
 public:
  // Empty `matches` is `.*`. Empty `as` is `$0` without a group, `$1` with one, an error with more.
  // kInvalidArgument names the regex and what is wrong with it.
  static absl::StatusOr<std::shared_ptr<const MetricNamer>> Create(absl::string_view matches,
                                                                   absl::string_view as);

  // Nothing if the regex does not match. May be empty (`$1_per_second` is, see GoExpand): such a
  // metric cannot be asked for.
  std::optional<std::string> Convert(absl::string_view series_name) const;

  const std::string& as() const { return as_; }

 private:
  MetricNamer(std::unique_ptr<RE2> regex, std::string as)
      : regex_(std::move(regex)), as_(std::move(as)) {}
  const std::unique_ptr<RE2> regex_;
  const std::string as_;
};

// The one name that series of the selector can have (`name{…}`, `{__name__="name"}`); nothing if it
// does not fix one.
std::optional<std::string> SeriesNameOfSelector(absl::string_view selector);

}  // namespace wheelpit::adapter
