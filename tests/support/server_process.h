// The real wheelpit-server as a child process on ports 0: start, wait until it is ready, kill, start again on the same folder.
//
//   ServerProcess server({.binary = kServerBinary, .data_dir = folder.path()});
//   ASSERT_TRUE(server.Start().ok());
//   … server.grpc() … server.Kill(); server.Start(); … EXPECT_EQ(server.Terminate(), 0);
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace wheelpit {

struct ServerProcessOptions {
  std::string binary;
  std::string data_dir;
  std::vector<std::string> flags;  // besides the ports and data_dir
};

// Not thread-safe. The destructor kills.
class ServerProcess {
 public:
  explicit ServerProcess(ServerProcessOptions options) : options_(std::move(options)) {}
  ~ServerProcess() { Kill(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Starts it and waits until it says it is ready. kUnavailable with its status and error output if it ends before.
  absl::Status Start();
  // Starts it and waits for its end; its exit status (128 + signal if it was killed). What it wrote: output().
  int RunToEnd();
  // SIGKILL, and reaps. Nothing if it does not run.
  void Kill();
  // SIGTERM; waits for the end; the exit status.
  int Terminate();

  const std::string& grpc() const { return grpc_; }
  const std::string& http() const { return http_; }
  const std::string& apis() const { return apis_; }
  pid_t pid() const { return pid_; }
  // Standard output and error of the last start, as far as it was read.
  const std::string& output() const { return output_; }

 private:
  absl::Status Spawn();
  // Reads one line of standard output; false at its end.
  bool ReadLine(std::string* line);
  int Reap();

  const ServerProcessOptions options_;
  pid_t pid_ = -1;
  int out_ = -1;
  std::string grpc_, http_, apis_, output_;
};

}  // namespace wheelpit
