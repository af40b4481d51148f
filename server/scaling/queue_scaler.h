// Measures one queue from its stats, and says how many workers it needs. Time comes with the stats; no clock inside.
//
//   scaler.Update(stats);                   // engine thread, about once a second and before each answer
//   const ScalingAnswer a = scaler.Answer(now_ms);
//
// Not thread-safe. What must survive a restart is ScalingState, journaled as a SCALE record when it changed.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "server/model/queue_stats.h"
#include "server/scaling/needed_workers.h"

namespace wheelpit {

// Tasks becoming READY for the first time, per second: fast up, slow down, deaf to a single burst (which the backlog counts already).
// Twelve sliding 5 s buckets; each is capped at 3 x max(median, 1); the rate is the larger of the last three's mean and all twelve's.
class ArrivalRate {
 public:
  void Add(uint64_t tasks, int64_t now_ms);
  double PerSecond(int64_t now_ms) const;
  int64_t last_arrival_ms() const { return last_arrival_ms_; }

 private:
  static constexpr int kSlots = 60;
  void MoveTo(int64_t second);
  std::array<uint64_t, kSlots> slots_{};
  int64_t second_ = 0;
  int64_t last_arrival_ms_ = 0;
};

// Seconds of one execution by total time on test: busy slot-seconds, those of running tasks included, over finished ones; both halve
// every 300 s. A prior of 5 executions keeps it sane without data.
class ServiceTime {
 public:
  explicit ServiceTime(double prior_s) : prior_s_(prior_s) {}
  void Add(double busy_slot_s, double finished, int64_t now_ms);
  double Seconds() const;
  double prior_s() const { return prior_s_; }
  void SetPrior(double prior_s) { prior_s_ = prior_s; }
  // Whether enough was ever seen for the prior to be a measurement.
  bool measured() const { return measured_; }

 private:
  double prior_s_;
  bool measured_ = false;
  double busy_ = 0;
  double finished_ = 0;
  int64_t at_ms_ = 0;
};

// Seconds of one execution over the last minute alone, leaning on `usual_s` as on five executions more.
class RecentServiceTime {
 public:
  void Add(double busy_slot_s, double finished, int64_t now_ms);
  double Seconds(double usual_s, int64_t now_ms) const;

 private:
  static constexpr int kSlots = 60;
  struct Slot {
    int64_t second = 0;
    double busy = 0;
    double finished = 0;
  };
  std::array<Slot, kSlots> slots_{};
};

struct ScalingState {
  int64_t at_ms = 0;
  double arrival_rate = 0;
  double service_s = 0;
  double prior_service_s = 0;
  double startup_s = 0;
  double needed_workers = 0;
};

struct ScalingAnswer {
  bool active = false;
  double workers = 0;      // x
  ScalingInputs inputs;
  NeededWorkers computed;
  ScalingTerm largest = ScalingTerm::kNone;
  // Nine tenths of the slots are busy, and executions of the last minute took half as long again as when they were not.
  bool service_time_inflated = false;
};

class QueueScaler {
 public:
  explicit QueueScaler(const QueueConfig& config);

  void Update(const QueueStats& stats);
  ScalingAnswer Answer(int64_t now_ms) const;

  // For the SCALE record, and back after a restart: for 60 s the answer is at least what was last said.
  ScalingState State(int64_t now_ms) const;
  void Restore(const ScalingState& state, int64_t now_ms);

 private:
  void MeasureStartup(const QueueStats& stats);
  double StartupSeconds() const;
  // Whether nearly all slots are busy.
  static bool Saturated(const QueueStats& stats);
  // Sets service_time_inflated; with the guard at cap, bounds the answer.
  void GuardContention(int64_t now_ms, ScalingAnswer* answer) const;

  QueueStats stats_;
  bool has_stats_ = false;
  ArrivalRate arrivals_;
  ServiceTime service_;
  // While there were idle slots: what an execution takes when workers do not stand in each other's way.
  ServiceTime unhindered_;
  RecentServiceTime recent_;
  std::vector<double> startups_;   // newest last, at most 9
  int64_t wanted_since_ms_ = 0;    // since when more workers are needed than there are; 0 = not
  uint64_t wanted_from_ = 0;       // how many there were then
  double restored_startup_s_ = 0;
  double hold_ = 0;
  int64_t hold_until_ms_ = 0;
};

}  // namespace wheelpit
