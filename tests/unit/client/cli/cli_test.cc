// The real program against an aggregator in memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/child_process.h"
#include "client/cli/command_runner.h"
#include "tests/support/fake_aggregator.h"

namespace wheelpit {
namespace {

using testing::HasSubstr;

class CliTest : public testing::Test {
 protected:
  CliTest() {
    std::string pattern = testing::TempDir() + "/cli.XXXXXX";
    dir_ = mkdtemp(pattern.data());
  }
  ~CliTest() override { std::filesystem::remove_all(dir_); }

  CommandResult Run(std::vector<std::string> args, const std::string& input = "") {
    CommandOptions options;
    options.arguments = std::move(args);
    options.arguments.insert(options.arguments.begin(), WHEELPIT_PROGRAM);
    options.environment = {absl::StrCat("WHEELPIT_ADDRESS=", server_.address())};
    options.input = input;
    return RunCommand(options);
  }
  ChildProcess StartWorker(std::vector<std::string> flags, std::vector<std::string> command) {
    ChildOptions options;
    options.arguments = {WHEELPIT_PROGRAM, "work", "--queue=q"};
    options.arguments.insert(options.arguments.end(), flags.begin(), flags.end());
    options.arguments.push_back("--");
    options.arguments.insert(options.arguments.end(), command.begin(), command.end());
    options.environment = {absl::StrCat("WHEELPIT_ADDRESS=", server_.address())};
    return ChildProcess::Start(options).value();
  }
  std::vector<nlohmann::json> Ledger() {
    std::vector<nlohmann::json> lines;
    std::ifstream file(dir_ + "/ledger");
    std::string line;
    while (std::getline(file, line)) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  FakeAggregator server_;
  std::string dir_;
};

TEST_F(CliTest, HelpVersionAndUsage) {
  EXPECT_THAT(Run({"--help"}).output, HasSubstr("submit"));
  EXPECT_THAT(Run({"--version"}).output, testing::StartsWith("wheelpit "));
  EXPECT_EQ(Run({}).code, 2);
  const CommandResult unknown = Run({"sumbit"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.error_tail, HasSubstr("sumbit"));
  for (const char* command : {"submit", "work", "load", "report", "queues", "tasks", "query"}) {
    const CommandResult help = Run({command, "--help"});
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_THAT(help.output, HasSubstr("usage: wheelpit ")) << command;
    EXPECT_THAT(help.output, HasSubstr("  --help\n      ")) << command;
    EXPECT_EQ(Run({command, "--no_such_flag"}).code, 2) << command;
  }
  EXPECT_THAT(Run({"submit", "--que=x", "y"}).error_tail, HasSubstr("nearest is queue"));
}

TEST_F(CliTest, SubmitPrintsIdsInOrder) {
  const CommandResult result = Run({"submit", "--queue=q", "one", "two", "three"});
  EXPECT_EQ(result.code, 0) << result.error_tail;
  std::vector<std::string> ids = absl::StrSplit(result.output, '\n', absl::SkipEmpty());
  ASSERT_EQ(ids.size(), 3);
  const auto tasks = server_.tasks();
  EXPECT_EQ(tasks.at(ids[0]).task.payload(), "one");
  EXPECT_EQ(tasks.at(ids[2]).task.payload(), "three");
}

TEST_F(CliTest, SubmitTakesFilesAndLines) {
  std::ofstream(dir_ + "/payload") << "from a file";
  EXPECT_EQ(Run({"submit", "--queue=q", "@" + dir_ + "/payload"}).code, 0);
  EXPECT_EQ(Run({"submit", "--queue=q", "--file=" + dir_ + "/payload"}).code, 0);
  EXPECT_EQ(Run({"submit", "--queue=lines"}, "a\nb\n\nc").code, 0);
  int files = 0, lines = 0;
  for (const auto& [id, record] : server_.tasks()) {
    files += record.task.payload() == "from a file" ? 1 : 0;
    lines += record.task.queue() == "lines" ? 1 : 0;
  }
  EXPECT_EQ(files, 2);
  EXPECT_EQ(lines, 4);
  EXPECT_EQ(Run({"submit", "--queue=q", "@/no/such/file"}).code, 1);
}

TEST_F(CliTest, ExitCodesTellUnreachableFromRefusedFromPartly) {
  server_.RefuseSubmits(1, false);
  const CommandResult refused = Run({"submit", "--queue=q", "x"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.error_tail, HasSubstr("QUEUE_FULL"));
  server_.RefuseSubmits(1, false);
  EXPECT_EQ(Run({"submit", "--queue=q", "x", "y"}).code, 4);
  EXPECT_EQ(Run({"submit", "--queue=q", "--address=127.0.0.1:1", "--deadline=200ms", "x"}).code, 3);
  EXPECT_EQ(Run({"queues", "--address=127.0.0.1:1"}).code, 3);
  EXPECT_EQ(Run({"queues", "--address=example.org:7070"}).code, 2) << "plaintext to elsewhere";
}

TEST_F(CliTest, WorkRunsAProgramAndSubmitWaitsForItsResult) {
  ChildProcess worker =
      StartWorker({"--slots=2", "--ledger=" + dir_ + "/ledger"},
                  {"sh", "-c", "tr a-z A-Z; printf ' %s %s' $WHEELPIT_QUEUE $WHEELPIT_ATTEMPT"});
  const CommandResult one = Run({"submit", "--queue=q", "--wait", "hello"});
  EXPECT_EQ(one.code, 0) << one.error_tail;
  EXPECT_EQ(one.output, "HELLO q 1");
  const CommandResult two = Run({"submit", "--queue=q", "--wait", "--json", "a", "b"});
  const std::vector<std::string> lines = absl::StrSplit(two.output, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 2);
  EXPECT_EQ(nlohmann::json::parse(lines[1])["result"], "B q 1");
  worker.Signal(SIGTERM);
  EXPECT_EQ(worker.Wait(), 0);
  const auto ledger = Ledger();
  ASSERT_EQ(ledger.size(), 3);
  for (const auto& line : ledger) {
    EXPECT_EQ(line["outcome"], "completed");
    EXPECT_EQ(line["accepted"], true);
    EXPECT_TRUE(server_.tasks().contains(line["task"]));
  }
}

TEST_F(CliTest, AFailingProgramsErrorIsTheTasks) {
  ChildProcess worker =
      StartWorker({"--ledger=" + dir_ + "/ledger"}, {"sh", "-c", "echo no paper >&2; exit 7"});
  const CommandResult result = Run({"submit", "--queue=q", "--wait", "x"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.error_tail, HasSubstr("dead"));
  const auto tasks = server_.tasks();
  EXPECT_EQ(tasks.begin()->second.task.last_error(), "exit status 7: no paper");
  EXPECT_EQ(tasks.begin()->second.task.failures(), 5);
  worker.Signal(SIGTERM);
  EXPECT_EQ(worker.Wait(), 0);
  EXPECT_EQ(Ledger().size(), 5);
}

TEST_F(CliTest, AResultOverTheLimitFailsForGood) {
  ChildProcess worker = StartWorker({}, {"head", "-c", "70000", "/dev/zero"});
  EXPECT_EQ(Run({"submit", "--queue=q", "--wait", "x"}).code, 1);
  const auto tasks = server_.tasks();
  EXPECT_EQ(tasks.begin()->second.task.dead_reason(), "not_retryable");
  EXPECT_EQ(tasks.begin()->second.task.attempts(), 1);
}

TEST_F(CliTest, WorkSaysAtOnceThatACommandIsMissing) {
  const CommandResult missing = Run({"work", "--queue=q", "--", "no-such-program"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.error_tail, HasSubstr("cannot run no-such-program: No such file"));
  EXPECT_THAT(Run({"work", "--queue=q", "--", dir_}).error_tail, HasSubstr("Permission denied"));
}

TEST_F(CliTest, ATimeoutFailsTheExecution) {
  ChildProcess worker = StartWorker({"--timeout=50ms"}, {"sleep", "1000"});
  EXPECT_EQ(Run({"submit", "--queue=q", "--wait", "x"}).code, 1);
  EXPECT_EQ(server_.tasks().begin()->second.task.last_error(), "ran longer than 50 ms");
}

TEST_F(CliTest, ASecondSignalGivesTheTaskBack) {
  ChildProcess worker = StartWorker({}, {"sleep", "1000"});
  ASSERT_EQ(Run({"submit", "--queue=q", "x"}).code, 0);
  ASSERT_TRUE(server_.WaitFor([&] { return worker.HasChildren(); }));
  worker.Signal(SIGTERM);
  worker.Signal(SIGINT);
  EXPECT_EQ(worker.Wait(), 0);
  const auto tasks = server_.tasks();
  EXPECT_EQ(tasks.begin()->second.task.state(), v1::TASK_STATE_READY);
  EXPECT_EQ(tasks.begin()->second.task.releases(), 1);
}

TEST_F(CliTest, ReportCountsAndQueryReads) {
  EXPECT_EQ(Run({"report", "jobs_total", "2", "--label=kind=a"}).code, 0);
  EXPECT_EQ(Run({"report", "jobs_total", "3", "--label=kind=a"}).code, 0);
  EXPECT_EQ(Run({"report", "depth", "1.5", "--gauge"}).code, 0);
  EXPECT_EQ(server_.totals()["jobs_total{kind=\"a\"}"], 5);
  EXPECT_EQ(server_.totals()["depth"], 1.5);
  EXPECT_EQ(Run({"query", "jobs_total"}).output, "jobs_total\t5\n");
  const CommandResult json = Run({"query", "--json", "depth"});
  EXPECT_EQ(nlohmann::json::parse(json.output)["elements"][0]["value"], 1.5);
  EXPECT_EQ(Run({"query", "absent"}).output, "");
  EXPECT_EQ(Run({"report", "share", "0.1", "--gauge"}).code, 0);
  EXPECT_EQ(Run({"query", "share"}).output, "share\t0.1\n") << "the shortest text of the number";
  EXPECT_EQ(Run({"query", "sum("}).code, 1);
  EXPECT_EQ(Run({"report", "jobs_total", "-1"}).code, 2);
  EXPECT_EQ(Run({"report", "jobs_total"}).code, 2);
  server_.RefuseFamily("bad_total");
  EXPECT_EQ(Run({"report", "bad_total", "1"}).code, 1);
}

TEST_F(CliTest, QueuesAndTasks) {
  const CommandResult submitted = Run({"submit", "--queue=q", "x"});
  const std::string id = submitted.output.substr(0, submitted.output.find('\n'));
  EXPECT_THAT(Run({"queues"}).output, testing::StartsWith("q\t1\t"));
  EXPECT_EQ(nlohmann::json::parse(Run({"queues", "--json"}).output)["name"], "q");
  EXPECT_THAT(Run({"tasks", "list", "--queue=q"}).output, HasSubstr(id + "\tready"));
  EXPECT_THAT(Run({"tasks", "show", id}).output, HasSubstr("state\tready"));
  EXPECT_EQ(Run({"tasks", "wait", id, "--wait_timeout=10ms"}).code, 3);
  EXPECT_EQ(Run({"tasks", "cancel", id}).code, 0);
  EXPECT_EQ(Run({"tasks", "wait", id}).code, 1);
  EXPECT_EQ(Run({"tasks", "show", id, "nope"}).code, 4);
  EXPECT_EQ(Run({"tasks", "show", "nope"}).code, 1);
  EXPECT_EQ(Run({"tasks", "blow", "up"}).code, 2);
}

TEST_F(CliTest, LoadWritesItsLedger) {
  const CommandResult result = Run({"load", "--queue=q", "--arrival_rate=1000", "--until=50",
                                    "--json", "--ledger=" + dir_ + "/ledger"});
  EXPECT_EQ(result.code, 0) << result.error_tail;
  EXPECT_EQ(nlohmann::json::parse(result.output)["acknowledged"], 50);
  EXPECT_EQ(Ledger().size(), 50);
  EXPECT_EQ(server_.tasks().size(), 50);
  EXPECT_EQ(Run({"load", "--arrival_rate=1"}).code, 2);
  const CommandResult nobody = Run({"load", "--http=http://127.0.0.1:1/", "--until=2"});
  EXPECT_EQ(nobody.code, 3);
  EXPECT_THAT(nobody.output, HasSubstr("cannot connect to http://127.0.0.1:1\n"));
  EXPECT_EQ(Run({"load", "--http=127.0.0.1", "--until=2"}).code, 2);
}

}  // namespace
}  // namespace wheelpit
