// Random histories of reporters and submits against an aggregator that loses connections, syncs in part, checkpoints bit by bit and
// crashes: the totals are the sum of the distinct batches, the rings those of a naive model, and a restart changes nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "tests/unit/server/ingest/ingest_world.h"

namespace wheelpit {
namespace {

constexpr uint32_t kSeriesCount = 12;

std::string SeriesName(uint32_t i) { return absl::StrCat("m", i % 3, "_total"); }
Labels SeriesLabels(uint32_t i) { return Labels({{"i", absl::StrCat(i)}}); }

// Stands in for the queue's fold: a SUBMIT record names the series that it counts.
class SubmitSource : public Fold {
 public:
  explicit SubmitSource(CounterFold* counter) : counter_(counter) {}
  FoldId id() const override { return FoldId::kQueue; }
  absl::Status LoadChunk(Lsn, absl::string_view) override { return absl::OkStatus(); }
  absl::Status RecoveryDone(int64_t) override { return absl::OkStatus(); }
  void BeginCheckpoint() override {}
  bool NextChunk(std::string*, Lsn*) override { return false; }
  absl::Status Replay(Lsn lsn, RecordPosition, const RecordView& record) override {
    if (record.type == RecordType::kSubmit) Count(lsn, static_cast<uint32_t>(record.id), std::stoll(std::string(record.meta)));
    return absl::OkStatus();
  }
  void Count(Lsn lsn, uint32_t series, int64_t at_ms) {
    const std::vector<CountedSeries> counts = {{SeriesName(series), SeriesLabels(series)}};
    QueueEvent e;
    e.kind = QueueEventKind::kSubmitted;
    e.queue = "q";
    e.at_ms = at_ms;
    e.counts = counts;
    counter_->OnQueueEvent(lsn, e);
  }

 private:
  CounterFold* const counter_;
};

struct Aggregator {
  Aggregator(JournalDisk* disk, int64_t now, const ReportIngestOptions& options)
      : journal(disk), store(SeriesLimits()), fold(CounterFold::Create(&store)), submits(fold.get()),
        ingest(ReportIngest::Create(options, &journal, &durable, &store, fold.get())) {
    Fold* const folds[] = {&submits, fold.get()};
    const auto recovered = journal.Recover(folds, nullptr);
    EXPECT_TRUE(recovered.ok()) << recovered.status();
    fold->SetHistory(77, 0);
    EXPECT_TRUE(fold->RecoveryDone(now).ok());
    durable.Advance(journal.durable_lsn());
  }
  ReplayableJournal journal;
  DurableQueue durable;
  SeriesStore store;
  std::unique_ptr<CounterFold> fold;
  SubmitSource submits;
  std::unique_ptr<ReportIngest> ingest;
};

struct Content {
  int64_t at_ms;
  std::vector<std::pair<uint32_t, uint64_t>> deltas;  // series, delta
};

class Client {
 public:
  Client(std::string id, Rng* rng) : id_(std::move(id)), rng_(rng) {}

  void Produce(int64_t now) {
    Content c{now, {}};
    for (uint64_t n = 1 + rng_->Below(4); n > 0; --n) {
      c.deltas.emplace_back(static_cast<uint32_t>(rng_->Below(kSeriesCount)), rng_->Below(1000));
    }
    batches_[next_seq_++] = c;
  }
  void Connect(Aggregator* a, int64_t now) {
    stream_.reset();
    ReportHello hello = Hello(id_, incarnation_, acked_through_);
    HelloOutcome outcome;
    auto opened = a->ingest->Open(hello, now, &outcome, nullptr);
    ASSERT_TRUE(opened.ok()) << opened.status();
    stream_ = *std::move(opened);
    defined_.clear();
    ref_offset_ = static_cast<uint32_t>(rng_->Below(50));
    ASSERT_GE(outcome.applied_seq, acked_through_);
    ASSERT_LT(outcome.applied_seq, next_seq_);
    next_to_send_ = outcome.applied_seq + 1;
  }
  void Disconnect() { stream_.reset(); }
  bool connected() const { return stream_ != nullptr; }
  bool SendNext(int64_t now) {
    if (!stream_ || next_to_send_ >= next_seq_) return false;
    Send(next_to_send_++, now);
    return true;
  }
  // One that was sent before, on this stream or another.
  void Resend(int64_t now) {
    if (!stream_ || next_to_send_ <= 1) return;
    const uint64_t seq = 1 + rng_->Below(next_to_send_ - 1);
    if (batches_.contains(seq)) Send(seq, now);
  }
  void SendAhead(int64_t now) {
    if (!stream_ || next_to_send_ + 1 >= next_seq_) return;
    TestBatch b = MakeBatch(next_to_send_ + 1, now);
    std::string reason;
    stream_->Apply(b.View(), now, [&](absl::StatusOr<BatchAck> ack) { reason = ErrorReason(ack.status()); });
    ASSERT_EQ(reason, "SEQ_GAP");
    stream_.reset();  // the error ends it
  }
  void NewIncarnation() {
    stream_.reset();
    ++incarnation_;
    next_seq_ = 1;
    acked_through_ = 0;
    batches_.clear();
  }
  bool done() const { return acked_through_ + 1 == next_seq_; }
  const std::map<uint64_t, Content>& batches() const { return batches_; }

