// What the benchmark programs share: medians, JSON lines, servers as child processes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "client/cli/child_process.h"

namespace wheelpit::bench {

double Median(std::vector<double> values);

// One result. `better_when_larger`: throughput, ratio = ours/theirs; else time or memory, ratio = theirs/ours.
struct Result {
  std::string name;
  std::string peer;
  double ours = 0;
  double theirs = 0;
  std::string unit;
  bool better_when_larger = true;
  std::string conditions;
};
// {"name":…,"peer":…,"ours":…,"theirs":…,"unit":…,"ratio":…,"conditions":…} on stdout.
void Print(const Result& result);

// Seconds on the monotonic clock.
double Now();

// A running wheelpit-server on free ports with a data folder of its own below `folder`.
class Server {
 public:
  Server(const std::string& bin, const std::string& folder, std::vector<std::string> flags);
  ~Server();
  const std::string& grpc() const { return grpc_; }
  const std::string& http() const { return http_; }

 private:
  std::string data_dir_;
  std::string grpc_, http_;
  std::vector<ChildProcess> process_;  // one; ChildProcess has no empty state
};

// Ends the program with a message: a benchmark whose result is wrong gives no figure.
[[noreturn]] void Fail(const std::string& message);

// A folder on a disk file system for data of this run: `--folder=` or build/bench below the working folder. Never tmpfs.
std::string DataFolder(const std::string& asked);

}  // namespace wheelpit::bench
