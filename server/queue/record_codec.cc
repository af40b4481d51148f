#include "server/queue/record_codec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "wheelpit/journal/v1/records.pb.h"
#include "wheelpit/v1/admin.pb.h"

namespace wheelpit {
namespace {

namespace jpb = ::wheelpit::journal::v1;

template <typename Message>
absl::Status Parse(absl::string_view bytes, Message* message) {
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, "CORRUPT",
                   absl::StrCat("a record's ", message->GetTypeName(), " of ", bytes.size(), " bytes does not parse"));
}

void DescriptionToProto(const TaskSpec& spec, jpb::SubmitMeta* m) {
  if (!spec.content_type.empty()) m->set_content_type(spec.content_type);
  for (const auto& [key, value] : spec.attributes) {
    m->add_attributes(key);
    m->add_attributes(value);
  }
  if (!spec.fairness_key.empty()) m->set_fairness_key(spec.fairness_key);
  if (!spec.idempotency_key.empty()) m->set_idempotency_key(spec.idempotency_key);
  m->set_not_before_at_ms(spec.not_before_ms);
  if (!spec.trace_context.empty()) m->set_trace_context(spec.trace_context);
}

void ToProto(const QueueConfig& c, v1::QueueConfig* p) {
  p->set_lease_ttl_ms(c.lease_ttl_ms);
  p->set_attempt_timeout_ms(c.attempt_timeout_ms);
  p->set_max_attempts(c.max_attempts);
  p->set_max_losses(c.max_losses);
  p->mutable_backoff()->set_initial_ms(c.backoff.initial_ms);
  p->mutable_backoff()->set_multiplier(c.backoff.multiplier);
  p->mutable_backoff()->set_max_delay_ms(c.backoff.max_delay_ms);
  p->set_payload_bytes_max(c.payload_bytes_max);
  p->set_result_bytes_max(c.result_bytes_max);
  p->set_retention_ms(c.retention_ms);
  p->set_dead_retention_ms(c.dead_retention_ms);
  p->set_tasks_max(c.tasks_max);
  p->set_bytes_max(c.bytes_max);
  p->set_dedupe_window_ms(c.dedupe_window_ms);
  p->set_dead_tasks_max(c.dead_tasks_max);
  p->set_dead_bytes_max(c.dead_bytes_max);
  p->set_lease_sync(c.lease_sync);
  p->set_wait_target_ms(c.wait_target_ms);
  p->set_service_time_ms(c.service_time_ms);
  p->set_scaling_policy(c.scaling_policy == ScalingPolicy::kCost ? v1::SCALING_POLICY_COST : v1::SCALING_POLICY_LATENCY);
  p->set_contention_guard(c.contention_guard == ContentionGuard::kOff    ? v1::CONTENTION_GUARD_OFF
                          : c.contention_guard == ContentionGuard::kWarn ? v1::CONTENTION_GUARD_WARN
                                                                         : v1::CONTENTION_GUARD_CAP);
}

void FromProto(const v1::QueueConfig& p, QueueConfig* c) {
  *c = QueueConfig();
  c->lease_ttl_ms = p.lease_ttl_ms();
  c->attempt_timeout_ms = p.attempt_timeout_ms();
  c->max_attempts = p.max_attempts();
  c->max_losses = p.max_losses();
  c->backoff = {p.backoff().initial_ms(), p.backoff().multiplier(), p.backoff().max_delay_ms()};
  c->payload_bytes_max = p.payload_bytes_max();
  c->result_bytes_max = p.result_bytes_max();
  c->retention_ms = p.retention_ms();
  c->dead_retention_ms = p.dead_retention_ms();
  c->tasks_max = p.tasks_max();
  c->bytes_max = p.bytes_max();
  c->dedupe_window_ms = p.dedupe_window_ms();
  c->dead_tasks_max = p.dead_tasks_max();
  c->dead_bytes_max = p.dead_bytes_max();
  c->lease_sync = p.lease_sync();
  c->wait_target_ms = p.wait_target_ms();
  c->service_time_ms = p.service_time_ms();
  if (p.scaling_policy() == v1::SCALING_POLICY_COST) c->scaling_policy = ScalingPolicy::kCost;
  if (p.contention_guard() == v1::CONTENTION_GUARD_OFF) c->contention_guard = ContentionGuard::kOff;
  if (p.contention_guard() == v1::CONTENTION_GUARD_CAP) c->contention_guard = ContentionGuard::kCap;
}

}  // namespace

struct RecordCodec::Messages {
  jpb::SubmitMeta submit;
  jpb::LeaseMeta lease;
  jpb::TaskMeta task;
  jpb::PurgeMeta purge;
  jpb::QueueConfigMeta queue;
  jpb::EpochMeta epoch;
  v1::QueueConfig config;
  v1::QueueFlags flags;
};