 private:
  TestBatch MakeBatch(uint64_t seq, int64_t now) {
    const Content& c = batches_.at(seq);
    TestBatch b = Batch(seq);
    b.age_ms = now - c.at_ms;
    for (const auto& [series, delta] : c.deltas) {
      if (!defined_.contains(series)) b.Define(series + ref_offset_, SeriesName(series), SeriesLabels(series).pairs());
      b.Count(series + ref_offset_, delta);
    }
    return b;
  }
  void Send(uint64_t seq, int64_t now) {
    TestBatch b = MakeBatch(seq, now);
    for (const auto& [series, delta] : batches_.at(seq).deltas) defined_.insert(series);
    const uint64_t incarnation = incarnation_;
    stream_->Apply(b.View(), now, [this, seq, incarnation](absl::StatusOr<BatchAck> ack) {
      // An effect that never became durable is never told.
      ASSERT_TRUE(ack.ok()) << ack.status();
      EXPECT_TRUE(ack->rejects.empty());
      EXPECT_GE(ack->through_seq, seq);
      if (incarnation == incarnation_) acked_through_ = std::max(acked_through_, ack->through_seq);
    });
  }

  const std::string id_;
  Rng* const rng_;
  uint64_t incarnation_ = 1;
  uint64_t next_seq_ = 1;
  uint64_t next_to_send_ = 1;
  uint64_t acked_through_ = 0;
  std::map<uint64_t, Content> batches_;  // of this incarnation
  std::unique_ptr<ReportStream> stream_;
  std::set<uint32_t> defined_;
  uint32_t ref_offset_ = 0;
};

// What a reader can see of the store.
std::map<std::string, std::string> Dump(Aggregator* a, int64_t now) {
  std::map<std::string, std::string> out;
  SeriesStore::ReadLock read(a->store);
  for (const FamilyEntry* f : read.families()) {
    for (const SeriesId id : f->series) {
      const Series& s = read.series(id);
      std::string key = f->family.name, value;
      for (const LabelView& l : s.labels()) absl::StrAppend(&key, ",", l.name, "=", l.value);
      absl::StrAppend(&value, s.counter.integral(), " created ", s.created_ms, " changed ", s.changed_ms);
      for (const int64_t w : {1'000, 7'000, 60'000, 240'000, 3'600'000}) absl::StrAppend(&value, " ", s.Increase(WindowAt(now, w)));
      EXPECT_TRUE(out.emplace(key, value).second) << key << " twice";
    }
  }
  return out;
}

class World {
 public:
  World(uint64_t seed, int64_t series_ttl_ms) : rng_(seed) {
    options_.series_ttl_ms = series_ttl_ms;
    for (int i = 0; i < 3; ++i) clients_.emplace_back(std::make_unique<Client>(absl::StrCat("r", i), &rng_));
    Boot();
  }
  void Step() {
    now_ += static_cast<int64_t>(rng_.Below(rng_.Chance(0.02) ? 200'000 : 1'500));
    Client& c = *clients_[rng_.Below(clients_.size())];
    switch (rng_.Below(16)) {
      case 0: case 1: case 2:
        c.Produce(now_);
        break;
      case 3: case 4: case 5: case 6:
        if (!c.connected()) c.Connect(a_.get(), now_);
        c.SendNext(now_);
        break;
      case 7:
        c.Resend(now_);
        break;
      case 8:
        c.SendAhead(now_);
        break;
      case 9:
        c.Disconnect();
        break;
      case 10:
        Submit();
        break;
      case 11: case 12:
        CommitSome();
        break;
      case 13:
        a_->ingest->Advance(now_);
        break;
      case 14:
        StepCheckpoint();
        break;
      case 15:
        if (rng_.Chance(0.15)) Crash();
        if (rng_.Chance(0.1) && c.done()) {
          Absorb(c);
          c.NewIncarnation();
        }
        break;
    }
  }
  void CommitAll() {
    a_->journal.Commit();
    a_->durable.Advance(a_->journal.durable_lsn());
  }
  // Everything produced is acknowledged.
  void Drain() {
    for (auto& c : clients_) {
      for (int round = 0; round < 1000 && !c->done(); ++round) {
        c->Connect(a_.get(), now_);
        while (c->SendNext(now_)) {
        }
        CommitAll();
      }
      ASSERT_TRUE(c->done());
      Absorb(*c);
      c->NewIncarnation();
    }
    CommitAll();
  }
  void Crash() {
    for (auto& c : clients_) c->Disconnect();
    checkpoint_.clear();
    checkpointing_ = false;
    a_.reset();
    Boot();
  }
  void CheckRestartChangesNothing() {
    CommitAll();
    const auto before = Dump(a_.get(), now_);
    Crash();
    EXPECT_EQ(Dump(a_.get(), now_), before);
  }
  void CheckTotals() {
    for (const auto& record : disk_.records) {
      if (record.type == RecordType::kSubmit) expected_[static_cast<uint32_t>(record.id)][std::stoll(record.meta)] += 1;
    }
    for (uint32_t i = 0; i < kSeriesCount; ++i) {
      const auto family = a_->store.FindFamily(SeriesName(i));
      const SeriesId id = family.has_value() ? a_->store.Find(*family, SeriesLabels(i)) : 0;
      uint64_t total = 0;
      for (const auto& [at, delta] : expected_[i]) total += delta;
      if (id == 0) {
        EXPECT_EQ(total, 0u) << "series " << i;
        continue;
      }
      EXPECT_EQ(a_->store.at(id).counter.integral(), total) << "series " << i;
      for (int k = 0; k < 20; ++k) {
        const Window w = WindowAt(now_, 1 + static_cast<int64_t>(rng_.Below(3'600'000)));
        double sum = 0;
        for (const auto& [at, delta] : expected_[i]) {
          if (at / 1000 >= w.start_s && at / 1000 < w.end_s) sum += static_cast<double>(delta);
        }
        EXPECT_EQ(a_->store.at(id).Increase(w), sum) << "series " << i << " window " << w.end_s - w.start_s;
      }
    }
  }

