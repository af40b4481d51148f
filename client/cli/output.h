// How commands write: aligned tables and colour on a terminal, tab-separated lines otherwise, a
// progress bar on stderr.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "client/sdk/submitter.h"

namespace wheelpit {

bool StdoutIsTerminal();

// The line and its end in one write, so that lines of several threads, and of both streams into one
// file, stay whole. Not so by `<<`: what std::cerr writes flushes std::cout first, half lines too.
void WriteLine(std::ostream& to, absl::string_view line);

class Table {
 public:
  explicit Table(std::vector<std::string> head) : head_(std::move(head)) {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Without a terminal: no head, fields joined by tabs.
  std::string Render(bool terminal) const;

 private:
  const std::vector<std::string> head_;
  std::vector<std::vector<std::string>> rows_;
};

// The state's name, coloured on a terminal.
std::string StateText(TaskInfo::State state, bool terminal);

// Overwrites one line of stderr; shows nothing unless that is a terminal and there are many.
class ProgressBar {
 public:
  ProgressBar(std::string what, uint64_t total);
  ~ProgressBar();
  void Show(uint64_t done);

 private:
  const std::string what_;
  const uint64_t total_;
  const bool shown_;
  int last_permille_ = -1;
};

}  // namespace wheelpit
