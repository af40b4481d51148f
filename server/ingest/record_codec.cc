#include "server/ingest/record_codec.h"

#include <utility>

#include "base/errors.h"
#include "base/varint.h"
#include "wheelpit/journal/v1/records.pb.h"

namespace wheelpit {
namespace {

namespace pb = ::wheelpit::journal::v1;

absl::Status Corrupt(absl::string_view what) { return MakeError(absl::StatusCode::kDataLoss, "CORRUPT", what); }

// One packed column, written by hand: a report has thousands of them, and the generated code walks each twice.
// Its length takes four bytes, padded, so that the values can be written before it is known.
template <typename T>
void AppendPackedVarints(uint32_t field, absl::Span<const T> values, std::string* out) {
  if (values.empty()) return;
  constexpr uint32_t kLengthDelimited = 2;
  constexpr size_t kLengthBytes = 4;
  constexpr size_t kValueMax = sizeof(T) == 4 ? 5 : kVarintMax;
  PutVarint(field << 3 | kLengthDelimited, out);
  const size_t begin = out->size();
  out->resize(begin + kLengthBytes + values.size() * kValueMax);
  char* const first = out->data() + begin + kLengthBytes;
  char* p = first;
  for (const T value : values) {
    if (value < 0x80) [[likely]] {
      *p++ = static_cast<char>(value);
    } else if (value < 0x4000) {
      *p++ = static_cast<char>(value | 0x80);
      *p++ = static_cast<char>(value >> 7);
    } else {
      p = EncodeVarint(value, p);
    }
  }
  const auto length = static_cast<uint32_t>(p - first);
  char* l = out->data() + begin;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    l[i] = static_cast<char>((length >> (7 * i) & 0x7f) | (i + 1 < kLengthBytes ? 0x80 : 0));
  }
  out->resize(begin + kLengthBytes + length);
}

template <typename T>
void SetRepeated(const std::vector<T>& from, google::protobuf::RepeatedField<T>* to) {
  to->Add(from.begin(), from.end());
}

template <typename T>
std::vector<T> ToVector(const google::protobuf::RepeatedField<T>& from) {
  return std::vector<T>(from.begin(), from.end());
}

void SeriesToProto(const NewSeries& series, pb::SeriesMeta* out) {
  out->set_id(series.id);
  out->set_family(series.family);
  for (const auto& [name, value] : series.labels.pairs()) {
    out->add_labels(name);
    out->add_labels(value);
  }
}

bool SeriesFromProto(const pb::SeriesMeta& proto, NewSeries* out) {
  if (proto.labels_size() % 2 != 0) return false;
  std::vector<Labels::Pair> pairs;
  for (int i = 0; i < proto.labels_size(); i += 2) pairs.emplace_back(proto.labels(i), proto.labels(i + 1));
  *out = {proto.id(), proto.family(), Labels(std::move(pairs))};
  return true;
}

void FamilyToProto(const Family& family, pb::FamilyMeta* out) {
  out->set_name(family.name);
  out->set_type(static_cast<uint32_t>(family.type));
  out->set_help(family.help);
  out->set_unit(family.unit);
  out->set_gauge_merge(static_cast<uint32_t>(family.gauge_merge));
  for (const double bound : family.bucket_bounds) out->add_bucket_bounds(bound);
}

Family FamilyFromProto(const pb::FamilyMeta& proto) {
  Family family;
  family.name = proto.name();
  family.type = static_cast<MetricType>(proto.type());
  family.help = proto.help();
  family.unit = proto.unit();
  family.gauge_merge = static_cast<GaugeMerge>(proto.gauge_merge());
  family.bucket_bounds.assign(proto.bucket_bounds().begin(), proto.bucket_bounds().end());
  return family;
}

bool ColumnsFromProto(const pb::ReportBody& body, ReportColumns* c) {
  c->counter_ids = ToVector(body.counter_ids());
  c->counter_deltas.assign(body.counter_deltas().begin(), body.counter_deltas().end());
  c->fraction_ids = ToVector(body.fraction_ids());
  c->fraction_deltas = ToVector(body.fraction_deltas());
  c->gauge_ids = ToVector(body.gauge_ids());
  c->gauge_values = ToVector(body.gauge_values());
  c->gauge_removes = ToVector(body.gauge_removes());
  c->cumulative_ids = ToVector(body.cumulative_ids());
  c->cumulative_values = ToVector(body.cumulative_values());
  c->cumulative_integral_ids = ToVector(body.cumulative_integral_ids());
  c->cumulative_integral_values.assign(body.cumulative_integral_values().begin(), body.cumulative_integral_values().end());
  for (const pb::SubMeta& sub : body.subs()) c->subs.push_back({sub.id(), {sub.deltas().begin(), sub.deltas().end()}});
  return c->counter_ids.size() == c->counter_deltas.size() && c->fraction_ids.size() == c->fraction_deltas.size() &&
         c->gauge_ids.size() == c->gauge_values.size() && c->cumulative_ids.size() == c->cumulative_values.size() &&
         c->cumulative_integral_ids.size() == c->cumulative_integral_values.size();
}

bool Parse(google::protobuf::MessageLite* message, absl::string_view bytes) {
  return message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

void ReportColumns::clear() {
  counter_ids.clear();
  counter_deltas.clear();
  fraction_ids.clear();
  fraction_deltas.clear();
  gauge_ids.clear();
  gauge_values.clear();
  gauge_removes.clear();
  subs.clear();
  cumulative_ids.clear();
  cumulative_values.clear();
  cumulative_integral_ids.clear();
  cumulative_integral_values.clear();
}

void EncodeReport(const ReportHeader& header, const ReportDefinitions& definitions, const ReportColumns& columns, std::string* meta,
                  std::string* payload) {
  pb::ReportMeta m;
  m.set_at_ms(header.at_ms);
  m.set_reporter(header.reporter);
  m.set_incarnation(header.incarnation);
  m.set_seq(header.seq);
  m.set_age_ms(header.age_ms);
  m.set_interval_ms(header.interval_ms);
  m.set_content_crc(header.content_crc);
  m.set_goodbye(header.goodbye);
  m.set_drained(header.drained);
  m.set_hello(header.hello);
  m.set_reporter_number(header.reporter_number);
  m.SerializeToString(meta);

  payload->clear();
  AppendPackedVarints<uint32_t>(pb::ReportBody::kCounterIdsFieldNumber, columns.counter_ids, payload);
  AppendPackedVarints<uint64_t>(pb::ReportBody::kCounterDeltasFieldNumber, columns.counter_deltas, payload);
  const bool rest = !definitions.families.empty() || !definitions.series.empty() || !columns.fraction_ids.empty() ||
                    !columns.gauge_ids.empty() || !columns.gauge_removes.empty() || !columns.subs.empty() ||
                    !columns.cumulative_ids.empty() || !columns.cumulative_integral_ids.empty();
  if (!rest) return;
  // Messages written one after the other parse as one.
  pb::ReportBody body;
  for (const Family& family : definitions.families) FamilyToProto(family, body.add_families());
  for (const NewSeries& series : definitions.series) SeriesToProto(series, body.add_series());
  SetRepeated(columns.fraction_ids, body.mutable_fraction_ids());
  SetRepeated(columns.fraction_deltas, body.mutable_fraction_deltas());
  SetRepeated(columns.gauge_ids, body.mutable_gauge_ids());
  SetRepeated(columns.gauge_values, body.mutable_gauge_values());
  SetRepeated(columns.gauge_removes, body.mutable_gauge_removes());
  SetRepeated(columns.cumulative_ids, body.mutable_cumulative_ids());
  SetRepeated(columns.cumulative_values, body.mutable_cumulative_values());
  SetRepeated(columns.cumulative_integral_ids, body.mutable_cumulative_integral_ids());
  SetRepeated(columns.cumulative_integral_values, body.mutable_cumulative_integral_values());
  for (const SubSample& sub : columns.subs) {
    pb::SubMeta* s = body.add_subs();
    s->set_id(sub.id);
    SetRepeated(sub.deltas, s->mutable_deltas());
  }
  body.AppendToString(payload);
}

absl::StatusOr<DecodedReport> DecodeReport(const RecordView& record) {
  pb::ReportMeta m;
  pb::ReportBody body;
  if (!Parse(&m, record.meta) || !Parse(&body, record.payload)) return Corrupt("a REPORT record does not parse");
  DecodedReport report;
  report.header = {m.at_ms(),       m.reporter(),    m.reporter_number(), m.incarnation(), m.seq(),  m.age_ms(),
                   m.interval_ms(), m.content_crc(), m.goodbye(),         m.drained(),     m.hello()};
  for (const pb::FamilyMeta& family : body.families()) report.definitions.families.push_back(FamilyFromProto(family));
  for (const pb::SeriesMeta& series : body.series()) {
    report.definitions.series.emplace_back();
    if (!SeriesFromProto(series, &report.definitions.series.back())) return Corrupt("a REPORT record has half a label");
  }
  if (!ColumnsFromProto(body, &report.columns)) return Corrupt("the columns of a REPORT record differ in length");
  return report;
}

void EncodeForget(const ForgetRecord& forget, std::string* meta, std::string* payload) {
  pb::ForgetMeta m;
  m.set_at_ms(forget.at_ms);
  SetRepeated(forget.reporters, m.mutable_reporters());
  m.SerializeToString(meta);
  pb::ReportBody body;
  for (const NewSeries& series : forget.series) SeriesToProto(series, body.add_series());
  body.SerializeToString(payload);
}

absl::StatusOr<ForgetRecord> DecodeForget(const RecordView& record) {
  pb::ForgetMeta m;
  pb::ReportBody body;
  if (!Parse(&m, record.meta) || !Parse(&body, record.payload)) return Corrupt("a FORGET record does not parse");
  ForgetRecord forget;
  forget.at_ms = m.at_ms();
  forget.reporters = ToVector(m.reporters());
  for (const pb::SeriesMeta& series : body.series()) {
    forget.series.emplace_back();
    if (!SeriesFromProto(series, &forget.series.back())) return Corrupt("a FORGET record has half a label");
  }
  return forget;
}

absl::StatusOr<HistoryMark> DecodeHistory(const RecordView& record) {
  pb::EpochMeta m;
  if (!Parse(&m, record.meta)) return Corrupt("an EPOCH record does not parse");
  return HistoryMark{m.at_ms(), m.history_id(), m.history_start_at_ms()};
}

}  // namespace wheelpit
