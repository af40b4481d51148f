#include "adapter/auth/auth_feed.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/small_file.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr char kName[] = "extension-apiserver-authentication";
constexpr char kPath[] = "/api/v1/namespaces/kube-system/configmaps";
// The only request that the Role extension-apiserver-authentication-reader allows.
constexpr char kSelector[] = "fieldSelector=metadata.name%3Dextension-apiserver-authentication";

absl::StatusOr<AuthConfig> FromObject(const nlohmann::json& object) {
  std::map<std::string, std::string> data;
  if (const auto it = object.find("data"); it != object.end() && it->is_object()) {
    for (const auto& [key, value] : it->items()) {
      if (value.is_string()) data[key] = value.get<std::string>();
    }
  }
  return AuthConfigFromMap(data);
}

}  // namespace

AuthFeed::AuthFeed(AuthFeedOptions options, KubeClient* client, LiveAuthConfig* live)
    : options_(std::move(options)), live_(live) {
  const bool files_say_all =
      !options_.client_ca_file.empty() && !options_.request_header_ca_file.empty();
  if (!options_.skip_lookup && !files_say_all) {
    list_watch_ = std::make_unique<ListWatch>(
        client, kPath, kSelector, [this](const ListWatch::Objects& now) { Changed(now); });
  }
}

void AuthFeed::Changed(const ListWatch::Objects& objects) {
  const auto it = objects.find(kName);
  std::string wrong;
  if (it == objects.end()) {
    wrong = "it is not there: client certificates and the front proxy are not believed";
    from_map_ = AuthConfig();
  } else if (absl::StatusOr<AuthConfig> config = FromObject(it->second); config.ok()) {
    from_map_ = *std::move(config);
  } else {
    // What was good before is better than none.
    wrong = std::string(config.status().message());
  }
  if (!wrong.empty() && wrong != missing_or_bad_) {
    Log(LogLevel::kWarning, "adapter_auth_config_map",
        {{"config_map", absl::StrCat("kube-system/", kName)}, {"why", wrong}});
  }
  missing_or_bad_ = std::move(wrong);
  Publish();
}

absl::Status AuthFeed::ReadFiles() {
  const auto read = [](const std::string& path, std::string* last,
                       std::shared_ptr<const ClientCa>* ca) -> absl::Status {
    WHEELPIT_ASSIGN_OR_RETURN(std::string pem, ReadSmallFile(path));
    if (*ca != nullptr && pem == *last) return absl::OkStatus();
    auto made = ClientCa::Create(pem);
    if (!made.ok())
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", made.status().message()));
    *ca = *std::move(made);
    *last = std::move(pem);
    return absl::OkStatus();
  };
  if (!options_.client_ca_file.empty()) {
    WHEELPIT_RETURN_IF_ERROR(
        read(options_.client_ca_file, &client_ca_pem_, &from_files_.client_ca));
  }
  if (!options_.request_header_ca_file.empty()) {
    auto proxy = std::make_shared<RequestHeaderConfig>(options_.request_header);
    if (from_files_.request_header != nullptr) proxy->ca = from_files_.request_header->ca;
    WHEELPIT_RETURN_IF_ERROR(
        read(options_.request_header_ca_file, &request_header_ca_pem_, &proxy->ca));
    from_files_.request_header = std::move(proxy);
  }
  return absl::OkStatus();
}

void AuthFeed::Publish() {
  AuthConfig config = from_map_;
  if (from_files_.client_ca != nullptr) config.client_ca = from_files_.client_ca;
  if (from_files_.request_header != nullptr) config.request_header = from_files_.request_header;
  live_->Set(std::move(config));
}

absl::Status AuthFeed::Load(absl::Duration timeout) {
  const absl::Status files = ReadFiles();
  Publish();
  const absl::Status listed =
      list_watch_ == nullptr ? absl::OkStatus() : list_watch_->List(timeout);
  return files.ok() ? listed : files;
}

absl::Status AuthFeed::Follow(absl::Duration timeout) {
  return list_watch_ == nullptr ? absl::OkStatus() : list_watch_->Watch(timeout);
}

}  // namespace wheelpit::adapter
