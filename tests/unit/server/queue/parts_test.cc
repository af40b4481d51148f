#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/random.h"
#include "server/queue/dedupe_index.h"
#include "server/queue/policy_table.h"
#include "server/queue/ready_queue.h"
#include "server/queue/timer_wheel.h"

namespace wheelpit {
namespace {

TEST(TimerWheelTest, FiresInOrderAndNeverEarlyLikeASortedMap) {
  Rng rng(11);
  TaskTable tasks;
  TimerWheel wheel(&tasks);
  std::multimap<int64_t, uint32_t> model;
  int64_t now = 1'700'000'000'000;
  EXPECT_EQ(wheel.PopDue(now), kNoIndex);
  uint64_t id = 0;
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t dice = rng.Below(10);
    if (dice < 5) {
      const uint32_t index = tasks.Allocate(++id);
      const int64_t due = now + static_cast<int64_t>(rng.Next() % (uint64_t{1} << rng.Below(36)));
      tasks[index].due_ms = due;
      wheel.Add(index, due);
      model.emplace(due, index);
    } else if (dice < 7 && !model.empty()) {
      auto it = model.begin();
      std::advance(it, static_cast<ptrdiff_t>(rng.Below(std::min<size_t>(model.size(), 20))));
      wheel.Remove(it->second);
      tasks.Free(it->second);
      model.erase(it);
    } else {
      now += static_cast<int64_t>(rng.Next() % (uint64_t{1} << rng.Below(24)));
      int64_t last = 0;
      for (uint32_t index; (index = wheel.PopDue(now)) != kNoIndex;) {
        const int64_t due = tasks[index].due_ms;
        ASSERT_LE(due, now);
        // Of one call, in order; what was due when it was added comes as it was added.
        ASSERT_GE(due, last);
        last = due;
        const auto [from, to] = model.equal_range(due);
        const auto it = std::find_if(from, to, [index](const auto& e) { return e.second == index; });
        ASSERT_NE(it, to);
        model.erase(it);
        tasks.Free(index);
      }
      ASSERT_TRUE(model.empty() || model.begin()->first > now);
    }
    const int64_t next = wheel.NextDeadline();
    if (model.empty()) {
      ASSERT_EQ(next, std::numeric_limits<int64_t>::max());
    } else {
      ASSERT_LE(next, model.begin()->first);
    }
  }
}

TEST(TimerWheelTest, AdvancingFromDeadlineToDeadlineReachesADistantTimerInFewSteps) {
  TaskTable tasks;
  TimerWheel wheel(&tasks);
  int64_t now = 1'700'000'000'000;
  wheel.PopDue(now);
  const uint32_t index = tasks.Allocate(1);
  const int64_t due = now + 30LL * 86'400'000 + 12'345;
  tasks[index].due_ms = due;
  wheel.Add(index, due);
  int steps = 0;
  uint32_t fired = kNoIndex;
  while (fired == kNoIndex && ++steps < 100) {
    now = wheel.NextDeadline();
    fired = wheel.PopDue(now);
  }
  EXPECT_EQ(fired, index);
  EXPECT_EQ(now, due);
  EXPECT_LE(steps, 9);
}

TEST(DedupeIndexTest, AgreesWithAMap) {
  Rng rng(5);
  DedupeIndex index;
  struct Known {
    uint64_t task;
    int64_t expiry = 0;
    uint32_t at = 0;
  };
  std::map<uint64_t, Known> model;
  int64_t now = 1'000'000;
  uint64_t task = 0;
  for (int step = 0; step < 50'000; ++step) {
    const uint64_t key = rng.Below(2000);
    const Hash128 hash{key * 64, key};  // low bits alike: long probes
    auto it = model.find(key);
    const bool valid = it != model.end() && (it->second.expiry == 0 || it->second.expiry > now);
    const uint32_t found = index.Find(hash, now);
    ASSERT_EQ(found != kNoIndex, valid) << step;
    if (valid) {
      ASSERT_EQ(index[found].task, it->second.task);
      if (it->second.expiry == 0 && rng.Chance(0.5)) {
        it->second.expiry = now + 1000 * static_cast<int64_t>(1 + rng.Below(50));
        index.SetEnded(it->second.at, it->second.expiry, TaskState::kSucceeded);
      }
    } else {
      const uint32_t at = index.Insert(hash, step, ++task);
      model[key] = {task, 0, at};
    }
    now += 1000 * static_cast<int64_t>(rng.Below(2));
    index.DropExpired(now, 10);
  }
  EXPECT_LE(index.size(), 2000u);
}

TEST(ReadyQueueTest, TasksReadyAgainStandAmongNewOnesByTheirTime) {
  TaskTable tasks;
  ReadyQueue ready;
  const auto add = [&](uint64_t id, int64_t since, uint16_t attempts) {
    const uint32_t index = tasks.Allocate(id);
    tasks[index].due_ms = since;
    tasks[index].attempts = attempts;
    ready.Push(tasks, index);
    return index;
  };
  add(1, 10, 0);
  add(2, 5, 1);
  const uint32_t removed = add(3, 20, 0);
  add(4, 15, 2);
  EXPECT_EQ(ready.OldestSince(tasks), 5);
  EXPECT_EQ(ready.OldestNeverAttemptedSince(tasks), 10);
  ready.Remove(tasks, removed);
  std::vector<uint64_t> order;
  for (uint32_t index; (index = ready.PopNext(tasks)) != kNoIndex;) order.push_back(tasks[index].id);
  EXPECT_EQ(order, std::vector<uint64_t>({2, 1, 4}));
  EXPECT_TRUE(ready.empty());
}

TEST(PolicyTableTest, EqualPoliciesShareANumberAndFreeNumbersAreUsedAgain) {
  PolicyTable table;
  const TaskPolicy a{1000, 1, 1, {}};
  const TaskPolicy b{2000, 1, 1, {}};
  const uint16_t first = table.Ref(a);
  EXPECT_EQ(table.Ref(a), first);
  EXPECT_NE(table.Ref(b), first);
  table.Unref(first);
  EXPECT_EQ(table[first], a);
  table.Unref(first);
  EXPECT_EQ(table.Ref({3000, 1, 1, {}}), first);
}

}  // namespace
}  // namespace wheelpit