RecordCodec::RecordCodec() : m_(std::make_unique<Messages>()) {}
RecordCodec::~RecordCodec() = default;

void RecordCodec::Describe(const SubmitRecord& r, std::string* description) {
  description->clear();
  const TaskSpec& spec = r.spec;
  if (spec.content_type.empty() && spec.attributes.empty() && spec.fairness_key.empty() && spec.idempotency_key.empty() &&
      spec.trace_context.empty() && spec.not_before_ms == 0) {
    return;
  }
  jpb::SubmitMeta& m = m_->submit;
  m.Clear();
  DescriptionToProto(spec, &m);
  m.SerializeToString(description);
}

void RecordCodec::Encode(const SubmitRecord& r, std::string* meta) {
  jpb::SubmitMeta& m = m_->submit;
  m.Clear();
  m.set_at_ms(r.at_ms);
  m.set_queue(r.queue);
  DescriptionToProto(r.spec, &m);
  m.set_priority(r.spec.priority);
  if (!r.spec.idempotency_key.empty()) m.set_request_hash(r.request_hash);
  m.set_expire_at_ms(r.spec.expire_at_ms);
  m.set_lease_ttl_s(static_cast<uint32_t>(r.spec.lease_ttl_ms / 1000));
  m.set_attempt_timeout_ms(r.spec.attempt_timeout_ms);
  m.set_max_attempts(r.spec.max_attempts);
  m.set_max_losses(r.spec.max_losses);
  m.mutable_backoff()->set_initial_ms(r.spec.backoff.initial_ms);
  m.mutable_backoff()->set_multiplier(r.spec.backoff.multiplier);
  m.mutable_backoff()->set_max_delay_ms(r.spec.backoff.max_delay_ms);
  for (const CountedSeries& counted : r.spec.counts) {
    jpb::CountedSeriesMeta* c = m.add_counts();
    c->set_name(counted.name);
    for (const auto& [name, value] : counted.labels.pairs()) {
      c->add_labels(name);
      c->add_labels(value);
    }
  }
  m.set_moved(r.moved);
  m.SerializeToString(meta);
}

absl::Status RecordCodec::Decode(absl::string_view meta, SubmitRecord* r) {
  jpb::SubmitMeta& m = m_->submit;
  if (absl::Status s = Parse(meta, &m); !s.ok()) return s;
  r->at_ms = m.at_ms();
  r->queue = m.queue();
  r->request_hash = m.request_hash();
  r->moved = m.moved();
  TaskSpec& spec = r->spec;
  spec.content_type = m.content_type();
  spec.attributes.clear();
  for (int i = 0; i + 1 < m.attributes_size(); i += 2) {
    spec.attributes.emplace_hint(spec.attributes.end(), m.attributes(i), m.attributes(i + 1));
  }
  spec.priority = m.priority();
  spec.fairness_key = m.fairness_key();
  spec.idempotency_key = m.idempotency_key();
  spec.not_before_ms = m.not_before_at_ms();
  spec.expire_at_ms = m.expire_at_ms();
  spec.lease_ttl_ms = int64_t{m.lease_ttl_s()} * 1000;
  spec.attempt_timeout_ms = m.attempt_timeout_ms();
  spec.max_attempts = m.max_attempts();
  spec.max_losses = m.max_losses();
  spec.has_backoff = true;
  spec.backoff = {m.backoff().initial_ms(), m.backoff().multiplier(), m.backoff().max_delay_ms()};
  spec.trace_context = m.trace_context();
  spec.counts.clear();
  for (const jpb::CountedSeriesMeta& c : m.counts()) {
    std::vector<Labels::Pair> pairs;
    for (int i = 0; i + 1 < c.labels_size(); i += 2) pairs.emplace_back(c.labels(i), c.labels(i + 1));
    spec.counts.push_back({c.name(), Labels(std::move(pairs))});
  }
  return absl::OkStatus();
}

void RecordCodec::Encode(const LeaseRecord& r, std::string* meta) {
  jpb::LeaseMeta& m = m_->lease;
  m.Clear();
  m.set_at_ms(r.at_ms);
  m.set_worker(r.worker);
  m.set_session(r.session);
  for (const LeaseItemRecord& item : r.leases) {
    jpb::LeaseItem* p = m.add_leases();
    p->set_task(item.task);
    p->set_token(item.token);
    p->set_attempt(item.attempt);
    p->set_queue(item.queue);
    p->set_deadline_at_ms(item.deadline_ms);
  }
  m.SerializeToString(meta);
}

