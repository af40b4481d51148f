// The peer of queue_durable: beanstalkd over its own protocol, with as many commands unanswered as ours has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wheelpit::bench {

struct PeerLoad {
  int submitters = 32;
  int workers = 32;
  int depth = 32;
  uint64_t tasks = 0;
};

// Puts, reserves and deletes load.tasks jobs of 64 bytes through a running beanstalkd; returns tasks a second. Ends the program if a
// job is done twice or never.
double RunBeanstalk(int port, const PeerLoad& load);

}  // namespace wheelpit::bench
