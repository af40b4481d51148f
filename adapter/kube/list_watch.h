// The objects that one list request selects, followed by list and watch.
//
// Not thread-safe: one caller runs it, again and again, and waits in between after an error.
//
//   ListWatch follow(client, "/api/v1/namespaces/kube-system/configmaps",
//                    "fieldSelector=metadata.name%3Dx", [&](const ListWatch::Objects& now) { … });
//   absl::Status status = follow.Run();   // OK: the watch ended by itself; run again
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "adapter/kube/kube_client.h"
#include "nlohmann/json.hpp"

namespace wheelpit::adapter {

class ListWatch {
 public:
  // By name.
  using Objects = std::map<std::string, nlohmann::json>;

  // `changed` is told all objects after each list and each change. `client` outlives it.
  ListWatch(KubeClient* client, std::string path, std::string selector,
            std::function<void(const Objects&)> changed);

  // Lists; `changed` is called before it returns OK.
  absl::Status List(absl::Duration timeout);
  // Watches from where the last list or watch stopped, for `timeout` at most. Its end, and 410
  // Gone (the server has forgotten that point), are OK: list again.
  absl::Status Watch(absl::Duration timeout);

 private:
  absl::Status Take(const nlohmann::json& event);

  KubeClient* const client_;
  const std::string path_;
  const std::string selector_;
  const std::function<void(const Objects&)> changed_;
  Objects objects_;
  std::string resource_version_;
};

}  // namespace wheelpit::adapter
