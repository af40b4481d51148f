// `wheelpit up`: server and local workers on this machine, scaled by an autoscaling/v2 manifest exactly as the real controller would.
#pragma once

#include <string>
#include <vector>

namespace wheelpit {

// `args`: what follows `up`. Returns the exit code: 0 ended by a signal, 1 failed, 2 usage.
int RunUp(const std::vector<std::string>& args);

// For --help.
extern const char kUpHelp[];

}  // namespace wheelpit
