// Every option of wheelpit-server in one table: name, meaning, default, range. Defaults < file (YAML) < environment (WHEELPIT_…) <
// flags. docs/config.md is made from the table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/options.h"
#include "client/gateway/gateway.h"
#include "server/engine/engine.h"
#include "server/journal_log/segmented_log.h"

namespace wheelpit {

// Options as the table holds them; FinishConfig makes the rooms' structs of them.
struct ServerConfig {
  std::string config_file;
  bool print_config = false;
  bool version = false;
  bool help = false;

  std::string data_dir;
  std::string ports_file;
  std::string log_level = "info";

  std::string grpc_host = "127.0.0.1";
  int64_t grpc_port = 7070;
  std::string http_host = "127.0.0.1";
  int64_t http_port = 7080;
  std::string apis_host = "127.0.0.1";
  int64_t apis_port = 6443;
  bool allow_insecure = false;
  int64_t http_threads_max = 512;
  int64_t http_connections_max = 10'000;

  std::string journal = "embedded";
  std::string journal_durability = "always";
  int64_t journal_segment_bytes = 64LL << 20;
  int64_t journal_bytes_max = 64LL << 30;
  int64_t journal_disk_low_bytes = 1LL << 30;
  double journal_disk_low_percent = 5;
  int64_t journal_checkpoint_bytes = 512LL << 20;
  int64_t journal_checkpoint_interval_ms = 300'000;
  bool journal_repair = false;
  bool journal_restored = false;

  bool queue_auto_create = true;
  int64_t queue_max_tasks = 10'000'000;
  int64_t queue_max_terminal_tasks = 1'000'000;
  int64_t queue_max_queues = 1000;
  int64_t queue_max_dedupe_entries = 10'000'000;
  int64_t queue_dedupe_window_ms = 3'600'000;
  int64_t queue_session_grace_ms = 15'000;
  int64_t queue_lease_ttl_ms = 30'000;
  int64_t queue_attempt_timeout_ms = 3'600'000;
  int64_t queue_max_attempts = 5;
  int64_t queue_max_losses = 5;
  int64_t queue_payload_bytes_max = 1 << 20;
  int64_t queue_result_bytes_max = 64 << 10;
  int64_t queue_retention_ms = 3'600'000;
  int64_t queue_dead_retention_ms = 14 * 86'400'000LL;
  int64_t queue_payload_cache_bytes = 256LL << 20;

  std::string ingest_names = "utf8";
  int64_t ingest_credit = 8;
  int64_t ingest_samples_per_batch_max = 10'000;
  int64_t ingest_gauge_ttl_ms = 60'000;
  int64_t ingest_series_ttl_ms = 3'600'000;
  int64_t ingest_series_max = 2'000'000;
  int64_t ingest_series_per_reporter_max = 10'000;
  int64_t ingest_families_max = 5'000;

  bool exposition_created = false;
  int64_t metric_queues_max = 1000;
  std::string routes;
  std::string pod_namespace;
  std::string pod_name;

  std::string adapter_config;
  bool adapter_builtin_rules = true;
  std::string apis_certificate_file;
  std::string apis_key_file;
  std::vector<std::string> apis_certificate_hosts;
  std::string apis_auth = "token";
  std::string kubeconfig;

  int64_t drain_timeout_ms = 20'000;

  // Made by FinishConfig.
  std::vector<GatewayRoute> gateway_routes;
  EngineOptions engine;
  SegmentedLogOptions log;
};

// Adds every option; `config` outlives the table and holds the defaults.
void AddServerOptions(ServerConfig* config, OptionTable* table);

// Where state is kept unless said otherwise: /var/lib/wheelpit as root, else $XDG_STATE_HOME/wheelpit (~/.local/state/wheelpit).
std::string DefaultDataDir(bool root, absl::string_view xdg_state_home, absl::string_view home);

// Sets every pair of a YAML file: keys of nested maps are joined by `_` (`queue: {lease_ttl: 30s}`); `routes` is taken as a list.
absl::Status ApplyYaml(absl::string_view text, absl::string_view file_name, OptionTable* table);

// Flags, then the environment, then the file that one of them names; checks what options mean together. Errors name the option and
// the nearest right one.
absl::Status LoadServerConfig(const std::vector<std::string>& args, const std::vector<std::string>& environment, OptionTable* table,
                              ServerConfig* config);

// kFailedPrecondition: a door on another host than loopback without --allow_insecure.
absl::Status CheckDoors(const ServerConfig& config);
// Whether this host name or address can only be reached from this machine.
bool IsLoopback(absl::string_view host);

// For --print_config: `name = value  # origin`, one a line.
std::string DescribeConfig(const OptionTable& table);
// docs/config.md.
std::string ConfigMarkdown();

}  // namespace wheelpit
