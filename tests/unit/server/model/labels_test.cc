#include "server/model/labels.h"

#include <gtest/gtest.h>

namespace wheelpit {
namespace {

TEST(LabelsTest, PairsAreSortedByName) {
  const Labels labels({{"b", "2"}, {"a", "1"}});
  ASSERT_EQ(labels.size(), 2u);
  EXPECT_EQ(labels.pairs()[0].first, "a");
  EXPECT_EQ(labels, Labels({{"a", "1"}, {"b", "2"}}));
}

TEST(LabelsTest, AnEmptyValueIsNoLabel) {
  const Labels labels({{"a", ""}, {"b", "2"}});
  EXPECT_EQ(labels, Labels({{"b", "2"}}));
  EXPECT_FALSE(labels.Has("a"));
}

TEST(LabelsTest, GetFindsOnlyWholeNames) {
  const Labels labels({{"queue", "mail"}});
  EXPECT_EQ(labels.Get("queue"), "mail");
  EXPECT_EQ(labels.Get("queu"), "");
  EXPECT_EQ(labels.Get("queues"), "");
}

TEST(LabelsTest, SetInsertsReplacesAndRemoves) {
  Labels labels({{"b", "2"}});
  labels.Set("a", "1");
  labels.Set("b", "3");
  EXPECT_EQ(labels, Labels({{"a", "1"}, {"b", "3"}}));
  labels.Set("a", "");
  EXPECT_EQ(labels, Labels({{"b", "3"}}));
}

TEST(LabelsTest, ADuplicateNameIsFound) {
  EXPECT_EQ(FindDuplicateLabel({{"a", "1"}, {"b", "1"}, {"a", "2"}}), "a");
  EXPECT_EQ(FindDuplicateLabel({{"a", "1"}, {"b", "1"}}), "");
}

}  // namespace
}  // namespace wheelpit
