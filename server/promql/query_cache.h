// Parsed queries by their text: autoscalers ask the same few again and again. Thread-safe.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/sync.h"
#include "server/promql/ast.h"

namespace wheelpit {

class QueryCache {
 public:
  // Keeps at most `entries_max` queries of at most `query_bytes_max` each, those used last.
  QueryCache(size_t entries_max, size_t query_bytes_max)
      : entries_max_(entries_max), query_bytes_max_(query_bytes_max) {}

  // Parsed and checked for the exact engine. Errors (BAD_QUERY, EXECUTION) are not kept.
  absl::StatusOr<std::shared_ptr<const Expr>> Get(absl::string_view query);
  size_t size() const;

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const Expr>>;
  const size_t entries_max_;
  const size_t query_bytes_max_;
  mutable Mutex mu_;
  std::list<Entry> by_use_ ABSL_GUARDED_BY(mu_);  // last used first
  // Keys view the list's strings.
  absl::flat_hash_map<absl::string_view, std::list<Entry>::iterator> index_ ABSL_GUARDED_BY(mu_);
};

}  // namespace wheelpit
