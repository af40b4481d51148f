// The real server's own metrics under real traffic: every documented name is on the page, nothing else is, and each moves when its cause
// happens.
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/support/raw_http.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"
#include "wheelpit/v1/admin.grpc.pb.h"
#include "wheelpit/v1/query.grpc.pb.h"
#include "wheelpit/v1/queue.grpc.pb.h"
#include "wheelpit/v1/report.grpc.pb.h"

namespace wheelpit {
namespace {

using Page = std::map<std::string, double>;

class ServerMetricsTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"--journal_disk_low_bytes=0", "--journal_disk_low_percent=0", "--journal_segment_bytes=2MiB",
                                 "--journal_checkpoint_bytes=1MiB", "--journal_checkpoint_interval=1s", "--queue_payload_cache_bytes=0"});
    server_ = std::make_unique<ServerProcess>(ServerProcessOptions{SERVER_BINARY, folder_.path() + "/state", std::move(flags)});
    Connect();
  }
  void Connect() {
    ASSERT_TRUE(server_->Start().ok()) << server_->output();
    ASSERT_TRUE(absl::SimpleAtoi(server_->http().substr(server_->http().rfind(':') + 1), &http_port_));
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ = grpc::CreateCustomChannel(server_->grpc(), grpc::InsecureChannelCredentials(), arguments);
    queue_ = v1::QueueService::NewStub(channel_);
    report_ = v1::ReportService::NewStub(channel_);
    query_ = v1::QueryService::NewStub(channel_);
    admin_ = v1::AdminService::NewStub(channel_);
  }
  std::string Text() const { return RawGet(http_port_, "/metrics").body; }
  // Series as written -> value.
  Page Scrape() const {
    Page page;
    for (const absl::string_view line : absl::StrSplit(Text(), '\n', absl::SkipEmpty())) {
      const size_t space = line.rfind(' ');
      double value = 0;
      if (line[0] != '#' && absl::SimpleAtod(line.substr(space + 1), &value)) page[std::string(line.substr(0, space))] = value;
    }
    return page;
  }
  // Sum of the series of `what`: a name, or name{label="value",…} of which each label must be there.
  static double Sum(const Page& page, const std::string& what) {
    const std::string name = what.substr(0, what.find('{'));
    std::vector<std::string> labels;
    if (name.size() < what.size()) labels = absl::StrSplit(what.substr(name.size() + 1, what.size() - name.size() - 2), ',');
    double sum = 0;
    for (const auto& [series, value] : page) {
      if (series.substr(0, series.find('{')) != name) continue;
      bool fits = true;
      for (const std::string& label : labels) fits &= absl::StrContains(series, label);
      if (fits) sum += value;
    }
    return sum;
  }
  // Waits a moment, without a clock: for a task that nobody works on.
  void Pause() const { RawGet(http_port_, absl::StrCat("/v1/tasks/", idle_task_, "?wait=50ms")); }
  // Each of `names` grows when `cause` happens; some are published once in a while only.
  void Moves(const std::vector<std::string>& names, const std::function<void()>& cause) {
    const Page before = Scrape();
    cause();
    for (const std::string& name : names) {
      constexpr int kPausesMax = 600;
      int pauses = 0;
      while (Sum(Scrape(), name) <= Sum(before, name) && pauses++ < kPausesMax) Pause();
      EXPECT_LE(pauses, kPausesMax) << name << " did not move from " << Sum(before, name);
      moved_.insert(Family(name));
    }
  }
  static std::string Family(const std::string& name) {
    std::string family = name.substr(0, name.find('{'));
    for (const absl::string_view suffix : {"_count", "_sum", "_bucket"}) {
      if (absl::EndsWith(family, suffix)) family.resize(family.size() - suffix.size());
    }
    return family;
  }

  // --- traffic ---
  std::string Submit(const std::string& payload = "p", const std::function<void(v1::TaskSpec*)>& more = nullptr, grpc::Status* status = nullptr) {
    grpc::ClientContext context;
    v1::SubmitRequest request;
    request.mutable_task()->set_queue("m");
    request.mutable_task()->set_payload(payload);
    if (more) more(request.mutable_task());
    v1::SubmitResponse response;
    const grpc::Status done = queue_->Submit(&context, request, &response);
    if (status != nullptr) *status = done;
    return response.id();
  }
  v1::Assignment Lease(int64_t wait_ms = 20'000) {
    grpc::ClientContext context;
    v1::LeaseTasksRequest request;
    request.set_worker_id("w");
    request.add_queues()->set_name("m");
    request.set_tasks_max(1);
    request.set_wait_ms(wait_ms);
    v1::LeaseTasksResponse response;
    EXPECT_TRUE(queue_->LeaseTasks(&context, request, &response).ok());
    return response.assignments_size() == 1 ? response.assignments(0) : v1::Assignment();
  }
  v1::LeaseResult Complete(const v1::Assignment& a) {
    v1::CompleteTasksRequest request;
    v1::Completion* item = request.add_completions();
    item->set_task_id(a.task().id());
    item->set_token(a.token());
    grpc::ClientContext context;
    v1::CompleteTasksResponse response;
    EXPECT_TRUE(queue_->CompleteTasks(&context, request, &response).ok());
    return response.results(0);
  }
  v1::LeaseResult Fail(const v1::Assignment& a, bool for_good = false) {
    v1::FailTasksRequest request;
    v1::Failure* item = request.add_failures();
    item->set_task_id(a.task().id());
    item->set_token(a.token());
    item->set_not_retryable(for_good);
    item->set_retry_after_ms(1);
    grpc::ClientContext context;
    v1::FailTasksResponse response;
    EXPECT_TRUE(queue_->FailTasks(&context, request, &response).ok());
    return response.results(0);
  }
  v1::LeaseResult Extend(const v1::Assignment& a) {
    v1::ExtendLeasesRequest request;
    request.add_extensions()->set_task_id(a.task().id());
    request.mutable_extensions(0)->set_token(a.token());
    grpc::ClientContext context;
    v1::ExtendLeasesResponse response;
    EXPECT_TRUE(queue_->ExtendLeases(&context, request, &response).ok());
    return response.results(0);
  }
  v1::LeaseResult Release(const v1::Assignment& a) {
    v1::ReleaseTasksRequest request;
    request.add_leases()->set_task_id(a.task().id());
    request.mutable_leases(0)->set_token(a.token());
    grpc::ClientContext context;
    v1::ReleaseTasksResponse response;
    EXPECT_TRUE(queue_->ReleaseTasks(&context, request, &response).ok());
    return response.results(0);
  }
  void Cancel(const std::string& id, bool force = false) {
    grpc::ClientContext context;
    v1::CancelTaskRequest request;
    request.set_id(id);
    request.set_force(force);
    v1::Task task;
    EXPECT_TRUE(queue_->CancelTask(&context, request, &task).ok());
  }
  // One unary report: hello, and a batch if `fill` is given.
  grpc::Status Report(const std::string& reporter, uint64_t incarnation, uint64_t seq, const std::function<void(v1::Batch*)>& fill,
                      uint64_t acked_through = 0) {
    grpc::ClientContext context;
    v1::UnaryReportRequest request;
    request.mutable_hello()->set_reporter_id(reporter);
    request.mutable_hello()->set_incarnation(incarnation);
    request.mutable_hello()->set_acked_through(acked_through);
    if (fill) {
      request.mutable_batch()->set_seq(seq);
      fill(request.mutable_batch());
    }
    v1::UnaryReportResponse response;
    return report_->Report(&context, request, &response);
  }
  static void Count(v1::Batch* batch, const std::string& family, uint64_t n, const std::string& label = "") {
    v1::SeriesDef* series = batch->add_series();
    const auto ref = static_cast<uint32_t>(batch->series_size());
    series->set_ref(ref);
    series->set_family(family);
    if (!label.empty()) {
      series->add_labels()->set_name("l");
      series->mutable_labels(0)->set_value(label);
    }
    batch->add_counter_refs(ref);
    batch->add_counter_values(n);
  }
  void PutQueue(const std::function<void(v1::QueueConfig*)>& set) {
    grpc::ClientContext context;
    v1::PutQueueRequest request;
    request.set_name("m");
    set(request.mutable_config());
    v1::QueueInfo info;
    const grpc::Status status = admin_->PutQueue(&context, request, &info);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  // Overwrites the payload where the journal keeps it.
  void Damage(const std::string& payload) const {
    for (int n = 1; n < 100; ++n) {
      const std::string path = absl::StrCat(folder_.path(), "/state/journal/seg-", n, ".log");
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      if (!file) continue;
      const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
      const size_t at = bytes.find(payload);
      if (at == std::string::npos) continue;
      file.clear();
      file.seekp(static_cast<std::streamoff>(at));
      file.put('X');
      return;
    }
    ADD_FAILURE() << "no segment holds the payload";
  }

  void CauseQueueEvents();
  void CauseEnds();
  void CauseReports();
  void CauseReads();

  const TempFolder folder_;
  std::unique_ptr<ServerProcess> server_;
  int http_port_ = 0;
  std::string idle_task_;
  std::set<std::string> moved_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::QueueService::Stub> queue_;
  std::unique_ptr<v1::ReportService::Stub> report_;
  std::unique_ptr<v1::QueryService::Stub> query_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

void ServerMetricsTest::CauseQueueEvents() {
  PutQueue([](v1::QueueConfig* c) {
    c->set_dead_tasks_max(1);
    c->set_tasks_max(50);
    c->set_bytes_max(64 << 20);
  });
  const auto keyed = [](v1::TaskSpec* task) { task->set_idempotency_key("k"); };
  Moves({"wheelpit_tasks_submitted_total{queue=\"m\"}", "wheelpit_payload_bytes_total{direction=\"in\",queue=\"m\"}",
         "wheelpit_task_payload_size_bytes_count{queue=\"m\"}", "wheelpit_submit_seconds_count{queue=\"m\"}", "wheelpit_dedupe_entries",
         "wheelpit_queue_tasks{queue=\"m\",state=\"ready\"}", "wheelpit_queue_bytes{queue=\"m\",state=\"live\"}",
         "wheelpit_queue_demand_tasks{queue=\"m\"}", "wheelpit_queue_oldest_ready_age_seconds{queue=\"m\"}",
         "wheelpit_queue_oldest_first_attempt_age_seconds{queue=\"m\"}", "wheelpit_queue_submit_rate_per_second{queue=\"m\"}",
         "wheelpit_queue_needed_workers{queue=\"m\"}", "wheelpit_queue_estimated_drain_seconds{queue=\"m\"}",
         "wheelpit_journal_records_total{type=\"SUBMIT\"}", "wheelpit_journal_written_bytes_total", "wheelpit_journal_sync_seconds_count",
         "wheelpit_journal_batch_records_count", "wheelpit_journal_durable_position", "wheelpit_journal_last_sync_timestamp_seconds",
         "wheelpit_journal_bytes{kind=\"live\"}", "wheelpit_engine_commands_total", "wheelpit_engine_rounds_total"},
        [&] { Submit("p", keyed); });
  Moves({"wheelpit_submissions_deduplicated_total{queue=\"m\"}"}, [&] { Submit("p", keyed); });
  Moves({"wheelpit_submissions_rejected_total{queue=\"m\",reason=\"IDEMPOTENCY_CONFLICT\"}"}, [&] { Submit("other", keyed); });
  Moves({"wheelpit_submissions_rejected_total{queue=\"_other\",reason=\"BAD_FIELD\"}"},
        [&] { Submit("p", [](v1::TaskSpec* task) { task->set_queue("-"); }); });
  v1::Assignment a;
  Moves({"wheelpit_tasks_leased_total{queue=\"m\"}", "wheelpit_task_wait_seconds_count{queue=\"m\"}",
         "wheelpit_payload_bytes_total{direction=\"out\",queue=\"m\"}", "wheelpit_queue_tasks{queue=\"m\",state=\"leased\"}",
         "wheelpit_queue_lease_rate_per_second{queue=\"m\"}"},
        [&] { a = Lease(); });
  Moves({"wheelpit_lease_extensions_total{queue=\"m\"}"}, [&] { Extend(a); });
  Moves({"wheelpit_tasks_released_total{queue=\"m\"}"}, [&] { Release(a); });
  Moves({"wheelpit_stale_operations_total{op=\"complete\",queue=\"m\"}"}, [&] { Complete(a); });
  Moves({"wheelpit_stale_operations_total{op=\"fail\",queue=\"m\"}"}, [&] { Fail(a); });
  Moves({"wheelpit_stale_operations_total{op=\"extend\",queue=\"m\"}"}, [&] { Extend(a); });
  Moves({"wheelpit_stale_operations_total{op=\"release\",queue=\"m\"}"}, [&] { Release(a); });
  Moves({"wheelpit_tasks_redelivered_total{queue=\"m\"}"}, [&] { a = Lease(); });
  Moves({"wheelpit_tasks_completed_total{queue=\"m\"}", "wheelpit_task_run_seconds_count{outcome=\"completed\",queue=\"m\"}",
         "wheelpit_task_total_seconds_count{queue=\"m\"}", "wheelpit_task_attempts_count{queue=\"m\"}",
         "wheelpit_queue_completion_rate_per_second{queue=\"m\"}", "wheelpit_journal_records_total{type=\"DONE\"}"},
        [&] { Complete(a); });
  grpc::ClientContext context;
  auto stream = queue_->Work(&context);
  Moves({"wheelpit_queue_worker_sessions{queue=\"m\"}", "wheelpit_queue_worker_slots{queue=\"m\",state=\"idle\"}"}, [&] {
    v1::WorkRequest hello;
    hello.mutable_hello()->add_queues()->set_name("m");
    hello.mutable_hello()->mutable_credit()->set_slots(2);
    ASSERT_TRUE(stream->Write(hello));
    v1::WorkResponse response;
    ASSERT_TRUE(stream->Read(&response));
  });
  context.TryCancel();
  stream->Finish();
}

void ServerMetricsTest::CauseEnds() {
  const auto with = [](uint32_t attempts, uint32_t losses, int64_t timeout_ms = 0) {
    return [=](v1::TaskSpec* task) {
      task->set_max_attempts(attempts);
      task->set_max_losses(losses);
      task->set_attempt_timeout_ms(timeout_ms);
      if (attempts == 1) task->set_lease_ttl_ms(1000);
    };
  };
  Submit("p", with(2, 100));
  Moves({"wheelpit_attempts_failed_total{queue=\"m\",reason=\"error\"}", "wheelpit_tasks_retried_total{queue=\"m\"}",
         "wheelpit_task_run_seconds_count{outcome=\"failed\",queue=\"m\"}"},
        [&] { Fail(Lease()); });
  Moves({"wheelpit_tasks_dead_lettered_total{queue=\"m\",reason=\"max_attempts\"}", "wheelpit_queue_tasks{queue=\"m\",state=\"dead\"}",
         "wheelpit_queue_bytes{queue=\"m\",state=\"dead\"}"},
        [&] { Fail(Lease()); });
  Moves({"wheelpit_tasks_dead_lettered_total{queue=\"m\",reason=\"not_retryable\"}", "wheelpit_dead_letters_dropped_total{queue=\"m\"}"}, [&] {
    Submit();
    Fail(Lease(), /*for_good=*/true);
  });
  Moves({"wheelpit_tasks_dead_lettered_total{queue=\"m\",reason=\"lease_losses\"}", "wheelpit_attempts_failed_total{queue=\"m\",reason=\"lease_expired\"}",
         "wheelpit_task_run_seconds_count{outcome=\"lost\",queue=\"m\"}"},
        [&] {
          Submit("p", with(1, 1));
          Lease();
        });
  Moves({"wheelpit_attempts_failed_total{queue=\"m\",reason=\"attempt_timeout\"}"}, [&] {
    Submit("p", with(1, 1, 100));
    Lease();
  });
  Moves({"wheelpit_tasks_cancelled_total{queue=\"m\"}", "wheelpit_task_run_seconds_count{outcome=\"cancelled\",queue=\"m\"}"}, [&] {
    Submit();
    Cancel(Lease().task().id(), /*force=*/true);
  });
  Moves({"wheelpit_tasks_expired_total{queue=\"m\"}"}, [&] {
    grpc::ClientContext context;
    v1::ServerInfo info;
    ASSERT_TRUE(admin_->GetServerInfo(&context, v1::GetServerInfoRequest(), &info).ok());
    Submit("p", [&](v1::TaskSpec* task) { task->set_expire_at_ms(info.now_at_ms() + 200); });
  });
  Moves({"wheelpit_queue_next_due_timestamp_seconds{queue=\"m\"}", "wheelpit_queue_tasks{queue=\"m\",state=\"delayed\"}"},
        [&] { Submit("p", [](v1::TaskSpec* task) { task->set_delay_ms(60'000); }); });
  // Damaged on disk, and read there because nothing is cached.
  const std::string payload = "a payload that stands on disk but once";
  Moves({"wheelpit_tasks_dead_lettered_total{queue=\"m\",reason=\"corrupt\"}", "wheelpit_journal_corrupt_frames_total"}, [&] {
    Submit(payload);
    Damage(payload);
    Lease(/*wait_ms=*/100);
  });
  // Segments come and go.
  Moves({"wheelpit_journal_cleaned_bytes_total", "wheelpit_checkpoints_total"}, [&] {
    const std::string large(1 << 20, 'x');
    for (int i = 0; i < 12; ++i) {
      Submit(large);
      Complete(Lease());
    }
    // Two checkpoints later nothing needs what was done before them.
    for (int i = 0; i < 60; ++i) {
      Submit(std::string(200'000, 'y'));
      Complete(Lease());
      Pause();
    }
  });
}

void ServerMetricsTest::CauseReports() {
  Moves({"wheelpit_batches_received_total{result=\"applied\"}", "wheelpit_samples_received_total{type=\"counter\"}", "wheelpit_series_created_total",
         "wheelpit_apply_duration_seconds_count", "wheelpit_ack_delay_seconds_count{level=\"durable\"}", "wheelpit_report_age_seconds_count",
         "wheelpit_series{state=\"active\"}", "wheelpit_families", "wheelpit_reporters{state=\"live\"}", "wheelpit_ring_bytes", "wheelpit_series_bytes"},
        [&] { EXPECT_TRUE(Report("r", 5, 1, [](v1::Batch* b) { Count(b, "a_total", 3); }).ok()); });
  Moves({"wheelpit_batches_received_total{result=\"duplicate\"}"},
        [&] { EXPECT_TRUE(Report("r", 5, 1, [](v1::Batch* b) { Count(b, "a_total", 3); }).ok()); });
  Moves({"wheelpit_batches_received_total{result=\"gap\"}"}, [&] { Report("r", 5, 9, [](v1::Batch* b) { Count(b, "a_total", 3); }); });
  Moves({"wheelpit_batches_received_total{result=\"rejected\"}"}, [&] { Report("r", 5, 2, [](v1::Batch* b) { b->set_interval_ms(-1); }); });
  Moves({"wheelpit_samples_rejected_total{reason=\"BAD_LABEL_VALUE\"}"},
        [&] { Report("r", 5, 2, [](v1::Batch* b) { Count(b, "a_total", 1, std::string(2000, 'v')); }); });
  Moves({"wheelpit_reporter_fenced_total{cause=\"stale_incarnation\"}"}, [&] { Report("r", 4, 1, nullptr); });
  Moves({"wheelpit_report_batches_lost_total"}, [&] { Report("r", 5, 0, nullptr, /*acked_through=*/20); });
  Moves({"wheelpit_increments_late_total{fate=\"ring\"}"}, [&] {
    Report("r", 5, 21, [](v1::Batch* b) {
      Count(b, "a_total", 1);
      b->set_age_ms(120'000);
    });
  });
  Moves({"wheelpit_increments_late_total{fate=\"total_only\"}"}, [&] {
    Report("r", 5, 22, [](v1::Batch* b) {
      Count(b, "a_total", 1);
      b->set_age_ms(5 * 3'600'000);
    });
  });
  const auto family = [](const std::string& help, const std::string& unit, v1::MetricType type) {
    return [=](v1::Batch* b) {
      v1::FamilyDef* def = b->add_families();
      def->set_name("c_seconds");
      def->set_help(help);
      def->set_unit(unit);
      def->set_type(type);
      b->add_series()->set_ref(1);
      b->mutable_series(0)->set_family("c_seconds");
      b->add_gauge_refs(1);
      b->add_gauge_values(1);
    };
  };
  Moves({"wheelpit_samples_received_total{type=\"gauge\"}"}, [&] { Report("c", 1, 1, family("one", "seconds", v1::METRIC_TYPE_GAUGE)); });
  Moves({"wheelpit_metadata_conflicts_total{kind=\"help\"}", "wheelpit_metadata_conflicts_total{kind=\"unit\"}",
         "wheelpit_metadata_conflicts_total{kind=\"type\"}"},
        [&] { Report("c", 1, 2, family("two", "c", v1::METRIC_TYPE_COUNTER)); });
  Moves({"wheelpit_series_limit_hits_total{limit=\"series_per_reporter\"}"}, [&] {
    Report("many", 1, 1, [](v1::Batch* b) {
      for (int i = 0; i < 10; ++i) Count(b, "many_total", 1, absl::StrCat(i));
    });
  });
  Moves({"wheelpit_reporter_fenced_total{cause=\"superseded\"}"}, [&] {
    std::unique_ptr<grpc::ClientReaderWriter<v1::ReportRequest, v1::ReportResponse>> streams[2];
    grpc::ClientContext contexts[2];
    for (int i = 0; i < 2; ++i) {
      streams[i] = report_->ReportStream(&contexts[i]);
      v1::ReportRequest hello;
      hello.mutable_hello()->set_reporter_id("twice");
      hello.mutable_hello()->set_incarnation(1);
      ASSERT_TRUE(streams[i]->Write(hello));
      v1::ReportResponse response;
      ASSERT_TRUE(streams[i]->Read(&response));
    }
    for (grpc::ClientContext& context : contexts) context.TryCancel();
    for (auto& stream : streams) stream->Finish();
  });
  // Two names that a scraper of legacy names cannot tell apart.
  Report("dots", 1, 1, [](v1::Batch* b) {
    Count(b, "x.y_total", 1);
    Count(b, "x_y_total", 1);
  });
  Moves({"wheelpit_exposition_name_collisions_total"}, [] {});
}

void ServerMetricsTest::CauseReads() {
  Moves({"wheelpit_queries_total{engine=\"exact\",result=\"ok\"}", "wheelpit_query_duration_seconds_count{engine=\"exact\"}"}, [&] {
    grpc::ClientContext context;
    v1::QueryRequest request;
    request.set_query("a_total");
    v1::QueryResponse response;
    EXPECT_TRUE(query_->Query(&context, request, &response).ok());
  });
  Moves({"wheelpit_queries_total{result=\"bad_query\"}", "wheelpit_http_requests_total{route=\"/api/v1/query\",code=\"400\"}"},
        [&] { RawGet(http_port_, "/api/v1/query?query=("); });
  Moves({"wheelpit_http_requests_total{route=\"other\",code=\"404\"}"}, [&] { RawGet(http_port_, "/no/such/page"); });
  Moves({"wheelpit_http_requests_total{route=\"/heavywork\",code=\"405\"}"}, [&] { RawGet(http_port_, "/heavywork"); });
  Moves({"wheelpit_scrapes_total{format=\"openmetrics\",encoding=\"gzip\",code=\"200\"}", "wheelpit_scrape_bytes_total{format=\"openmetrics\"}",
         "wheelpit_scrape_duration_seconds_count{format=\"openmetrics\"}", "wheelpit_scrape_render_duration_seconds_count"},
        [&] { RawGet(http_port_, "/metrics", "Accept: application/openmetrics-text\r\nAccept-Encoding: gzip\r\n"); });
}

// First column of the tables in docs/metrics.md; `yes` in the column "moved by the test" means what it says.
struct Documented {
  std::string name;
  bool moves = false;
};

std::vector<Documented> ReadDocument() {
  std::vector<Documented> names;
  std::ifstream file(WHEELPIT_SOURCE_DIR "/docs/metrics.md");
  const std::regex row("^\\| `(wheelpit_[a-z_]+)`[^|]*\\|[^|]*\\|([^|]*)\\|.*");
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (std::regex_match(line, match, row)) names.push_back({match[1], absl::StrContains(match[2].str(), "yes")});
  }
  return names;
}

TEST_F(ServerMetricsTest, EveryDocumentedNameExistsAndMovesWhenItsCauseHappens) {
  Start({"--ingest_series_per_reporter_max=5"});
  if (HasFatalFailure()) return;
  idle_task_ = Submit("idle", [](v1::TaskSpec* task) { task->set_queue("idle"); });
  CauseQueueEvents();
  CauseEnds();
  CauseReports();
  CauseReads();
  std::set<std::string> shown;
  for (const absl::string_view line : absl::StrSplit(Text(), '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() == 4 && words[1] == "TYPE" && absl::StartsWith(words[2], "wheelpit_")) shown.insert(words[2]);
  }
  const std::vector<Documented> documented = ReadDocument();
  ASSERT_GT(documented.size(), 80u);
  std::set<std::string> names;
  for (const Documented& metric : documented) {
    names.insert(metric.name);
    EXPECT_TRUE(shown.contains(metric.name)) << metric.name << " is documented and not on the page";
    EXPECT_EQ(moved_.contains(metric.name), metric.moves) << metric.name;
  }
  for (const std::string& name : shown) {
    // The adapter's are another document's.
    if (absl::StartsWith(name, "wheelpit_adapter_")) continue;
    EXPECT_TRUE(names.contains(name)) << name << " is on the page and not documented";
  }
}

TEST_F(ServerMetricsTest, AfterARestartGaugesAreRightAndWhatIsJournaledGoesOn) {
  Start({});
  if (HasFatalFailure()) return;
  idle_task_ = Submit("idle", [](v1::TaskSpec* task) { task->set_queue("idle"); });
  Submit();
  Complete(Lease());
  Submit();
  server_->Kill();
  Connect();
  if (HasFatalFailure()) return;
  const Page page = Scrape();
  EXPECT_EQ(Sum(page, "wheelpit_tasks_submitted_total{queue=\"m\"}"), 2);
  EXPECT_EQ(Sum(page, "wheelpit_tasks_completed_total{queue=\"m\"}"), 1);
  EXPECT_EQ(Sum(page, "wheelpit_queue_tasks{queue=\"m\",state=\"ready\"}"), 1);
  EXPECT_EQ(Sum(page, "wheelpit_leader_epoch"), 2);
  EXPECT_GT(Sum(page, "wheelpit_recovery_replayed_records"), 0);
  EXPECT_GT(Sum(page, "wheelpit_recovery_seconds"), 0);
  EXPECT_EQ(Sum(page, "wheelpit_recovery_progress_ratio"), 1);
  EXPECT_EQ(Sum(page, "wheelpit_ready"), 1);
  EXPECT_EQ(Sum(page, "wheelpit_build_info"), 1);
  EXPECT_EQ(Sum(page, "wheelpit_journal_info{engine=\"embedded\",durability=\"always\"}"), 1);
  EXPECT_TRUE(page.contains("wheelpit_stale_operations_total{op=\"complete\",queue=\"m\"}")) << "from the queue's recovery on";
  EXPECT_EQ(Sum(page, "wheelpit_stale_operations_total{queue=\"m\"}"), 0);
}

TEST_F(ServerMetricsTest, ASeriesThatExpiresIsCounted) {
  Start({"--ingest_series_ttl=1s"});
  if (HasFatalFailure()) return;
  idle_task_ = Submit("idle", [](v1::TaskSpec* task) { task->set_queue("idle"); });
  Report("r", 1, 1, [](v1::Batch* b) { Count(b, "a_total", 3); });
  // Others of so short a life go too, and may go first.
  Moves({"wheelpit_series_expired_total{cause=\"ttl\"}"}, [&] {
    for (int pauses = 0; pauses < 600 && Scrape().contains("a_total"); ++pauses) Pause();
  });
  EXPECT_FALSE(Scrape().contains("a_total"));
}

}  // namespace
}  // namespace wheelpit
