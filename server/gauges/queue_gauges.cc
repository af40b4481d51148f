#include "server/gauges/queue_gauges.h"

#include <algorithm>
#include <utility>

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

// What stands for the queues that have no series of their own.
QueueStats SumOf(const QueueStats* first, const QueueStats* last) {
  QueueStats sum;
  sum.name = "_other";
  for (const QueueStats* queue = first; queue != last; ++queue) {
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
  }
  return sum;
}

// One family: its value of each queue, or several by a label.
class Writer {
 public:
  Writer(const std::vector<QueueStats>& queues, std::vector<GaugeFamily>* out) : queues_(queues), out_(out) {}

  template <typename Value>
  void Plain(const char* name, const char* help, Value&& value) {
    GaugeFamily& family = Begin(name, help);
    for (const QueueStats& queue : queues_) Add(&family, queue, {}, static_cast<double>(value(queue)));
  }
  // `values`: (label value, function) in order.
  template <typename Value>
  void By(const char* name, const char* help, const char* label, const std::vector<std::pair<const char*, Value>>& values) {
    GaugeFamily& family = Begin(name, help);
    for (const QueueStats& queue : queues_) {
      for (const auto& [text, value] : values) Add(&family, queue, {label, text}, static_cast<double>(value(queue)));
    }
  }

 private:
  GaugeFamily& Begin(const char* name, const char* help) {
    GaugeFamily& family = out_->emplace_back();
    family.name = name;
    family.help = help;
    return family;
  }
  static void Add(GaugeFamily* family, const QueueStats& queue, Labels::Pair more, double value) {
    Pairs pairs = {{"queue", queue.name}};
    if (!more.first.empty()) pairs.push_back(std::move(more));
    family->series.push_back({family->name, Labels(std::move(pairs)), value});
  }

  const std::vector<QueueStats>& queues_;
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

}  // namespace

std::vector<GaugeFamily> QueueGaugeFamilies(const ShardStats& stats, int64_t now_ms, const QueueGaugeOptions& options) {
  std::vector<QueueStats> queues;
  const size_t own = std::min(stats.queues.size(), options.metric_queues_max);
  queues.assign(stats.queues.begin(), stats.queues.begin() + static_cast<ptrdiff_t>(own));
  if (own < stats.queues.size()) queues.push_back(SumOf(stats.queues.data() + own, stats.queues.data() + stats.queues.size()));
  std::vector<GaugeFamily> families;
  if (!queues.empty()) {
    Writer writer(queues, &families);
    WriteCounts(writer);
    WriteState(writer, now_ms);
  }
  const auto single = [&families](const char* name, const char* help, double value) {
    families.push_back({name, help, {{name, Labels(), value}}});
  };
  single("wheelpit_dedupe_entries", "Idempotency keys remembered. Near the limit the window shrinks.",
         static_cast<double>(stats.dedupe_entries));
  single("wheelpit_dedupe_effective_window_seconds", "How long a key is remembered now. Falling: too many keys for the configured window.",
         static_cast<double>(stats.dedupe_effective_window_ms) / 1000);
  std::sort(families.begin(), families.end(), [](const GaugeFamily& a, const GaugeFamily& b) { return a.name < b.name; });
  return families;
}

QueueGauges::QueueGauges(StatsSource stats, const QueueGaugeOptions& options)
    : stats_(std::move(stats)), options_(options) {}

std::vector<GaugeFamily> QueueGauges::Families(int64_t now_ms) const {
  const std::shared_ptr<const ShardStats> stats = stats_();
  return stats == nullptr ? std::vector<GaugeFamily>() : QueueGaugeFamilies(*stats, now_ms, options_);
}

std::vector<VirtualSeries> QueueGauges::Read(int64_t now_ms) const {
  std::vector<VirtualSeries> all;
  for (GaugeFamily& family : Families(now_ms)) {
    for (VirtualSeries& series : family.series) all.push_back(std::move(series));
  }
  return all;
}

}  // namespace wheelpit
