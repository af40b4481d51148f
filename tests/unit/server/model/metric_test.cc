#include "server/model/metric.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace wheelpit {
namespace {

TEST(MetricTest, EveryTypeHasItsOwnName) {
  std::set<std::string> names;
  for (int i = 0; i <= 8; ++i) names.insert(MetricTypeName(static_cast<MetricType>(i)));
  EXPECT_EQ(names.size(), 9u);
  EXPECT_EQ(names.count("?"), 0u);
}

}  // namespace
}  // namespace wheelpit
