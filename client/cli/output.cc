#include "client/cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace wheelpit {
namespace {

constexpr uint64_t kManyTasks = 100;

// Escape sequences take no place on the screen.
size_t Width(absl::string_view text) {
  size_t width = 0;
  bool escape = false;
  for (char c : text) {
    if (c == '\033') escape = true;
    // Continuation bytes of UTF-8 take none either.
    if (!escape && (static_cast<unsigned char>(c) & 0xc0) != 0x80) ++width;
    if (escape && c == 'm') escape = false;
  }
  return width;
}

}  // namespace

void WriteLine(std::ostream& to, absl::string_view line) {
  to << absl::StrCat(line, "\n") << std::flush;
}

bool StdoutIsTerminal() { return isatty(STDOUT_FILENO) == 1; }

std::string Table::Render(bool terminal) const {
  std::string text;
  if (!terminal) {
    for (const auto& row : rows_) absl::StrAppend(&text, absl::StrJoin(row, "\t"), "\n");
    return text;
  }
  std::vector<size_t> widths;
  for (const std::string& head : head_) widths.push_back(Width(head));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  const auto line = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, row[i]);
      if (i + 1 < row.size()) text.append(widths[i] - Width(row[i]) + 2, ' ');
    }
    text += "\n";
  };
  line(head_);
  for (const auto& row : rows_) line(row);
  return text;
}

std::string StateText(TaskInfo::State state, bool terminal) {
  const absl::string_view name = TaskStateName(state);
  if (!terminal) return std::string(name);
  int colour = 36;  // live
  if (state == TaskInfo::State::kSucceeded) colour = 32;
  if (state == TaskInfo::State::kDead || state == TaskInfo::State::kExpired) colour = 31;
  if (state == TaskInfo::State::kCancelled) colour = 33;
  return absl::StrFormat("\033[%dm%s\033[0m", colour, name);
}

ProgressBar::ProgressBar(std::string what, uint64_t total)
    : what_(std::move(what)),
      total_(total),
      shown_(total >= kManyTasks && isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (shown_ && last_permille_ >= 0) std::cerr << "\r\033[K" << std::flush;
}

void ProgressBar::Show(uint64_t done) {
  if (!shown_) return;
  const int permille = static_cast<int>(done * 1000 / total_);
  if (permille == last_permille_) return;
  last_permille_ = permille;
  constexpr int kCells = 40;
  const int full = permille * kCells / 1000;
  std::cerr << "\r\033[K" << what_ << " [" << std::string(static_cast<size_t>(full), '#')
            << std::string(static_cast<size_t>(kCells - full), '.') << "] " << done << "/" << total_
            << std::flush;
}

}  // namespace wheelpit
