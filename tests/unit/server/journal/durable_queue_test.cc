#include "server/journal/durable_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace wheelpit {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DurableQueueTest : public testing::Test {
 protected:
  DurableQueue::Effect Note(int what) {
    return
        [this, what](const absl::Status& status) { seen_.push_back(status.ok() ? what : -what); };
  }
  DurableQueue durable_;
  std::vector<int> seen_;
};

TEST_F(DurableQueueTest, EffectsRunWhenTheirLsnIsDurableOldestFirst) {
  durable_.After(1, Note(10));
  durable_.After(3, Note(30));
  durable_.After(3, Note(31));
  durable_.After(4, Note(40));
  EXPECT_THAT(seen_, IsEmpty());
  durable_.Advance(3);
  EXPECT_THAT(seen_, ElementsAre(10, 30, 31));
  EXPECT_EQ(durable_.size(), 1u);
  EXPECT_EQ(durable_.advanced(), 3u);
  durable_.Advance(9);
  EXPECT_THAT(seen_, ElementsAre(10, 30, 31, 40));
}

TEST_F(DurableQueueTest, AnEffectMayAddEffects) {
  durable_.After(1, [this](const absl::Status&) {
    durable_.After(2, Note(2));
    durable_.After(5, Note(5));
  });
  durable_.Advance(2);
  EXPECT_THAT(seen_, ElementsAre(2));
}

TEST_F(DurableQueueTest, AnEffectOfADurableLsnWaitsForTheNextAdvance) {
  durable_.Advance(5);
  durable_.After(5, Note(5));
  EXPECT_THAT(seen_, IsEmpty());
  durable_.Advance(5);
  EXPECT_THAT(seen_, ElementsAre(5));
}

TEST_F(DurableQueueTest, WhatNobodyWaitsForIsNotAwaited) {
  durable_.After(1, Note(1));
  durable_.AfterUnhurried(2, Note(2));
  EXPECT_EQ(durable_.awaited(), 1u);
  durable_.Await(2);
  EXPECT_EQ(durable_.awaited(), 2u);
  durable_.AfterUnhurried(3, Note(3));
  durable_.Advance(3);
  EXPECT_THAT(seen_, ElementsAre(1, 2, 3));
  EXPECT_EQ(durable_.awaited(), 2u);
}

TEST_F(DurableQueueTest, FailureReachesThoseWhoWaitAndThoseWhoCome) {
  durable_.After(1, Note(1));
  durable_.After(2, Note(2));
  durable_.Advance(1);
  durable_.Fail(absl::UnavailableError("disk"));
  EXPECT_THAT(seen_, ElementsAre(1, -2));
  durable_.After(3, Note(3));
  EXPECT_THAT(seen_, ElementsAre(1, -2, -3));
  EXPECT_TRUE(durable_.empty());
}

}  // namespace
}  // namespace wheelpit
