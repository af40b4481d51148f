#include "tests/bench/bench_util.h"

#include <signal.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"

namespace wheelpit::bench {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n == 0 ? 0 : (values[(n - 1) / 2] + values[n / 2]) / 2;
}

void Print(const Result& r) {
  const double ratio = r.better_when_larger ? r.ours / r.theirs : r.theirs / r.ours;
  const nlohmann::ordered_json line = {{"name", r.name}, {"peer", r.peer},   {"ours", r.ours},           {"theirs", r.theirs},
                                       {"unit", r.unit}, {"ratio", ratio}, {"conditions", r.conditions}};
  std::cout << line.dump() << std::endl;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Fail(const std::string& message) {
  std::cerr << "benchmark failed: " << message << std::endl;
  std::_Exit(1);
}

std::string DataFolder(const std::string& asked) {
  const std::string folder = asked.empty() ? "build/bench" : asked;
  std::filesystem::create_directories(folder);
  struct statfs fs;
  constexpr long kTmpfs = 0x01021994;
  if (::statfs(folder.c_str(), &fs) == 0 && fs.f_type == kTmpfs) {
    Fail(absl::StrCat(folder, " is on tmpfs, where a sync costs nothing; give --folder on a disk"));
  }
  return std::filesystem::absolute(folder).string();
}

Server::Server(const std::string& bin, const std::string& folder, std::vector<std::string> flags) {
  std::string pattern = absl::StrCat(folder, "/server-XXXXXX");
  if (::mkdtemp(pattern.data()) == nullptr) Fail("cannot make a folder in " + folder);
  data_dir_ = pattern;
  const std::string ports = data_dir_ + "/ports.json";
  ChildOptions child;
  child.arguments = {bin + "/wheelpit-server", "--data_dir=" + data_dir_, "--grpc_port=0", "--http_port=0", "--apis_port=0",
                     "--ports_file=" + ports};
  child.arguments.insert(child.arguments.end(), flags.begin(), flags.end());
  child.output_file = data_dir_ + "/server.log";
  absl::StatusOr<ChildProcess> process = ChildProcess::Start(child);
  if (!process.ok()) Fail(std::string(process.status().message()));
  process_.push_back(*std::move(process));
  for (int i = 0; i < 600; ++i) {
    std::ifstream file(ports);
    std::stringstream text;
    text << file.rdbuf();
    const auto json = nlohmann::json::parse(text.str(), nullptr, false);
    if (json.is_object() && json.contains("grpc")) {
      grpc_ = json["grpc"];
      http_ = json["http"];
      return;
    }
    if (process_[0].Poll()) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  Fail("wheelpit-server did not start; see " + data_dir_ + "/server.log");
}

Server::~Server() {
  process_[0].Signal(SIGTERM);
  process_[0].Wait();
  std::error_code ignored;
  std::filesystem::remove_all(data_dir_, ignored);
}

}  // namespace wheelpit::bench
