#include "server/journal/durable_queue.h"

#include "base/check.h"

namespace wheelpit {

void DurableQueue::AfterUnhurried(Lsn lsn, Effect effect) {
  if (!failure_.ok()) {
    effect(failure_);
    return;
  }
  WHEELPIT_CHECK(effects_.empty() || effects_.back().lsn <= lsn, "effect of lsn %d after one of %d",
                 lsn, effects_.back().lsn);
  // Never at once, even if durable already: effects of one lsn run in the order of the calls, and
  // never inside the caller.
  effects_.push_back({lsn, std::move(effect)});
}

void DurableQueue::Advance(Lsn durable) {
  if (durable > advanced_) advanced_ = durable;
  while (!effects_.empty() && effects_.front().lsn <= durable) {
    Effect effect = std::move(effects_.front().effect);
    effects_.pop_front();
    effect(absl::OkStatus());
  }
}

void DurableQueue::Fail(const absl::Status& status) {
  WHEELPIT_CHECK(!status.ok());
  if (failure_.ok()) failure_ = status;
  while (!effects_.empty()) {
    Effect effect = std::move(effects_.front().effect);
    effects_.pop_front();
    effect(failure_);
  }
}

}  // namespace wheelpit
