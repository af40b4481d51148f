#include "server/rpc/report_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

std::vector<Labels::Pair> PairsFromProto(const google::protobuf::RepeatedPtrField<v1::Label>& labels) {
  std::vector<Labels::Pair> pairs;
  pairs.reserve(static_cast<size_t>(labels.size()));
  for (const v1::Label& label : labels) pairs.emplace_back(label.name(), label.value());
  return pairs;
}

template <typename T>
absl::Span<const T> Column(const google::protobuf::RepeatedField<T>& field) {
  return absl::Span<const T>(field.data(), static_cast<size_t>(field.size()));
}

// An upper bound that costs nothing per sample: 15 bytes hold any pair of ref and value.
uint64_t EncodedBytes(const v1::Batch& proto) {
  const auto samples = static_cast<uint64_t>(proto.counter_refs_size() + proto.fraction_refs_size() + proto.gauge_refs_size() +
                                             proto.gauge_removes_size());
  uint64_t bytes = samples * 15;
  for (const auto& def : proto.families()) bytes += def.ByteSizeLong();
  for (const auto& def : proto.series()) bytes += def.ByteSizeLong();
  for (const auto& sub : proto.subs()) bytes += sub.ByteSizeLong();
  for (const auto& sample : proto.histograms()) bytes += sample.ByteSizeLong();
  for (const auto& sample : proto.native_histograms()) bytes += sample.ByteSizeLong();
  for (const auto& sample : proto.summaries()) bytes += sample.ByteSizeLong();
  for (const auto& exemplar : proto.exemplars()) bytes += exemplar.ByteSizeLong();
  return bytes;
}

}  // namespace

absl::StatusOr<ReportHello> HelloFromProto(const v1::Hello& proto) {
  if (!v1::ValueMode_IsValid(proto.mode())) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_FIELD", absl::StrCat("mode: unknown value ", proto.mode()));
  }
  ReportHello hello;
  hello.reporter_id = proto.reporter_id();
  hello.incarnation = proto.incarnation();
  hello.acked_through = proto.acked_through();
  hello.cumulative = proto.mode() == v1::VALUE_MODE_CUMULATIVE;
  hello.labels = PairsFromProto(proto.labels());
  return hello;
}

ReportBatch BatchFromProto(const v1::Batch& proto) {
  ReportBatch batch;
  batch.seq = proto.seq();
  batch.interval_ms = proto.interval_ms();
  batch.age_ms = proto.age_ms();
  for (const v1::FamilyDef& def : proto.families()) {
    Family family;
    family.name = def.name();
    family.type = static_cast<MetricType>(def.type());
    family.help = def.help();
    family.unit = def.unit();
    family.gauge_merge = static_cast<GaugeMerge>(def.gauge_merge());
    family.bucket_bounds.assign(def.bucket_bounds().begin(), def.bucket_bounds().end());
    batch.families.push_back(std::move(family));
  }
  for (const v1::SeriesDef& def : proto.series()) batch.series.push_back({def.ref(), def.family(), PairsFromProto(def.labels())});
  batch.counter_refs = Column(proto.counter_refs());
  batch.counter_values = Column(proto.counter_values());
  batch.fraction_refs = Column(proto.fraction_refs());
  batch.fraction_values = Column(proto.fraction_values());
  batch.gauge_refs = Column(proto.gauge_refs());
  batch.gauge_values = Column(proto.gauge_values());
  batch.gauge_removes = Column(proto.gauge_removes());
  for (const v1::SubDeltas& sub : proto.subs()) batch.subs.push_back({sub.ref(), Column(sub.deltas())});
  batch.encoded_bytes = EncodedBytes(proto);
  batch.unsupported_samples =
      static_cast<uint32_t>(proto.histograms_size() + proto.native_histograms_size() + proto.summaries_size() + proto.exemplars_size());
  return batch;
}

void HelloAckToProto(const HelloOutcome& outcome, const RpcContext& rpc, v1::HelloAck* out) {
  out->set_history_id(outcome.history_id);
  out->set_applied_seq(outcome.applied_seq);
  out->set_credit(outcome.credit);
  out->set_durable(outcome.durable);
  out->mutable_limits()->set_samples_per_batch_max(rpc.ingest_options.samples_per_batch_max);
  out->mutable_limits()->set_batch_bytes_max(rpc.ingest_options.batch_bytes_max);
  out->mutable_limits()->set_series_per_reporter_max(static_cast<uint32_t>(rpc.series_limits.series_per_reporter_max));
}

void MergeAck(BatchAck&& ack, v1::Ack* out) {
  out->set_through_seq(std::max(out->through_seq(), ack.through_seq));
  out->set_level(ack.durable ? v1::ACK_LEVEL_DURABLE : v1::ACK_LEVEL_APPLIED);
  out->set_history_id(ack.history_id);
  out->set_credit(ack.credit);
  for (SampleReject& reject : ack.rejects) {
    v1::Reject* proto = out->add_rejects();
    proto->set_seq(reject.seq);
    proto->set_sample_index(reject.sample_index);
    proto->set_reason(std::move(reject.reason));
    proto->set_message(std::move(reject.message));
  }
}

}  // namespace wheelpit
