#include "server/app/config.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/errors.h"
#include "base/option_text.h"
#include "base/status_macros.h"
#include "yaml-cpp/yaml.h"

namespace wheelpit {
namespace {

constexpr char kDefaultRoutes[] =
    "[{path: /heavywork, counter: heavywork_requests_total, queue: heavywork, status: 202, message: \"Heavy work started\"}, "
    "{path: /lightwork, counter: lightwork_requests_total, message: \"Light work done\"}]";

constexpr double kDay = 86'400'000;
constexpr OptionRange kPort = {.min = 0, .max = 65'535};

void AddDoorOptions(ServerConfig* c, OptionTable* t) {
  t->AddString("data_dir", &c->data_dir, "Folder of all state: journal/, adapter.crt, adapter.key, adapter.token, ports.json.");
  t->AddString("ports_file", &c->ports_file,
               "Written once the server is ready: a JSON object with the addresses of its doors. Empty = ports.json in data_dir.");
  t->AddChoice("log_level", &c->log_level, {"debug", "info", "warning", "error"}, "Least severe log lines that are written.");
  t->AddString("grpc_host", &c->grpc_host, "Address on which gRPC listens.");
  t->AddInt("grpc_port", &c->grpc_port, "Port of gRPC; 0 = any free one.", kPort);
  t->AddString("http_host", &c->http_host, "Address on which HTTP listens.");
  t->AddInt("http_port", &c->http_port, "Port of HTTP; 0 = any free one.", kPort);
  t->AddString("apis_host", &c->apis_host, "Address on which the metrics APIs listen (HTTPS).");
  t->AddInt("apis_port", &c->apis_port, "Port of the metrics APIs; 0 = any free one.", kPort);
  t->AddBool("allow_insecure", &c->allow_insecure,
             "Listen on other addresses than loopback although nobody has to prove who they are. Logged, and shown as a metric.");
  t->AddInt("http_threads_max", &c->http_threads_max, "HTTP requests that are worked on at once.", {.min = 4, .max = 4096});
  t->AddInt("http_connections_max", &c->http_connections_max, "Open HTTP connections.", {.min = 16, .max = 100'000});
  t->AddDuration("drain_timeout", &c->drain_timeout_ms, "On SIGTERM: how long calls and workers may go on.", {.min = 0, .max = 600'000});
}

void AddJournalOptions(ServerConfig* c, OptionTable* t) {
  t->AddChoice("journal", &c->journal, {"embedded", "memory"}, "Where state survives: in data_dir, or nowhere.");
  t->AddString("journal_durability", &c->journal_durability,
               "When an answer may be given: always (synced), interval=MS (written, synced that often), os (written).");
  t->AddSize("journal_segment_bytes", &c->journal_segment_bytes, "Size of a segment file of a new journal; the largest payload and result must fit into it.", {.min = 1 << 20, .max = 256 << 20});
  t->AddSize("journal_bytes_max", &c->journal_bytes_max, "Bound of the journal; at it new work is refused (DISK_LOW).", {.min = 64 << 20});
  t->AddSize("journal_disk_low_bytes", &c->journal_disk_low_bytes, "Below this much free space submits are refused (DISK_LOW); below two segments also leases and reports; ends of tasks never.", {.min = 0});
  t->AddDouble("journal_disk_low_percent", &c->journal_disk_low_percent, "The same, in percent of the file system; the larger counts.",
               {.min = 0, .max = 90});
  t->AddSize("journal_checkpoint_bytes", &c->journal_checkpoint_bytes, "A checkpoint is due after this much journal.", {.min = 1 << 20});
  t->AddDuration("journal_checkpoint_interval", &c->journal_checkpoint_interval_ms, "A checkpoint is due after this time.",
                 {.min = 1000, .max = kDay});
  t->AddBool("journal_repair", &c->journal_repair, "Cut the journal at damage instead of refusing to start: what comes after it is lost.");
  t->AddBool("journal_restored", &c->journal_restored, "data_dir is a restored backup: queues as copied, counters from 0.");
}

void AddQueueOptions(ServerConfig* c, OptionTable* t) {
  t->AddBool("queue_auto_create", &c->queue_auto_create, "A submit makes a queue that does not exist.");
  t->AddInt("queue_max_tasks", &c->queue_max_tasks, "Live tasks of all queues together.", {.min = 1, .max = 1e9});
  t->AddInt("queue_max_terminal_tasks", &c->queue_max_terminal_tasks, "Finished tasks that stay readable; the oldest go first.",
            {.min = 0, .max = 1e9});
  t->AddInt("queue_max_queues", &c->queue_max_queues, "Queues.", {.min = 1, .max = 100'000});
  t->AddInt("queue_max_dedupe_entries", &c->queue_max_dedupe_entries, "Idempotency keys that are remembered.", {.min = 0, .max = 1e9});
  t->AddDuration("queue_dedupe_window", &c->queue_dedupe_window_ms, "How long a key is remembered after the end of its task.",
                 {.min = 0, .max = 7 * kDay});
  t->AddDuration("queue_session_grace", &c->queue_session_grace_ms, "How long a worker whose stream broke keeps its leases.",
                 {.min = 0, .max = 300'000});
  t->AddDuration("queue_lease_ttl", &c->queue_lease_ttl_ms, "Lease time of a task that states none.", {.min = 1000, .max = 43'200'000});
  t->AddDuration("queue_attempt_timeout", &c->queue_attempt_timeout_ms, "Longest attempt of a task that states none.",
                 {.min = 1000, .max = 7 * kDay});
  t->AddInt("queue_max_attempts", &c->queue_max_attempts, "Failed attempts after which a task is dead.", {.min = 1, .max = 1000});
  t->AddInt("queue_max_losses", &c->queue_max_losses, "Lost leases after which a task is dead.", {.min = 1, .max = 100});
  t->AddSize("queue_payload_bytes_max", &c->queue_payload_bytes_max, "Largest payload.", {.min = 1, .max = 16 << 20});
  t->AddSize("queue_result_bytes_max", &c->queue_result_bytes_max, "Largest result.", {.min = 0, .max = 1 << 20});
  t->AddDuration("queue_retention", &c->queue_retention_ms, "How long finished tasks stay readable.", {.min = 0, .max = 7 * kDay});
  t->AddDuration("queue_dead_retention", &c->queue_dead_retention_ms, "How long dead tasks stay.", {.min = 0, .max = 365 * kDay});
  t->AddSize("queue_payload_cache_bytes", &c->queue_payload_cache_bytes, "Payloads kept in memory until they are handed out.", {.min = 0});
}

void AddMetricOptions(ServerConfig* c, OptionTable* t) {
  t->AddChoice("ingest_names", &c->ingest_names, {"utf8", "legacy"}, "Which metric and label names reports may use.");
  t->AddInt("ingest_credit", &c->ingest_credit, "Batches that a reporter may have unacknowledged.", {.min = 1, .max = 64});
  t->AddInt("ingest_samples_per_batch_max", &c->ingest_samples_per_batch_max, "Samples of one batch.", {.min = 1, .max = 100'000});
  t->AddDuration("ingest_gauge_ttl", &c->ingest_gauge_ttl_ms, "A silent reporter's gauges go after this time.", {.min = 1000, .max = kDay});
  t->AddDuration("ingest_series_ttl", &c->ingest_series_ttl_ms, "A counter goes this long after its last change; 0 = never.",
                 {.min = 0, .max = 365 * kDay});
  t->AddInt("ingest_series_max", &c->ingest_series_max, "Series.", {.min = 1, .max = 1e8});
  t->AddInt("ingest_series_per_reporter_max", &c->ingest_series_per_reporter_max, "Series of one reporter.", {.min = 1, .max = 1e7});
  t->AddInt("ingest_families_max", &c->ingest_families_max, "Metric families.", {.min = 1, .max = 1e6});
  t->AddBool("exposition_created", &c->exposition_created, "/metrics shows x_created lines.");
  t->AddInt("metric_queues_max", &c->metric_queues_max, "Queues with gauges of their own; the rest is summed as queue=\"_other\".",
            {.min = 0, .max = 1e6});
  t->AddString("routes", &c->routes,
               "The HTTP gateway: a YAML list of maps with path, counter, queue (none = only count), status (200) and message.");
  t->AddString("pod_namespace", &c->pod_namespace, "Label `namespace` of the gateway's series. Empty = $POD_NAMESPACE, else `default`.");
  t->AddString("pod_name", &c->pod_name, "Label `pod` of the gateway's series. Empty = $POD_NAME, else the host's name.");
  t->AddString("adapter_config", &c->adapter_config, "prometheus-adapter's configuration file with external rules, followed while the server runs. Empty = built-in rules only.");
  t->AddBool("adapter_builtin_rules", &c->adapter_builtin_rules, "Rules for the gateway's counters and the queues; the file's win.");
  t->AddString("apis_certificate_file", &c->apis_certificate_file, "PEM certificate of the metrics APIs. Empty = self-signed, in data_dir.");
  t->AddString("apis_key_file", &c->apis_key_file, "PEM key of apis_certificate_file.");
  t->AddList("apis_certificate_hosts", &c->apis_certificate_hosts, "More host names in the self-signed certificate.");
  t->AddChoice("apis_auth", &c->apis_auth, {"token", "kubernetes"},
               "Who may use the metrics APIs: whoever has data_dir/adapter.token, or whom the cluster allows to (its front proxy, client "
               "certificates, tokens, RBAC).");
  t->AddString("kubeconfig", &c->kubeconfig, "Login at the cluster for apis_auth=kubernetes. Empty = the pod's service account.");
}

absl::Status ApplyNode(const YAML::Node& node, const std::string& name, OptionTable* table) {
  if (name == "routes") {
    YAML::Emitter flow;
    flow.SetSeqFormat(YAML::Flow);
    flow.SetMapFormat(YAML::Flow);
    flow.SetStringFormat(YAML::DoubleQuoted);
    flow << node;
    return table->Set(name, flow.c_str(), OptionOrigin::kFile);
  }
  if (node.IsMap()) {
    for (const auto& entry : node) {
      const std::string key = entry.first.Scalar();
      WHEELPIT_RETURN_IF_ERROR(ApplyNode(entry.second, name.empty() ? key : absl::StrCat(name, "_", key), table));
    }
    return absl::OkStatus();
  }
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) WHEELPIT_RETURN_IF_ERROR(table->Set(name, item.Scalar(), OptionOrigin::kFile));
    return absl::OkStatus();
  }
  return table->Set(name, node.IsNull() ? "" : node.Scalar(), OptionOrigin::kFile);
}

// yaml-cpp keeps both entries of a key that stands twice.
absl::Status CheckUniqueKeys(const YAML::Node& node) {
  if (node.IsMap()) {
    std::vector<std::string> seen;
    for (const auto& entry : node) {
      const std::string key = absl::StrReplaceAll(entry.first.Scalar(), {{"-", "_"}});
      for (const std::string& other : seen) {
        if (other == key) return absl::InvalidArgumentError(absl::StrCat("key ", Quoted(key), " stands twice"));
      }
      seen.push_back(key);
      WHEELPIT_RETURN_IF_ERROR(CheckUniqueKeys(entry.second));
    }
  } else if (node.IsSequence()) {
    for (const YAML::Node& item : node) WHEELPIT_RETURN_IF_ERROR(CheckUniqueKeys(item));
  }
  return absl::OkStatus();
}

// What a client may send must fit into the journal: that shows at the start, not when it is sent.
absl::Status CheckSegmentSize(const ServerConfig& c) {
  const auto most = static_cast<int64_t>(SegmentedLog::PayloadBytesMax(c.log));
  const auto check = [&](absl::string_view option, int64_t bytes) {
    if (bytes <= most) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(option, "=", FormatSize(bytes), " does not fit into journal_segment_bytes=",
                                                   FormatSize(c.journal_segment_bytes), ", whose segments hold at most ", most,
                                                   " bytes of it: make the one smaller or the other larger"));
  };
  WHEELPIT_RETURN_IF_ERROR(check("queue_payload_bytes_max", c.queue_payload_bytes_max));
  return check("queue_result_bytes_max", c.queue_result_bytes_max);
}

absl::Status FinishConfig(ServerConfig* c) {
  WHEELPIT_RETURN_IF_ERROR(ParseJournalDurability(c->journal_durability, &c->log));
  c->log.segment_bytes = static_cast<uint64_t>(c->journal_segment_bytes);
  c->log.log_bytes_max = static_cast<uint64_t>(c->journal_bytes_max);
  c->log.disk_low_bytes = static_cast<uint64_t>(c->journal_disk_low_bytes);
  c->log.disk_low_percent = c->journal_disk_low_percent;
  c->log.repair = c->journal_repair;
  c->log.restored = c->journal_restored;
  c->log.dir = absl::StrCat(c->data_dir, "/journal");
  WHEELPIT_ASSIGN_OR_RETURN(c->gateway_routes, ParseRoutes(c->routes));

  if (c->journal == "embedded") WHEELPIT_RETURN_IF_ERROR(CheckSegmentSize(*c));

  EngineOptions& e = c->engine;
  e.checkpoint_bytes = static_cast<uint64_t>(c->journal_checkpoint_bytes);
  e.checkpoint_interval_ms = c->journal_checkpoint_interval_ms;
  e.queue.auto_create = c->queue_auto_create;
  e.queue.tasks_max = static_cast<uint64_t>(c->queue_max_tasks);
  e.queue.terminal_tasks_max = static_cast<uint64_t>(c->queue_max_terminal_tasks);
  e.queue.queues_max = static_cast<uint64_t>(c->queue_max_queues);
  e.queue.dedupe_entries_max = static_cast<uint64_t>(c->queue_max_dedupe_entries);
  e.queue.session_grace_ms = c->queue_session_grace_ms;
  e.queue.payload_cache_bytes = static_cast<uint64_t>(c->queue_payload_cache_bytes);
  e.queue.metric_queues_max = static_cast<uint64_t>(c->metric_queues_max);
  QueueConfig& q = e.queue.queue_defaults;
  q.lease_ttl_ms = c->queue_lease_ttl_ms;
  q.attempt_timeout_ms = c->queue_attempt_timeout_ms;
  q.max_attempts = static_cast<uint32_t>(c->queue_max_attempts);
  q.max_losses = static_cast<uint32_t>(c->queue_max_losses);
  q.payload_bytes_max = static_cast<uint64_t>(c->queue_payload_bytes_max);
  q.result_bytes_max = static_cast<uint64_t>(c->queue_result_bytes_max);
  q.retention_ms = c->queue_retention_ms;
  q.dead_retention_ms = c->queue_dead_retention_ms;
  q.dedupe_window_ms = c->queue_dedupe_window_ms;

  e.ingest.credit = static_cast<uint32_t>(c->ingest_credit);
  e.ingest.samples_per_batch_max = static_cast<uint32_t>(c->ingest_samples_per_batch_max);
  if (c->journal == "embedded") {
    // A batch takes about as much in the journal as on the wire.
    const uint64_t most = SegmentedLog::PayloadBytesMax(c->log) / 8 * 7;
    e.ingest.batch_bytes_max = static_cast<uint32_t>(std::min<uint64_t>(e.ingest.batch_bytes_max, most));
  }
  e.ingest.gauge_ttl_ms = c->ingest_gauge_ttl_ms;
  e.ingest.series_ttl_ms = c->ingest_series_ttl_ms;
  e.series.series_max = static_cast<size_t>(c->ingest_series_max);
  e.series.series_per_reporter_max = static_cast<size_t>(c->ingest_series_per_reporter_max);
  e.series.families_max = static_cast<size_t>(c->ingest_families_max);
  e.series.legacy_names = c->ingest_names == "legacy";
  if (c->apis_certificate_file.empty() != c->apis_key_file.empty()) {
    return absl::InvalidArgumentError("apis_certificate_file and apis_key_file go together");
  }
  return absl::OkStatus();
}

}  // namespace

void AddServerOptions(ServerConfig* config, OptionTable* table) {
  if (config->routes.empty()) config->routes = kDefaultRoutes;
  table->AddString("config", &config->config_file, "YAML file with these options; keys of nested maps are joined by `_`.");
  table->AddBool("print_config", &config->print_config, "Print every option with its value and where that came from, and end.");
  table->AddBool("version", &config->version, "Print the version, and end.");
  table->AddBool("help", &config->help, "Print the options, and end.");
  AddDoorOptions(config, table);
  AddJournalOptions(config, table);
  AddQueueOptions(config, table);
  AddMetricOptions(config, table);
}

std::string DefaultDataDir(bool root, absl::string_view xdg_state_home, absl::string_view home) {
  if (root) return "/var/lib/wheelpit";
  if (absl::StartsWith(xdg_state_home, "/")) return absl::StrCat(xdg_state_home, "/wheelpit");
  return home.empty() ? "" : absl::StrCat(home, "/.local/state/wheelpit");
}

absl::Status ApplyYaml(absl::string_view text, absl::string_view file_name, OptionTable* table) {
  absl::Status status;
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    if (root.IsNull()) return absl::OkStatus();
    status = root.IsMap() ? CheckUniqueKeys(root) : absl::InvalidArgumentError("must be a map of options");
    if (status.ok()) status = ApplyNode(root, "", table);
  } catch (const YAML::Exception& e) {
    status = absl::InvalidArgumentError(e.what());
  }
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(file_name, ": ", status.message()));
}

// Variables of the command-line client and of what it runs, which a server started from there inherits and must not take for options.
bool IsClientVariable(absl::string_view entry) {
  const absl::string_view name = entry.substr(0, entry.find('='));
  for (const absl::string_view client : {"WHEELPIT_ADDRESS", "WHEELPIT_TASK_ID", "WHEELPIT_ATTEMPT", "WHEELPIT_TOKEN", "WHEELPIT_QUEUE",
                                         "WHEELPIT_TLS", "WHEELPIT_CALL_TIMEOUT"}) {
    if (name == client) return true;
  }
  return absl::StartsWith(name, "WHEELPIT_TLS_");
}

// Variables that Kubernetes sets for each Service of the pod's namespace: a Service `wheelpit-adapter` makes
// WHEELPIT_ADAPTER_SERVICE_HOST, WHEELPIT_ADAPTER_PORT=tcp://10.0.0.1:443, WHEELPIT_ADAPTER_PORT_443_TCP_ADDR and more.
bool IsServiceVariable(absl::string_view entry) {
  const size_t equals = entry.find('=');
  const absl::string_view name = entry.substr(0, equals);
  const absl::string_view value = equals == absl::string_view::npos ? "" : entry.substr(equals + 1);
  if (absl::EndsWith(name, "_SERVICE_HOST") || absl::StrContains(name, "_SERVICE_PORT")) return true;
  if (absl::EndsWith(name, "_PORT")) return absl::StrContains(value, "://");
  if (!absl::StrContains(name, "_PORT_")) return false;
  return absl::StrContains(name, "_TCP") || absl::StrContains(name, "_UDP") || absl::StrContains(name, "_SCTP");
}

absl::Status LoadServerConfig(const std::vector<std::string>& args, const std::vector<std::string>& environment, OptionTable* table,
                              ServerConfig* config) {
  std::vector<std::string> positional;
  WHEELPIT_RETURN_IF_ERROR(table->ParseFlags(args, &positional));
  if (!positional.empty()) return absl::InvalidArgumentError(absl::StrCat(Quoted(positional[0]), " is no option; options begin with --"));
  std::vector<std::string> ours;
  for (const std::string& entry : environment) {
    if (!IsClientVariable(entry) && !IsServiceVariable(entry)) ours.push_back(entry);
  }
  WHEELPIT_RETURN_IF_ERROR(table->ParseEnv("WHEELPIT_", ours));
  if (!config->config_file.empty()) {
    std::ifstream file(config->config_file);
    std::stringstream text;
    if (file) text << file.rdbuf();
    if (!file.is_open() || file.bad()) return absl::InvalidArgumentError(absl::StrCat("config: cannot read ", Quoted(config->config_file)));
    WHEELPIT_RETURN_IF_ERROR(ApplyYaml(text.str(), config->config_file, table));
  }
  if (config->data_dir.empty()) return absl::InvalidArgumentError("data_dir: there is no home folder to put it in; name one");
  return FinishConfig(config);
}

bool IsLoopback(absl::string_view host) {
  return host == "localhost" || host == "::1" || host == "[::1]" || absl::StartsWith(host, "127.") || absl::StartsWith(host, "unix:");
}

absl::Status CheckDoors(const ServerConfig& config) {
  if (config.allow_insecure) return absl::OkStatus();
  const std::pair<absl::string_view, const std::string&> doors[] = {
      {"grpc_host", config.grpc_host}, {"http_host", config.http_host}, {"apis_host", config.apis_host}};
  for (const auto& [name, host] : doors) {
    if (IsLoopback(host)) continue;
    if (name == "apis_host" && config.apis_auth == "kubernetes") continue;
    return absl::FailedPreconditionError(absl::StrCat(name, "=", host,
                                                      " can be reached from other machines, and nobody has to prove who they are: "
                                                      "use 127.0.0.1, or say --allow_insecure"));
  }
  return absl::OkStatus();
}

std::string DescribeConfig(const OptionTable& table) { return OptionValues(table); }

std::string ConfigMarkdown() {
  ServerConfig config;
  OptionTable table;
  AddServerOptions(&config, &table);
  std::string out =
      "# Options of wheelpit-server\n\n"
      "Made from the table in `server/app/config.cc`; a test compares the two.\n\n"
      "Defaults < YAML file (`--config`) < environment (`WHEELPIT_` + NAME) < flags (`--name=value`, `-` and `_` are the same).\n"
      "Durations: `30s`, `1m30s`, `500ms`. Sizes: `64MiB`, `1GiB`. An unknown name or a value out of range stops the start.\n"
      "`data_dir` is /var/lib/wheelpit as root, else $XDG_STATE_HOME/wheelpit. Every option needs a restart.\n\n";
  out += OptionMarkdown(table);
  return out;
}

}  // namespace wheelpit
