// Between wheelpit.v1's messages and the plain values of the queue.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/model/queue_stats.h"
#include "server/model/task.h"
#include "server/queue/work_queue.h"
#include "server/series/series_store.h"
#include "wheelpit/v1/admin.pb.h"
#include "wheelpit/v1/queue.pb.h"
#include "wheelpit/v1/types.pb.h"

namespace wheelpit {

// Everything but the payload, which the caller copies or moves. `store` knows which series may be counted. INVALID_ARGUMENT BAD_FIELD.
absl::Status SpecFromProto(const v1::TaskSpec& proto, const SeriesStore& store, TaskSpec* out);
// Moves what the view owns.
void ViewToProto(TaskView&& view, v1::Task* out);
void AssignmentToProto(Assignment&& assignment, v1::Assignment* out);
void SubmitResultToProto(const absl::StatusOr<SubmitOutcome>& outcome, v1::SubmitResult* out);

// Tasks on their way into one SubmitBatch. Those that do not even parse have their answer at once and do not reach the queue.
class SubmitPlan {
 public:
  // `store` outlives it.
  explicit SubmitPlan(const SeriesStore* store) : store_(store) {}
  // Takes the payload out of the message.
  void Add(v1::TaskSpec* proto);
  size_t size() const { return outcomes_.size(); }
  bool empty() const { return outcomes_.empty(); }
  size_t payload_bytes() const { return payload_bytes_; }
  // First error of a task that does not parse.
  const absl::Status& first_error() const { return first_error_; }
  std::vector<TaskSpec>& specs() { return specs_; }
  // Outcomes of specs(), in that order.
  void Fill(absl::StatusOr<std::vector<absl::StatusOr<SubmitOutcome>>> outcomes);
  // Of every task, in the order of Add.
  const std::vector<absl::StatusOr<SubmitOutcome>>& outcomes() const { return outcomes_; }

 private:
  const SeriesStore* store_;
  std::vector<TaskSpec> specs_;
  std::vector<size_t> open_;
  std::vector<absl::StatusOr<SubmitOutcome>> outcomes_;
  size_t payload_bytes_ = 0;
  absl::Status first_error_;
};

std::string FormatSessionId(SessionId id);
// BAD_FIELD. Empty = 0.
absl::StatusOr<SessionId> ParseSessionId(absl::string_view text);

absl::StatusOr<std::vector<QueueWeight>> QueuesFromProto(const google::protobuf::RepeatedPtrField<v1::WorkQueue>& proto);

// Results of one batch of lease operations, in request order. Items whose id does not parse have their answer at once and do not
// reach the queue.
class LeaseResults {
 public:
  explicit LeaseResults(v1::LeaseOperation operation) : operation_(operation) {}
  // Adds an answer; false if it is an error already.
  bool Add(const std::string& task_id, uint64_t token, LeaseRef* ref);
  // Outcomes of the items for which Add was true, in that order.
  void Fill(const std::vector<LeaseOutcome>& outcomes);
  google::protobuf::RepeatedPtrField<v1::LeaseResult>& results() { return results_; }

 private:
  v1::LeaseOperation operation_;
  google::protobuf::RepeatedPtrField<v1::LeaseResult> results_;
  std::vector<int> open_;  // places that wait for an outcome
};

// `mutate`: results and errors are moved out of the messages.
std::vector<Completion> CompletionsFromProto(google::protobuf::RepeatedPtrField<v1::Completion>* proto, LeaseResults* results);
std::vector<Failure> FailuresFromProto(google::protobuf::RepeatedPtrField<v1::Failure>* proto, LeaseResults* results);
std::vector<Extension> ExtensionsFromProto(const google::protobuf::RepeatedPtrField<v1::Extension>& proto, LeaseResults* results);
std::vector<LeaseRef> LeasesFromProto(const google::protobuf::RepeatedPtrField<v1::LeaseRef>& proto, LeaseResults* results);

// Unset and 0 mean the defaults, as in the proto's comments. BAD_FIELD for what this version cannot do.
absl::StatusOr<QueueConfig> ConfigFromProto(const v1::QueueConfig& proto, const QueueConfig& defaults);
// BAD_FIELD as above.
absl::StatusOr<QueueFlags> FlagsFromProto(const v1::QueueFlags& proto);
void QueueInfoToProto(const QueueStats& stats, v1::QueueInfo* out);

}  // namespace wheelpit
