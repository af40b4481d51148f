#include "client/cli/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"

namespace wheelpit {
namespace {

TEST(WriteLineTest, LinesOfBothStreamsIntoOneFileStayWhole) {
  constexpr int kLines = 50'000;
  const std::string path = absl::StrCat(testing::TempDir(), "/lines.", getpid());
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  std::cout << std::flush;
  fflush(stdout);
  const int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
  dup2(file, STDOUT_FILENO);
  dup2(file, STDERR_FILENO);
  const std::string long_line(300, 'o'), short_line = "errors";
  std::thread results([&] {
    for (int i = 0; i < kLines; ++i) WriteLine(std::cout, long_line);
  });
  for (int i = 0; i < kLines; ++i) WriteLine(std::cerr, short_line);
  results.join();
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  for (const int fd : {file, out, err}) close(fd);
  std::map<std::string, int> seen;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) ++seen[line];
  unlink(path.c_str());
  EXPECT_EQ(seen, (std::map<std::string, int>{{long_line, kLines}, {short_line, kLines}}));
}

}  // namespace
}  // namespace wheelpit