 private:
  void Boot() { a_ = std::make_unique<Aggregator>(&disk_, now_, options_); }
  void Absorb(const Client& c) {
    for (const auto& [seq, content] : c.batches()) {
      for (const auto& [series, delta] : content.deltas) expected_[series][content.at_ms] += delta;
    }
  }
  void Submit() {
    RecordView record;
    record.type = RecordType::kSubmit;
    record.id = rng_.Below(kSeriesCount);
    const std::string meta = std::to_string(now_);
    record.meta = meta;
    const auto lsn = a_->journal.Append({&record, 1}, nullptr);
    a_->durable.After(*lsn, [this, lsn = *lsn, series = static_cast<uint32_t>(record.id), at = now_](const absl::Status& s) {
      if (s.ok()) a_->submits.Count(lsn, series, at);
    });
  }
  void CommitSome() {
    const Lsn from = a_->journal.durable_lsn(), to = a_->journal.last_lsn();
    a_->journal.CommitThrough(from + rng_.Below(to - from + 1));
    a_->durable.Advance(a_->journal.durable_lsn());
  }
  // A chunk now and then, as between rounds of the engine.
  void StepCheckpoint() {
    if (!checkpointing_) {
      checkpointing_ = true;
      checkpoint_.clear();
      checkpoint_begin_ = a_->durable.advanced();
      a_->fold->BeginCheckpoint();
    }
    JournalDisk::Chunk chunk;
    chunk.fold = FoldId::kCounter;
    if (a_->fold->NextChunk(&chunk.bytes, &chunk.as_of)) {
      checkpoint_.push_back(chunk);
      return;
    }
    disk_.checkpoint = checkpoint_;
    disk_.checkpoint_begin = checkpoint_begin_;
    checkpointing_ = false;
  }

  Rng rng_;
  ReportIngestOptions options_;
  JournalDisk disk_;
  int64_t now_ = 1'000'000;
  std::unique_ptr<Aggregator> a_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::map<uint32_t, std::map<int64_t, uint64_t>> expected_;  // series -> time -> delta
  std::vector<JournalDisk::Chunk> checkpoint_;
  Lsn checkpoint_begin_ = 0;
  bool checkpointing_ = false;
};

TEST(ExactlyOnceTest, TotalsAreTheSumOfDistinctBatchesAndRingsThoseOfANaiveModel) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(absl::StrCat("replay: seed ", seed));
    World world(seed, /*series_ttl_ms=*/0);
    for (int step = 0; step < 700; ++step) world.Step();
    world.Drain();
    world.CheckRestartChangesNothing();
    world.CheckTotals();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ExactlyOnceTest, ARestartChangesNothingThoughSeriesExpire) {
  for (uint64_t seed = 1001; seed <= 1080; ++seed) {
    SCOPED_TRACE(absl::StrCat("replay: seed ", seed));
    World world(seed, /*series_ttl_ms=*/20'000);
    for (int round = 0; round < 6; ++round) {
      for (int step = 0; step < 200; ++step) world.Step();
      world.CheckRestartChangesNothing();
    }
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace wheelpit
