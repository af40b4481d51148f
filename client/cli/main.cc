// wheelpit: the command line. Each command is a file of its own and a line in this table.
#include <cstring>
#include <iostream>

#include "absl/strings/str_format.h"
#include "client/cli/command.h"
#include "client/cli/up_command.h"

namespace wheelpit {
namespace {

constexpr Command kCommands[] = {
    {"up", "run server and workers here, scaled by an HPA manifest", RunUp},
    {"submit", "submit tasks, and wait for their results", RunSubmit},
    {"work", "work on a queue's tasks with any program", RunWork},
    {"load", "submit tasks at random times, as users would", RunLoad},
    {"report", "count something once, or set a gauge", RunReport},
    {"queues", "list the queues", RunQueues},
    {"tasks", "list, show, wait for and cancel tasks", RunTasks},
    {"query", "evaluate PromQL", RunQuery},
};

int Usage(std::ostream& out, int code) {
  out << "usage: wheelpit COMMAND [flags]\n\n";
  for (const Command& command : kCommands) {
    out << absl::StreamFormat("  %-8s %s\n", command.name, command.summary);
  }
  out << "\nwheelpit COMMAND --help says more. wheelpit --version prints the version.\n"
         "Exit codes: 0 ok, 1 failed, 2 usage, 3 unreachable or timed out, 4 partly.\n";
  return code;
}

int Main(const std::vector<std::string>& args) {
  if (args.empty()) return Usage(std::cerr, kExitUsage);
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") return Usage(std::cout, kExitOk);
  if (args[0] == "--version") {
    std::cout << "wheelpit " << WHEELPIT_VERSION << "\n";
    return kExitOk;
  }
  for (const Command& command : kCommands) {
    if (args[0] == command.name) return command.run({args.begin() + 1, args.end()});
  }
  std::cerr << "wheelpit: no command \"" << args[0] << "\"\n";
  return Usage(std::cerr, kExitUsage);
}

}  // namespace
}  // namespace wheelpit

int main(int argc, char** argv) {
  return wheelpit::Main(std::vector<std::string>(argv + 1, argv + argc));
}
