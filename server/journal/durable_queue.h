// What waits for durability, in lsn order: replies, first visibility, counts. Both folds of a shard
// share one, so that effects of all records happen in the order of the records.
//
//   durable.After(lsn, [done = std::move(done)](absl::Status s) mutable { done(s); });
//   durable.Advance(journal->durable_lsn());      // engine thread, when woken by the journal's
//   observer
//
// Engine thread only.
#pragma once

#include <deque>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/journal/record.h"

namespace wheelpit {

class DurableQueue {
 public:
  using Effect = absl::AnyInvocable<void(const absl::Status&)>;

  // `lsn` must not fall from call to call. Runs with OK when durable, or with the journal's
  // failure.
  void After(Lsn lsn, Effect effect) {
    Await(lsn);
    AfterUnhurried(lsn, std::move(effect));
  }
  // The same for what nobody waits for: no commit is made for its sake alone.
  void AfterUnhurried(Lsn lsn, Effect effect);
  // Somebody waits for `lsn`.
  void Await(Lsn lsn) { awaited_ = lsn > awaited_ ? lsn : awaited_; }
  // Runs every effect with lsn <= durable, oldest first; effects may call After (with later lsns).
  void Advance(Lsn durable);
  // The journal failed: runs every effect with `status`, and every later one at once.
  void Fail(const absl::Status& status);

  // Whether Advance(durable) has something to run: an effect may have been added for what is
  // durable already.
  bool Due(Lsn durable) const { return !effects_.empty() && effects_.front().lsn <= durable; }
  bool empty() const { return effects_.empty(); }
  size_t size() const { return effects_.size(); }
  Lsn advanced() const { return advanced_; }
  // The last lsn that somebody waits for.
  Lsn awaited() const { return awaited_; }

 private:
  struct Waiting {
    Lsn lsn;
    Effect effect;
  };
  std::deque<Waiting> effects_;
  Lsn advanced_ = 0;
  Lsn awaited_ = 0;
  absl::Status failure_;
};

}  // namespace wheelpit
