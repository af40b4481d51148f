// Keeps the settings of authentication up to date: from the cluster's ConfigMap by list and watch,
// and from files that replace parts of it.
//
// One thread runs it; what it fills may be read from any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "adapter/auth/auth_config.h"
#include "adapter/kube/list_watch.h"

namespace wheelpit::adapter {

struct AuthFeedOptions {
  // Instead of the ConfigMap's client CA; empty = the ConfigMap's.
  std::string client_ca_file;
  // Instead of all that the ConfigMap says of the front proxy; empty = the ConfigMap's.
  std::string request_header_ca_file;
  RequestHeaderConfig request_header;
  // Do not look at the ConfigMap at all.
  bool skip_lookup = false;
};

class AuthFeed {
 public:
  // `client` may be null with skip_lookup; it and `live` outlive the feed.
  AuthFeed(AuthFeedOptions options, KubeClient* client, LiveAuthConfig* live);

  // Reads the files and lists the ConfigMap. A missing ConfigMap is a warning: both kinds of client
  // certificates are then off.
  absl::Status Load(absl::Duration timeout);
  // Waits for changes of the ConfigMap, for `timeout` at most; its end is OK: Load then. With
  // skip_lookup it returns at once.
  absl::Status Follow(absl::Duration timeout);
  bool follows() const { return list_watch_ != nullptr; }

 private:
  void Changed(const ListWatch::Objects& objects);
  absl::Status ReadFiles();
  void Publish();

  const AuthFeedOptions options_;
  LiveAuthConfig* const live_;
  std::unique_ptr<ListWatch> list_watch_;
  AuthConfig from_map_;
  AuthConfig from_files_;
  // As last read: parsed again only when it differs.
  std::string client_ca_pem_;
  std::string request_header_ca_pem_;
  std::string missing_or_bad_;
};

}  // namespace wheelpit::adapter
