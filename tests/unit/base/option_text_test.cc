#include "base/option_text.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using ::testing::HasSubstr;

class OptionTextTest : public ::testing::Test {
 protected:
  OptionTextTest() {
    table_.AddDuration("queue_lease_ttl", &ttl_ms_, "Lease time of a task",
                       {.min = 1000, .max = 43'200'000});
    table_.AddBool("insecure", &insecure_, "Doors beyond loopback without authentication.");
    table_.AddString("data_dir", &dir_, "");
    table_.AddChoice("level", &level_, {"debug", "info"}, "a|b");
  }
  int64_t ttl_ms_ = 30'000;
  bool insecure_ = false;
  std::string dir_, level_ = "info";
  OptionTable table_;
};

TEST_F(OptionTextTest, HelpSaysTypeRangeAndDefault) {
  EXPECT_EQ(OptionHelp(table_),
            "  --queue_lease_ttl=duration\n"
            "      Lease time of a task. 1s to 12h, default 30s.\n"
            "  --insecure\n"
            "      Doors beyond loopback without authentication. Default false.\n"
            "  --data_dir=string\n"
            "  --level=choice\n"
            "      a|b. One of debug, info, default info.\n");
}

TEST_F(OptionTextTest, HelpWrapsBetweenWords) {
  table_.AddString(
      "long", &dir_,
      std::string("ää ") + std::string(30, 'x') + " y " + std::string(90, 'z') + " end");
  const std::string help = OptionHelp(table_, 40);
  EXPECT_THAT(help, HasSubstr("      ää " + std::string(30, 'x') + "\n      y\n      " +
                              std::string(90, 'z') + "\n      end.\n"));
  EXPECT_THAT(
      help,
      HasSubstr("      Doors beyond loopback without\n      authentication. Default false.\n"));
}

TEST_F(OptionTextTest, MarkdownIsATable) {
  const std::string text = OptionMarkdown(table_);
  EXPECT_THAT(
      text,
      HasSubstr("| `queue_lease_ttl` | duration | `30s` | 1s to 12h | Lease time of a task |\n"));
  EXPECT_THAT(text, HasSubstr("| `data_dir` | string |  |  |  |\n"));
  EXPECT_THAT(text, HasSubstr("| a\\|b |\n"));
}

TEST_F(OptionTextTest, ValuesNameTheirOrigin) {
  ASSERT_TRUE(table_.Set("queue_lease_ttl", "90s", OptionOrigin::kEnvironment).ok());
  ASSERT_TRUE(table_.Set("level", "debug", OptionOrigin::kFile).ok());
  EXPECT_EQ(OptionValues(table_),
            "queue_lease_ttl = 1m30s  # environment\ninsecure = false  # default\ndata_dir =   # "
            "default\n"
            "level = debug  # file\n");
}

}  // namespace
}  // namespace wheelpit
