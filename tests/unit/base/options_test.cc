#include "base/options.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace wheelpit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OptionTableTest : public ::testing::Test {
 protected:
  OptionTableTest() {
    table_.AddDuration("queue_lease_ttl", &ttl_ms_, "Lease time", {.min = 1000, .max = 43'200'000});
    table_.AddSize("payload_bytes_max", &bytes_, "Largest payload", {.min = 1, .max = 1 << 30});
    table_.AddInt("slots", &slots_, "Slots", {.min = 1, .max = 64});
    table_.AddDouble("factor", &factor_, "Factor", {.min = 0, .max = 2});
    table_.AddBool("insecure", &insecure_, "Allow");
    table_.AddBool("no_colour", &no_colour_, "Plain");
    table_.AddString("data_dir", &dir_, "Folder");
    table_.AddChoice("level", &level_, {"debug", "info"}, "Level");
    table_.AddList("route", &routes_, "Routes");
  }
  absl::Status Flags(const std::vector<std::string>& args) {
    return table_.ParseFlags(args, &positional_);
  }
  OptionTable::Described Of(const std::string& name) {
    for (const auto& d : table_.Describe())
      if (d.name == name) return d;
    return {};
  }

  int64_t ttl_ms_ = 30'000, bytes_ = 1 << 20, slots_ = 4;
  double factor_ = 0.5;
  bool insecure_ = false, no_colour_ = false;
  std::string dir_ = "/var", level_ = "info";
  std::vector<std::string> routes_ = {"/a"};
  std::vector<std::string> positional_;
  OptionTable table_;
};

