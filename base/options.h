// Options of a program: defaults < YAML-like pairs from a file < environment < flags, each with its origin.
//
//   OptionTable table;
//   table.AddDuration("queue_lease_ttl", &config.queue.lease_ttl_ms, "Lease time of a task", {.min = 1000, .max = 43200000});
//   WHEELPIT_RETURN_IF_ERROR(table.ParseFlags(argc, argv, &positional));   // --queue_lease_ttl=30s, --queue-lease-ttl 30s
//   WHEELPIT_RETURN_IF_ERROR(table.ParseEnv("WHEELPIT_", environ));        // WHEELPIT_QUEUE_LEASE_TTL=30s
//
// Unknown names and values out of range are errors that name the nearest right one. Reading the YAML file is the caller's (app).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

enum class OptionOrigin { kDefault, kFile, kEnvironment, kFlag };

struct OptionRange {
  double min = 0;
  double max = 9e15;
};

class OptionTable {
 public:
  // Durations are milliseconds in memory and `30s`, `1m30s`, `500ms` in text. Sizes are bytes and `64MiB`, `1GiB`, `1000`.
  void AddBool(absl::string_view name, bool* value, absl::string_view help);
  void AddInt(absl::string_view name, int64_t* value, absl::string_view help, OptionRange range = {});
  void AddDouble(absl::string_view name, double* value, absl::string_view help, OptionRange range = {});
  void AddDuration(absl::string_view name, int64_t* value_ms, absl::string_view help, OptionRange range_ms = {});
  void AddSize(absl::string_view name, int64_t* value_bytes, absl::string_view help, OptionRange range = {});
  void AddString(absl::string_view name, std::string* value, absl::string_view help);
  // One of `choices`.
  void AddChoice(absl::string_view name, std::string* value, std::vector<std::string> choices, absl::string_view help);
  // Repeatable as a flag; comma-separated in the environment.
  void AddList(absl::string_view name, std::vector<std::string>* value, absl::string_view help);

  // A value of a weaker origin than the present one is dropped, so sources may be read in any order. A list grows by one for each
  // call of one origin.
  absl::Status Set(absl::string_view name, absl::string_view text, OptionOrigin origin);
  // Everything that is no flag goes to `positional`; what follows `--` too. `-` and `_` in names are the same. `--x` alone is a
  // bool's true, `--nox` its false.
  absl::Status ParseFlags(const std::vector<std::string>& args, std::vector<std::string>* positional);
  // `environment`: NAME=value strings; names that start with `prefix` must be options.
  absl::Status ParseEnv(absl::string_view prefix, const std::vector<std::string>& environment);

  struct Described {
    std::string name, type, value, default_value, range, help;
    OptionOrigin origin;
  };
  // In the order of adding.
  std::vector<Described> Describe() const;
  // The known name that is nearest to `name`.
  std::string Nearest(absl::string_view name) const;

 private:
  struct Option {
    std::string name, type, help, default_value, range;
    std::function<absl::Status(absl::string_view)> set;
    std::function<std::string()> get;
    // Empties a list before the first value of a stronger origin; null for single values.
    std::function<void()> clear;
    bool is_bool = false;
    OptionOrigin origin = OptionOrigin::kDefault;
  };
  void Add(absl::string_view name, absl::string_view type, absl::string_view help, std::string range,
           std::function<absl::Status(absl::string_view)> set, std::function<std::string()> get);
  // Null if there is none.
  Option* Find(absl::string_view name);
  absl::Status Unknown(absl::string_view shown, absl::string_view name) const;

  std::vector<Option> options_;
};

// `90s`, `1m30s`, `1.5h`, `250ms`; a bare 0 is 0. Milliseconds.
absl::StatusOr<int64_t> ParseDurationMs(absl::string_view text);
std::string FormatDurationMs(int64_t ms);
// `64MiB`, `1GiB`, `10k`, `1000`: Ki, Mi, Gi, Ti are powers of 1024, k, M, G, T of 1000, with or without B. Bytes.
absl::StatusOr<int64_t> ParseSize(absl::string_view text);
std::string FormatSize(int64_t bytes);
// `file`, `environment`, ...
absl::string_view OptionOriginName(OptionOrigin origin);

}  // namespace wheelpit
