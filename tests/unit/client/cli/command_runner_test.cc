#include "client/cli/command_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <string>

#include "absl/strings/numbers.h"

namespace wheelpit {
namespace {

using End = CommandResult::End;

CommandResult Shell(const std::string& script, const std::string& input = "",
                    int64_t timeout_ms = 0) {
  CommandOptions options;
  options.arguments = {"sh", "-c", script};
  options.input = input;
  options.timeout_ms = timeout_ms;
  return RunCommand(options);
}

TEST(CommandRunnerTest, InputGoesInAndOutputComesOut) {
  const CommandResult result = Shell("tr a-z A-Z; echo trouble >&2; exit 3", "hello");
  EXPECT_EQ(result.end, End::kExited);
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.output, "HELLO");
  EXPECT_EQ(result.error_tail, "trouble\n");
}

TEST(CommandRunnerTest, MoreThanAPipeHoldsGoesBothWays) {
  const std::string input(1'000'000, 'x');
  EXPECT_EQ(Shell("cat", input).output, input);
}

TEST(CommandRunnerTest, InputThatIsNotReadIsNoError) {
  const CommandResult result = Shell("exit 0", std::string(1'000'000, 'x'));
  EXPECT_EQ(result.end, End::kExited);
  EXPECT_EQ(result.code, 0);
}

TEST(CommandRunnerTest, ATimeoutEndsTheWholeGroup) {
  const CommandResult result = Shell("sleep 1000 & echo $!; wait", "", 200);
  EXPECT_EQ(result.end, End::kTimedOut);
  int grandchild = 0;
  ASSERT_TRUE(absl::SimpleAtoi(result.output, &grandchild));
  // Gone, or not reaped yet by whoever inherited it.
  if (kill(grandchild, 0) == 0) {
    const std::string path = "/proc/" + std::to_string(grandchild) + "/stat";
    const CommandResult stat = Shell("cat " + path + " 2>/dev/null || echo ') Z'");
    EXPECT_THAT(stat.output, testing::HasSubstr(") Z"));
  }
}

TEST(CommandRunnerTest, ACommandThatIgnoresTermIsKilled) {
  const CommandResult result = Shell("trap '' TERM; while :; do read x < /dev/zero; done", "", 50);
  EXPECT_EQ(result.end, End::kTimedOut);
}

TEST(CommandRunnerTest, BackgroundChildrenThatHoldThePipeDoNotHoldTheResult) {
  const CommandResult result = Shell("sleep 1000 & echo done");
  EXPECT_EQ(result.end, End::kExited);
  EXPECT_EQ(result.output, "done\n");
}

TEST(CommandRunnerTest, CancelEndsIt) {
  std::atomic<int> asked{0};
  CommandOptions options;
  options.arguments = {"sleep", "1000"};
  options.cancelled = [&] { return ++asked > 2; };
  EXPECT_EQ(RunCommand(options).end, End::kCancelled);
}

TEST(CommandRunnerTest, TooMuchOutputEndsIt) {
  CommandOptions options;
  options.arguments = {"sh", "-c", "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyy; done"};
  options.output_bytes_max = 100'000;
  const CommandResult result = RunCommand(options);
  EXPECT_EQ(result.end, End::kOutputTooLarge);
  EXPECT_LE(result.output.size(), 100'000);
}

TEST(CommandRunnerTest, ErrorsKeepTheirEnd) {
  const CommandResult result =
      Shell("i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done");
  EXPECT_LE(result.error_tail.size(), 4096);
  EXPECT_THAT(result.error_tail, testing::EndsWith("line 1999\n"));
}

TEST(CommandRunnerTest, AMissingProgramSaysSo) {
  CommandOptions options;
  options.arguments = {"/no/such/program"};
  const CommandResult result = RunCommand(options);
  EXPECT_EQ(result.end, End::kNotStarted);
  EXPECT_THAT(result.error_tail, testing::HasSubstr("/no/such/program"));
}

TEST(CommandRunnerTest, SignalsAreTold) {
  const CommandResult result = Shell("kill -9 $$");
  EXPECT_EQ(result.end, End::kSignalled);
  EXPECT_EQ(result.code, 9);
}

}  // namespace
}  // namespace wheelpit