TEST_F(OptionTableTest, FlagsInEveryForm) {
  ASSERT_TRUE(
      Flags({"--queue_lease_ttl=1m30s", "--payload-bytes-max", "64MiB", "cmd", "--insecure",
             "--slots=8", "--factor=1.25", "--level=debug", "--data_dir=", "-", "--", "--slots=9"})
          .ok());
  EXPECT_EQ(ttl_ms_, 90'000);
  EXPECT_EQ(bytes_, 64 << 20);
  EXPECT_TRUE(insecure_);
  EXPECT_EQ(slots_, 8);
  EXPECT_EQ(factor_, 1.25);
  EXPECT_EQ(level_, "debug");
  EXPECT_EQ(dir_, "");
  EXPECT_THAT(positional_, ElementsAre("cmd", "-", "--slots=9"));
}

TEST_F(OptionTableTest, BoolsAreSwitchedOff) {
  insecure_ = true;
  ASSERT_TRUE(Flags({"--noinsecure", "--no-colour"}).ok());
  EXPECT_FALSE(insecure_);
  EXPECT_TRUE(no_colour_) << "a name that begins with no is itself first";
  ASSERT_TRUE(Flags({"--no-insecure=true"}).code() == absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Flags({"--insecure=yes", "--no_no_colour"}).ok());
  EXPECT_TRUE(insecure_);
  EXPECT_FALSE(no_colour_);
}

TEST_F(OptionTableTest, UnknownNameNamesTheNearest) {
  EXPECT_EQ(Flags({"--queue_lease_tll=3s"}).message(),
            "unknown option \"--queue_lease_tll\": the nearest is queue_lease_ttl");
  EXPECT_EQ(table_.ParseEnv("WHEELPIT_", {"WHEELPIT_SLOT=3"}).message(),
            "unknown option \"WHEELPIT_SLOT\": the nearest is slots");
  EXPECT_EQ(table_.Set("data-dirs", "x", OptionOrigin::kFile).message(),
            "unknown option \"data-dirs\": the nearest is data_dir");
  EXPECT_EQ(Flags({"--frob"}).message(), "unknown option \"--frob\"") << "nothing is near";
  EXPECT_FALSE(Flags({"--noslots"}).ok()) << "only bools have a no form";
  EXPECT_EQ(table_.Nearest("LEVLE"), "level");
}

TEST_F(OptionTableTest, OutOfRangeSaysTheRange) {
  EXPECT_EQ(Flags({"--queue_lease_ttl=10ms"}).message(),
            "option queue_lease_ttl: \"10ms\" is out of range: must be 1s to 12h");
  EXPECT_EQ(Flags({"--payload_bytes_max=2GiB"}).message(),
            "option payload_bytes_max: \"2GiB\" is out of range: must be 1 to 1GiB");
  EXPECT_EQ(Flags({"--slots=65"}).message(),
            "option slots: \"65\" is out of range: must be 1 to 64");
  EXPECT_THAT(std::string(Flags({"--factor=nan"}).message()), HasSubstr("must be 0 to 2"));
  EXPECT_THAT(std::string(Flags({"--level=loud"}).message()),
              HasSubstr("must be one of debug, info"));
  EXPECT_EQ(ttl_ms_, 30'000);
  EXPECT_EQ(slots_, 4);
}

TEST_F(OptionTableTest, BadTextSaysTheForm) {
  EXPECT_THAT(std::string(Flags({"--queue_lease_ttl=30"}).message()),
              HasSubstr("must be a duration"));
  EXPECT_THAT(std::string(Flags({"--slots=4x"}).message()), HasSubstr("must be a whole number"));
  EXPECT_THAT(std::string(Flags({"--insecure=maybe"}).message()), HasSubstr("true or false"));
  EXPECT_EQ(Flags({"--slots"}).message(), "option slots: value missing");
}

TEST_F(OptionTableTest, StrongerOriginWinsInAnyOrder) {
  ASSERT_TRUE(Flags({"--slots=8"}).ok());
  ASSERT_TRUE(
      table_.ParseEnv("WHEELPIT_", {"WHEELPIT_SLOTS=16", "WHEELPIT_FACTOR=1", "HOME=/x"}).ok());
  ASSERT_TRUE(table_.Set("slots", "32", OptionOrigin::kFile).ok());
  ASSERT_TRUE(table_.Set("factor", "2", OptionOrigin::kFile).ok());
  ASSERT_TRUE(table_.Set("level", "debug", OptionOrigin::kFile).ok());
  EXPECT_EQ(slots_, 8);
  EXPECT_EQ(factor_, 1);
  EXPECT_EQ(level_, "debug");
  EXPECT_EQ(Of("slots").origin, OptionOrigin::kFlag);
  EXPECT_EQ(Of("factor").origin, OptionOrigin::kEnvironment);
  EXPECT_EQ(Of("level").origin, OptionOrigin::kFile);
  EXPECT_EQ(Of("data_dir").origin, OptionOrigin::kDefault);
}

TEST_F(OptionTableTest, ListsGrowWithinOneOrigin) {
  ASSERT_TRUE(table_.ParseEnv("WHEELPIT_", {"WHEELPIT_ROUTE=/b,/c"}).ok());
  EXPECT_THAT(routes_, ElementsAre("/b", "/c"));
  ASSERT_TRUE(Flags({"--route=/d,e", "--route=/f"}).ok());
  EXPECT_THAT(routes_, ElementsAre("/d,e", "/f"));
  EXPECT_EQ(Of("route").value, "/d,e,/f");
  EXPECT_EQ(Of("route").default_value, "/a");
}

TEST_F(OptionTableTest, DescribesValuesAsTheyAreWritten) {
  ASSERT_TRUE(Flags({"--queue_lease_ttl=90s"}).ok());
  const OptionTable::Described ttl = Of("queue_lease_ttl");
  EXPECT_EQ(ttl.value, "1m30s");
  EXPECT_EQ(ttl.default_value, "30s");
  EXPECT_EQ(ttl.range, "1s to 12h");
  EXPECT_EQ(ttl.type, "duration");
  EXPECT_EQ(Of("payload_bytes_max").value, "1MiB");
  EXPECT_EQ(Of("factor").value, "0.5");
}

TEST(ParseDurationTest, TextAndBack) {
  EXPECT_EQ(*ParseDurationMs("1m30s"), 90'000);
  EXPECT_EQ(*ParseDurationMs("1.5h"), 5'400'000);
  EXPECT_EQ(*ParseDurationMs("250ms"), 250);
  EXPECT_EQ(*ParseDurationMs("0"), 0);
  for (const char* bad : {"", "5", "ms", "1.5ms", "inf", "-inf", "1 s", "9999999999999h"})
    EXPECT_FALSE(ParseDurationMs(bad).ok()) << bad;
  for (int64_t ms : {int64_t{0}, int64_t{1}, int64_t{999}, int64_t{90'000}, int64_t{3'600'001},
                     int64_t{86'400'000} * 14}) {
    EXPECT_EQ(*ParseDurationMs(FormatDurationMs(ms)), ms) << FormatDurationMs(ms);
  }
}

TEST(ParseSizeTest, TextAndBack) {
  EXPECT_EQ(*ParseSize("64MiB"), 64 << 20);
  EXPECT_EQ(*ParseSize("1GiB"), 1 << 30);
  EXPECT_EQ(*ParseSize("10k"), 10'000);
  EXPECT_EQ(*ParseSize("10Ki"), 10'240);
  EXPECT_EQ(*ParseSize("1000"), 1000);
  EXPECT_EQ(*ParseSize("5B"), 5);
  EXPECT_EQ(*ParseSize("1.5KiB"), 1536);
  EXPECT_EQ(*ParseSize("2TB"), 2'000'000'000'000);
  for (const char* bad :
       {"", "B", "MiB", "1X", "1MMiB", "-1", "1.3", "1iB", "1e3", "99999TiB", "1 2"})
    EXPECT_FALSE(ParseSize(bad).ok()) << bad;
  for (int64_t n :
       {int64_t{0}, int64_t{1}, int64_t{1000}, int64_t{1024}, int64_t{1536}, int64_t{3} << 40})
    EXPECT_EQ(*ParseSize(FormatSize(n)), n) << FormatSize(n);
}

}  // namespace
}  // namespace wheelpit
