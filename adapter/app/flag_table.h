// Flags as a table: names, how each is read, what it means. The mechanics behind flags.h.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace wheelpit::adapter {

// Not thread-safe. The values that are bound to outlive the table.
class FlagTable {
 public:
  void AddString(const std::string& name, const std::string& help, std::string* value);
  void AddBool(const std::string& name, const std::string& help, bool* value);
  void AddInt(const std::string& name, const std::string& help, int min, int max, int* value);
  // Go's durations, not negative.
  void AddDuration(const std::string& name, const std::string& help, absl::Duration* value);
  // Separated by commas; repeats add. The first use replaces the default.
  void AddList(const std::string& name, const std::string& help, std::vector<std::string>* value);
  // `k=v`, repeats add.
  void AddPairs(const std::string& name, const std::string& help,
                std::vector<std::pair<std::string, std::string>>* value);
  // Accepted without effect; names in `ignored` when given.
  void AddIgnored(const std::vector<std::string>& names, bool boolean,
                  std::vector<std::string>* ignored);
  // `-c` for `--name`.
  void AddShorthand(char c, const std::string& name) { shorthands_.emplace_back(c, name); }

  absl::Status Parse(const std::vector<std::string>& arguments);
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string help;
    std::string default_text;
    bool boolean = false;
    bool hidden = false;
    std::function<absl::Status(const std::string& text)> set;
  };
  const Flag* Find(const std::string& name) const;
  absl::Status Unknown(const std::string& name) const;
  // Takes the flag at `*at`, and its value if that comes after it.
  absl::Status Take(const std::vector<std::string>& arguments, size_t* at) const;

  std::vector<Flag> flags_;
  std::vector<std::pair<char, std::string>> shorthands_;
};

}  // namespace wheelpit::adapter
