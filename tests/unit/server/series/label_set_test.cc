#include "server/series/label_set.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace wheelpit {
namespace {

TEST(LabelSetTest, PacksAndReadsBack) {
  const Labels labels({{"pod", "w-1"}, {"code", "200"}, {"nul", std::string("a\0b", 3)}});
  const std::string packed = PackLabels(labels);
  const LabelsView view(packed);
  EXPECT_EQ(view.size(), 3u);
  EXPECT_EQ(view.Get("pod"), "w-1");
  EXPECT_EQ(view.Get("nul"), absl::string_view("a\0b", 3));
  EXPECT_EQ(view.Get("po"), "");
  EXPECT_TRUE(view.Has("code"));
  EXPECT_EQ(view.ToLabels(), labels);
  EXPECT_TRUE(IsPackedLabels(packed));
}

TEST(LabelSetTest, NoLabelsAreNoBytes) {
  EXPECT_EQ(PackLabels(Labels()), "");
  EXPECT_TRUE(LabelsView().empty());
  EXPECT_EQ(LabelsView().size(), 0u);
  EXPECT_TRUE(IsPackedLabels(""));
}

TEST(LabelSetTest, EqualSetsHaveEqualBytes) {
  EXPECT_EQ(PackLabels(Labels({{"a", "1"}, {"b", "2"}})), PackLabels(Labels({{"b", "2"}, {"a", "1"}, {"c", ""}})));
  EXPECT_NE(PackLabels(Labels({{"a", "bc"}})), PackLabels(Labels({{"ab", "c"}})));
}

TEST(LabelSetTest, DamageIsFound) {
  const std::string packed = PackLabels(Labels({{"a", "1"}, {"b", "2"}}));
  for (size_t cut = 1; cut < packed.size(); ++cut) {
    if (cut == packed.size() / 2) continue;  // the first label alone is a set
    EXPECT_FALSE(IsPackedLabels(absl::string_view(packed).substr(0, cut))) << cut;
  }
  const std::string reversed = PackLabels(Labels({{"b", "2"}})) + PackLabels(Labels({{"a", "1"}}));
  EXPECT_FALSE(IsPackedLabels(reversed));
  const std::string twice = PackLabels(Labels({{"a", "1"}})) + PackLabels(Labels({{"a", "1"}}));
  EXPECT_FALSE(IsPackedLabels(twice));
}

}  // namespace
}  // namespace wheelpit
