#include <dirent.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/exposition/self_metrics.h"

namespace wheelpit {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Fields of /proc/self/stat after the command's closing parenthesis: [0] is field 3 of proc(5).
std::vector<double> StatFields(const std::string& proc_dir) {
  const std::string text = ReadFile(absl::StrCat(proc_dir, "/self/stat"));
  const size_t end = text.rfind(") ");
  std::vector<double> fields;
  if (end == std::string::npos) return fields;
  for (absl::string_view word : absl::StrSplit(absl::string_view(text).substr(end + 2), ' ')) {
    double value = 0;
    if (!absl::SimpleAtod(word, &value)) value = 0;  // the state letter
    fields.push_back(value);
  }
  return fields;
}

// The first number after `key` in a file of lines.
bool FindNumber(const std::string& path, absl::string_view key, double* value) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, key)) continue;
    for (absl::string_view word : absl::StrSplit(line.substr(key.size()), ' ', absl::SkipWhitespace())) {
      if (absl::SimpleAtod(word, value)) return true;
    }
  }
  return false;
}

double CountFiles(const std::string& path) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return -1;
  double count = 0;
  while (const dirent* entry = readdir(dir)) count += entry->d_name[0] != '.' ? 1 : 0;
  closedir(dir);
  return count - 1;  // the one that reads
}

void Add(const char* name, const char* help, prometheus::MetricType type, double value,
         std::vector<prometheus::MetricFamily>* families) {
  prometheus::MetricFamily& family = families->emplace_back();
  family.name = name;
  family.help = help;
  family.type = type;
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
}

}  // namespace

std::vector<prometheus::MetricFamily> ReadProcessMetrics(const std::string& proc_dir) {
  constexpr auto kGauge = prometheus::MetricType::Gauge;
  std::vector<prometheus::MetricFamily> families;
  const std::vector<double> stat = StatFields(proc_dir);
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (stat.size() > 21) {
    Add("process_cpu_seconds_total", "User and system CPU time spent, seconds.", prometheus::MetricType::Counter,
        (stat[11] + stat[12]) / ticks, &families);
    Add("process_threads", "Threads of the process.", kGauge, stat[17], &families);
    Add("process_virtual_memory_bytes", "Address space in use.", kGauge, stat[20], &families);
    Add("process_resident_memory_bytes", "Memory in RAM.", kGauge, stat[21] * static_cast<double>(sysconf(_SC_PAGESIZE)),
        &families);
    double boot = 0;
    if (FindNumber(absl::StrCat(proc_dir, "/stat"), "btime", &boot)) {
      Add("process_start_time_seconds", "When the process started, Unix time.", kGauge, boot + stat[19] / ticks, &families);
    }
  }
  if (const double open = CountFiles(absl::StrCat(proc_dir, "/self/fd")); open >= 0) {
    Add("process_open_fds", "Open file descriptors.", kGauge, open, &families);
  }
  double most = 0;
  if (FindNumber(absl::StrCat(proc_dir, "/self/limits"), "Max open files", &most)) {
    Add("process_max_fds", "Limit of open file descriptors.", kGauge, most, &families);
  }
  return families;
}

}  // namespace wheelpit