absl::Status RecordCodec::Decode(absl::string_view meta, LeaseRecord* r) {
  jpb::LeaseMeta& m = m_->lease;
  if (absl::Status s = Parse(meta, &m); !s.ok()) return s;
  r->at_ms = m.at_ms();
  r->worker = m.worker();
  r->session = m.session();
  r->leases.clear();
  for (const jpb::LeaseItem& p : m.leases()) {
    r->leases.push_back({p.task(), p.token(), p.attempt(), p.queue(), p.deadline_at_ms()});
  }
  return absl::OkStatus();
}

void RecordCodec::Encode(const TaskRecord& r, std::string* meta) {
  jpb::TaskMeta& m = m_->task;
  m.Clear();
  m.set_at_ms(r.at_ms);
  m.set_queue(r.queue);
  m.set_token(r.token);
  m.set_attempts(r.attempts);
  m.set_failures(r.failures);
  m.set_losses(r.losses);
  m.set_releases(r.releases);
  m.set_redrives(r.redrives);
  m.set_due_at_ms(r.due_ms);
  m.set_retain_until_at_ms(r.retain_until_ms);
  m.set_dedupe_until_at_ms(r.dedupe_until_ms);
  if (!r.reason.empty()) m.set_reason(r.reason);
  if (!r.cause.empty()) m.set_cause(r.cause);
  if (!r.content_type.empty()) m.set_content_type(r.content_type);
  m.set_fenced(r.fenced);
  if (!r.description.empty()) m.set_submitted(r.description);
  m.SerializeToString(meta);
}

absl::Status RecordCodec::Decode(absl::string_view meta, TaskRecord* r) {
  jpb::TaskMeta& m = m_->task;
  if (absl::Status s = Parse(meta, &m); !s.ok()) return s;
  r->at_ms = m.at_ms();
  r->queue = m.queue();
  r->token = m.token();
  r->attempts = m.attempts();
  r->failures = m.failures();
  r->losses = m.losses();
  r->releases = m.releases();
  r->redrives = m.redrives();
  r->due_ms = m.due_at_ms();
  r->retain_until_ms = m.retain_until_at_ms();
  r->dedupe_until_ms = m.dedupe_until_at_ms();
  r->reason = m.reason();
  r->cause = m.cause();
  r->content_type = m.content_type();
  r->fenced = m.fenced();
  r->description = m.submitted();
  return absl::OkStatus();
}

void RecordCodec::Encode(const PurgeRecord& r, std::string* meta) {
  jpb::PurgeMeta& m = m_->purge;
  m.Clear();
  m.set_at_ms(r.at_ms);
  m.set_queue(r.queue);
  for (const uint64_t id : r.ids) m.add_ids(id);
  m.set_cause(r.cause);
  m.SerializeToString(meta);
}

absl::Status RecordCodec::Decode(absl::string_view meta, PurgeRecord* r) {
  jpb::PurgeMeta& m = m_->purge;
  if (absl::Status s = Parse(meta, &m); !s.ok()) return s;
  r->at_ms = m.at_ms();
  r->queue = m.queue();
  r->ids.assign(m.ids().begin(), m.ids().end());
  r->cause = m.cause();
  return absl::OkStatus();
}

void RecordCodec::Encode(const QueueRecord& r, std::string* meta) {
  jpb::QueueConfigMeta& m = m_->queue;
  m.Clear();
  m.set_at_ms(r.at_ms);
  m.set_queue(r.number);
  m.set_name(r.name);
  m_->config.Clear();
  ToProto(r.config, &m_->config);
  m_->config.SerializeToString(m.mutable_config());
  m_->flags.set_paused(r.flags.paused);
  m_->flags.set_closed(r.flags.closed);
  m_->flags.set_draining(r.flags.draining);
  m_->flags.SerializeToString(m.mutable_flags());
  m.set_deleted(r.deleted);
  m.set_created_at_ms(r.created_at_ms);
  m.SerializeToString(meta);
}

absl::Status RecordCodec::Decode(absl::string_view meta, QueueRecord* r) {
  jpb::QueueConfigMeta& m = m_->queue;
  if (absl::Status s = Parse(meta, &m); !s.ok()) return s;
  if (absl::Status s = Parse(m.config(), &m_->config); !s.ok()) return s;
  if (absl::Status s = Parse(m.flags(), &m_->flags); !s.ok()) return s;
  r->at_ms = m.at_ms();
  r->number = m.queue();
  r->name = m.name();
  FromProto(m_->config, &r->config);
  r->flags = {m_->flags.paused(), m_->flags.closed(), m_->flags.draining()};
  r->deleted = m.deleted();
  r->created_at_ms = m.created_at_ms();
  return absl::OkStatus();
}

absl::Status RecordCodec::Decode(absl::string_view meta, EpochRecord* r) {
  jpb::EpochMeta& m = m_->epoch;
  if (absl::Status s = Parse(meta, &m); !s.ok()) return s;
  r->epoch = m.epoch();
  r->hash_key = m.hash_key();
  return absl::OkStatus();
}

}  // namespace wheelpit
