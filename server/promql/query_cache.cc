#include "server/promql/query_cache.h"

#include "base/status_macros.h"
#include "server/promql/parser.h"

namespace wheelpit {

absl::StatusOr<std::shared_ptr<const Expr>> QueryCache::Get(absl::string_view query) {
  {
    MutexLock lock(&mu_);
    const auto it = index_.find(query);
    if (it != index_.end()) {
      by_use_.splice(by_use_.begin(), by_use_, it->second);
      return it->second->second;
    }
  }
  WHEELPIT_ASSIGN_OR_RETURN(ExprPtr parsed, ParseExpr(query));
  WHEELPIT_RETURN_IF_ERROR(CheckSupported(*parsed));
  std::shared_ptr<const Expr> expr = std::move(parsed);
  if (query.size() > query_bytes_max_) return expr;
  MutexLock lock(&mu_);
  if (index_.contains(query)) return expr;  // another thread was first
  by_use_.emplace_front(std::string(query), expr);
  index_.emplace(by_use_.front().first, by_use_.begin());
  if (by_use_.size() > entries_max_) {
    index_.erase(by_use_.back().first);
    by_use_.pop_back();
  }
  return expr;
}

size_t QueryCache::size() const {
  MutexLock lock(&mu_);
  return by_use_.size();
}

}  // namespace wheelpit
