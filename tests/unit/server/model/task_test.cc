#include "server/model/task.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/errors.h"

namespace wheelpit {
namespace {

TEST(TaskTest, IdsReadBackWhatTheyWrite) {
  const TaskId first{1};
  const TaskId last{~uint64_t{0}};
  EXPECT_EQ(FormatTaskId(first), "0-1");
  EXPECT_EQ(FormatTaskId(last), "63-288230376151711743");
  for (const TaskId id : {first, last, TaskId{uint64_t{5} << 58 | 77}}) {
    const auto parsed = ParseTaskId(FormatTaskId(id));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, id);
  }
}

TEST(TaskTest, TextThatIsNoIdIsRefusedAsBadField) {
  for (const char* text : {"", "-", "0-", "-1", "0-0", "64-1", "0-01", "00-1", "0-1 ", " 0-1", "0-+1", "1",
                           "0-288230376151711744", "0-99999999999999999999", "0-1-1"}) {
    const auto parsed = ParseTaskId(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(ErrorReason(parsed.status()), "BAD_FIELD") << text;
  }
}

TEST(TaskTest, EveryStateHasItsOwnName) {
  std::set<std::string> names;
  for (int i = 0; i < kTaskStates; ++i) names.insert(TaskStateName(static_cast<TaskState>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kTaskStates));
  EXPECT_EQ(names.count("?"), 0u);
}

}  // namespace
}  // namespace wheelpit
