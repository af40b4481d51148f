#include "server/gauges/queue_gauges.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "server/scaling/needed_workers.h"

namespace wheelpit {
namespace {

using Pairs = std::vector<Labels::Pair>;

uint64_t Count(const QueueStats& queue, TaskState state) { return queue.tasks[static_cast<size_t>(state)]; }

double AgeSeconds(int64_t since_ms, int64_t now_ms) {
  return since_ms == 0 ? 0 : static_cast<double>(std::max<int64_t>(now_ms - since_ms, 0)) / 1000;
}

double Demand(const QueueStats& queue) {
  const uint64_t leased = Count(queue, TaskState::kLeased);
  return static_cast<double>(queue.flags.paused ? leased : leased + Count(queue, TaskState::kReady));
}

int64_t Earlier(int64_t a, int64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

// What stands for the queues that have no series of their own. What is no sum (a service time) has no value there.
QueueStats SumOf(const std::vector<const QueueStats*>& queues) {
  QueueStats sum;
  sum.name = "_other";
  for (const QueueStats* queue : queues) {
    for (size_t i = 0; i < sum.tasks.size(); ++i) sum.tasks[i] += queue->tasks[i];
    sum.live_bytes += queue->live_bytes;
    sum.dead_bytes += queue->dead_bytes;
    sum.oldest_ready_since_ms = Earlier(sum.oldest_ready_since_ms, queue->oldest_ready_since_ms);
    sum.oldest_leased_since_ms = Earlier(sum.oldest_leased_since_ms, queue->oldest_leased_since_ms);
    sum.oldest_first_attempt_since_ms = Earlier(sum.oldest_first_attempt_since_ms, queue->oldest_first_attempt_since_ms);
    sum.next_due_ms = Earlier(sum.next_due_ms, queue->next_due_ms);
    sum.worker_sessions += queue->worker_sessions;
    sum.worker_slots += queue->worker_slots;
    sum.worker_slots_busy += queue->worker_slots_busy;
    if (!queue->scaling.has_value()) continue;
    if (!sum.scaling.has_value()) sum.scaling.emplace();
    sum.scaling->needed_workers += queue->scaling->needed_workers;
    sum.scaling->arrival_rate += queue->scaling->arrival_rate;
    sum.scaling->offered_slots += queue->scaling->offered_slots;
  }
  return sum;
}

struct Row {
  QueueStats stats;
  QueueRates rates;
  bool summed = false;
};

std::vector<Row> MakeRows(const ShardStats& stats, const QueueRatesByName& rates, size_t queues_max) {
  // The oldest queues have series of their own, so that a new one takes nobody's away.
  std::vector<const QueueStats*> by_age;
  for (const QueueStats& queue : stats.queues) by_age.push_back(&queue);
  std::stable_sort(by_age.begin(), by_age.end(), [](const QueueStats* a, const QueueStats* b) { return a->number < b->number; });
  const size_t own = std::min(by_age.size(), queues_max);
  const std::vector<const QueueStats*> rest(by_age.begin() + static_cast<ptrdiff_t>(own), by_age.end());
  by_age.resize(own);
  std::sort(by_age.begin(), by_age.end(), [](const QueueStats* a, const QueueStats* b) { return a->name < b->name; });
  std::vector<Row> rows;
  rows.reserve(own + 1);
  const auto rates_of = [&rates](const QueueStats& queue) {
    const auto it = rates.find(queue.name);
    return it == rates.end() ? QueueRates() : it->second;
  };
  for (const QueueStats* queue : by_age) rows.push_back({*queue, rates_of(*queue), false});
  if (rest.empty()) return rows;
  Row& other = rows.emplace_back();
  other.summed = true;
  other.stats = SumOf(rest);
  for (const QueueStats* queue : rest) {
    const QueueRates one = rates_of(*queue);
    for (size_t flow = 0; flow < kQueueFlows; ++flow) {
      for (size_t w = 0; w < one.flows[flow].size(); ++w) other.rates.flows[flow][w] += one.flows[flow][w];
    }
  }
  return rows;
}

// One family: its value of each queue, or several by a label.
class Writer {
 public:
  Writer(const std::vector<Row>& rows, absl::string_view only, std::vector<GaugeFamily>* out)
      : rows_(rows), only_(only), out_(out) {}

  template <typename Value>
  void Plain(const char* name, const char* help, Value&& value) {
    GaugeFamily* family = Begin(name, help);
    if (family == nullptr) return;
    for (const Row& row : rows_) Add(family, row, {}, static_cast<double>(value(row.stats)));
  }
  // `values`: (label value, function) in order.
  template <typename Value>
  void By(const char* name, const char* help, const char* label, const std::vector<std::pair<const char*, Value>>& values) {
    GaugeFamily* family = Begin(name, help);
    if (family == nullptr) return;
    for (const Row& row : rows_) {
      for (const auto& [text, value] : values) Add(family, row, {label, text}, static_cast<double>(value(row.stats)));
    }
  }
  // `write` is called with each row and a function that adds a series: (label, label value, value); "" = no label.
  template <typename Write>
  void Rows(const char* name, const char* help, Write&& write) {
    GaugeFamily* family = Begin(name, help);
    if (family == nullptr) return;
    for (const Row& row : rows_) {
      write(row, [&](const char* label, const char* text, double value) { Add(family, row, {label, text}, value); });
    }
  }

 private:
  // Null if the family is not wanted.
  GaugeFamily* Begin(const char* name, const char* help) {
    if (!only_.empty() && only_ != name) return nullptr;
    GaugeFamily& family = out_->emplace_back();
    family.name = name;
    family.help = help;
    return &family;
  }
  static void Add(GaugeFamily* family, const Row& row, Labels::Pair more, double value) {
    Pairs pairs = {{"queue", row.stats.name}};
    if (!more.first.empty()) pairs.push_back(std::move(more));
    family->series.push_back({family->name, Labels(std::move(pairs)), value});
  }

  const std::vector<Row>& rows_;
  const absl::string_view only_;
  std::vector<GaugeFamily>* const out_;
};

using ValueFn = double (*)(const QueueStats&);

void WriteCounts(Writer& writer) {
  writer.By<ValueFn>("wheelpit_queue_tasks", "Tasks by state. Rising ready: workers do not keep up; rising dead: look at the errors.",
                     "state",
                     {{"ready", [](const QueueStats& q) { return double(Count(q, TaskState::kReady)); }},
                      {"delayed", [](const QueueStats& q) { return double(Count(q, TaskState::kDelayed)); }},
                      {"retry_wait", [](const QueueStats& q) { return double(Count(q, TaskState::kRetryWait)); }},
                      {"leased", [](const QueueStats& q) { return double(Count(q, TaskState::kLeased)); }},
                      {"dead", [](const QueueStats& q) { return double(Count(q, TaskState::kDead)); }}});
  writer.By<ValueFn>("wheelpit_queue_bytes", "Payload bytes of tasks. Rising: the backlog grows, or its tasks do.", "state",
                     {{"live", [](const QueueStats& q) { return double(q.live_bytes); }},
                      {"dead", [](const QueueStats& q) { return double(q.dead_bytes); }}});
  writer.By<ValueFn>("wheelpit_queue_worker_slots", "Slots of the connected workers. All busy while tasks wait: more workers help.",
                     "state",
                     {{"busy", [](const QueueStats& q) { return double(q.worker_slots_busy); }},
                      {"idle", [](const QueueStats& q) {
                         return q.worker_slots > q.worker_slots_busy ? double(q.worker_slots - q.worker_slots_busy) : 0.0;
                       }}});
  writer.Plain("wheelpit_queue_demand_tasks", "Tasks that want a worker now: ready and leased; only leased while paused.", Demand);
  writer.Plain("wheelpit_queue_worker_sessions", "Connected workers. Falling: workers leave or are lost.",
               [](const QueueStats& q) { return q.worker_sessions; });
}

void WriteState(Writer& writer, int64_t now_ms) {
  writer.Plain("wheelpit_queue_oldest_ready_age_seconds", "How long the oldest ready task has waited. Rising: too few workers.",
               [now_ms](const QueueStats& q) { return AgeSeconds(q.oldest_ready_since_ms, now_ms); });
  writer.Plain("wheelpit_queue_oldest_leased_age_seconds", "How long the oldest leased task is at work. Rising: a worker is stuck.",
               [now_ms](const QueueStats& q) { return AgeSeconds(q.oldest_leased_since_ms, now_ms); });
  writer.Plain("wheelpit_queue_oldest_first_attempt_age_seconds",
               "How long the oldest ready task without an attempt has waited. Rising: new work does not get through.",
               [now_ms](const QueueStats& q) { return AgeSeconds(q.oldest_first_attempt_since_ms, now_ms); });
  writer.Plain("wheelpit_queue_next_due_timestamp_seconds", "When the next delay or retry ends, Unix time; 0 = none waits.",
               [](const QueueStats& q) { return double(q.next_due_ms) / 1000; });
  writer.Plain("wheelpit_queue_paused", "1 while the queue gives out no tasks.", [](const QueueStats& q) { return q.flags.paused; });
  writer.Plain("wheelpit_queue_closed", "1 while the queue takes no tasks.", [](const QueueStats& q) { return q.flags.closed; });
  writer.Plain("wheelpit_queue_limit_tasks", "Tasks that the queue takes at most; 0 = no limit of its own.",
               [](const QueueStats& q) { return q.config.tasks_max; });
  writer.Plain("wheelpit_queue_limit_bytes", "Payload bytes that the queue takes at most; 0 = no limit of its own.",
               [](const QueueStats& q) { return q.config.bytes_max; });
}

constexpr size_t kWindow60 = 1;
constexpr const char* kWindowNames[] = {"10s", "60s", "300s"};
static_assert(std::size(kWindowNames) == kQueueRateWindowsMs.size() && kQueueRateWindowsMs[kWindow60] == 60'000);

// How long the backlog lasts at the present speed.
double DrainSeconds(const Row& row) {
  const double ready = static_cast<double>(Count(row.stats, TaskState::kReady));
  const double rate = row.rates.of(QueueFlow::kCompletion)[kWindow60];
  if (ready == 0) return 0;
  return rate > 0 ? ready / rate : std::numeric_limits<double>::infinity();
}

void WriteRates(Writer& writer) {
  const auto rates = [&writer](const char* name, const char* help, QueueFlow flow) {
    writer.Rows(name, help, [flow](const Row& row, auto add) {
      for (size_t w = 0; w < std::size(kWindowNames); ++w) add("window", kWindowNames[w], row.rates.of(flow)[w]);
    });
  };
  rates("wheelpit_queue_submit_rate_per_second", "Tasks accepted per second, over the window. Rising: more work comes in.",
        QueueFlow::kSubmit);
  rates("wheelpit_queue_completion_rate_per_second",
        "Tasks completed per second, over the window. Rising: workers get more done; below the submit rate: the backlog grows.",
        QueueFlow::kCompletion);
  rates("wheelpit_queue_lease_rate_per_second",
        "Attempts begun per second, over the window. Rising above completions: attempts fail or are lost.", QueueFlow::kLease);
  writer.Rows("wheelpit_queue_estimated_drain_seconds",
              "Ready tasks over the completion rate of the last 60 s. Rising: workers fall behind; +Inf: tasks wait and none is completed.",
              [](const Row& row, auto add) { add("", "", DrainSeconds(row)); });
}

// Three decimals, rounded up: a need is never understated.
double RoundUpMilli(double value) { return std::ceil(value * 1000 - 1e-6) / 1000; }

void WriteScaling(Writer& writer) {
  const auto figure = [&writer](const char* name, const char* help, double QueueScaling::*member, bool sums) {
    writer.Rows(name, help, [member, sums](const Row& row, auto add) {
      if (row.stats.scaling.has_value() && (sums || !row.summed)) add("", "", *row.stats.scaling.*member);
    });
  };
  writer.Rows("wheelpit_queue_needed_workers",
              "Workers that the queue needs now; autoscale on it with an average value of 1. Rising: load, backlog or service time grew.",
              [](const Row& row, auto add) {
                if (row.stats.scaling.has_value()) add("", "", RoundUpMilli(row.stats.scaling->needed_workers));
              });
  writer.Rows("wheelpit_queue_needed_workers_term", "1 for what decides the needed workers. A change: the reason to scale is another.",
              [](const Row& row, auto add) {
                if (!row.stats.scaling.has_value() || row.summed) return;
                const absl::string_view largest = row.stats.scaling->largest_term;
                for (const ScalingTerm term : {ScalingTerm::kFlow, ScalingTerm::kInFlight, ScalingTerm::kBacklog,
                                               ScalingTerm::kGrowth, ScalingTerm::kHold, ScalingTerm::kNone}) {
                  add("term", ScalingTermName(term), largest == ScalingTermName(term) ? 1 : 0);
                }
              });
  figure("wheelpit_queue_arrival_rate_per_second",
         "New tasks per second as scaling sees them: bursts are cut, for the backlog counts them. Rising: more workers are needed.",
         &QueueScaling::arrival_rate, true);
  figure("wheelpit_queue_service_seconds", "Estimated seconds of one execution. Rising: tasks got longer, or workers slower.",
         &QueueScaling::service_s, false);
  figure("wheelpit_queue_offered_slots", "Slots that the arriving tasks keep busy: arrival rate x service time. Rising: load grew.",
         &QueueScaling::offered_slots, true);
  figure("wheelpit_queue_slots_per_waiting_task",
         "Slots that one waiting task asks for. Rising: the oldest task nears its wait target, or tasks got longer.",
         &QueueScaling::slots_per_task, false);
  writer.Rows("wheelpit_queue_service_time_inflated",
              "1 while all workers are busy and tasks take half as long again as when they are not: more workers may not help.",
              [](const Row& row, auto add) {
                if (row.stats.scaling.has_value() && !row.summed) add("", "", row.stats.scaling->service_time_inflated ? 1 : 0);
              });
}

}  // namespace

std::vector<GaugeFamily> QueueGaugeFamilies(const ShardStats& stats, const QueueRatesByName& rates, int64_t now_ms,
                                            const QueueGaugeOptions& options, absl::string_view only) {
  const std::vector<Row> rows = MakeRows(stats, rates, options.metric_queues_max);
  std::vector<GaugeFamily> families;
  Writer writer(rows, only, &families);
  WriteCounts(writer);
  WriteState(writer, now_ms);
  WriteRates(writer);
  WriteScaling(writer);
  std::erase_if(families, [](const GaugeFamily& family) { return family.series.empty(); });
  const auto single = [&](const char* name, const char* help, double value) {
    if (only.empty() || only == name) families.push_back({name, help, {{name, Labels(), value}}});
  };
  single("wheelpit_dedupe_entries", "Idempotency keys remembered. Near the limit the window shrinks.",
         static_cast<double>(stats.dedupe_entries));
  single("wheelpit_dedupe_effective_window_seconds", "How long a key is remembered now. Falling: too many keys for the configured window.",
         static_cast<double>(stats.dedupe_effective_window_ms) / 1000);
  std::sort(families.begin(), families.end(), [](const GaugeFamily& a, const GaugeFamily& b) { return a.name < b.name; });
  return families;
}

QueueGauges::QueueGauges(StatsSource stats, const SeriesStore* store, const QueueGaugeOptions& options)
    : stats_(std::move(stats)), store_(store), options_(options) {}

std::vector<GaugeFamily> QueueGauges::FamiliesNamed(int64_t now_ms, absl::string_view name) const {
  const std::shared_ptr<const ShardStats> stats = stats_();
  if (stats == nullptr || stats->at_ms == 0) return {};
  const bool with_rates = name.empty() || absl::EndsWith(name, "_rate_per_second") || absl::EndsWith(name, "_drain_seconds");
  return QueueGaugeFamilies(*stats, with_rates ? ReadQueueRates(*store_, now_ms) : QueueRatesByName(), now_ms, options_, name);
}

std::vector<GaugeFamily> QueueGauges::Families(int64_t now_ms) const { return FamiliesNamed(now_ms, ""); }

std::vector<VirtualSeries> QueueGauges::Read(int64_t now_ms, absl::string_view name) const {
  std::vector<VirtualSeries> all;
  for (GaugeFamily& family : FamiliesNamed(now_ms, name)) {
    for (VirtualSeries& series : family.series) all.push_back(std::move(series));
  }
  return all;
}

}  // namespace wheelpit
