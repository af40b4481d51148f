#include "adapter/kube/list_watch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/http/http_types.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

using Json = nlohmann::json;

// The client's own limit, beyond the one that the server is asked to keep.
constexpr absl::Duration kWatchMargin = absl::Seconds(10);

const Json* Member(const Json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it == object.end() ? nullptr : &*it;
}

std::string TextAt(const Json& object, const char* key, const char* inner) {
  const Json* const outer = Member(object, key);
  const Json* const value = outer == nullptr ? nullptr : Member(*outer, inner);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

}  // namespace

ListWatch::ListWatch(KubeClient* client, std::string path, std::string selector,
                     std::function<void(const Objects&)> changed)
    : client_(client),
      path_(std::move(path)),
      selector_(std::move(selector)),
      changed_(std::move(changed)) {}

absl::Status ListWatch::List(absl::Duration timeout) {
  WHEELPIT_ASSIGN_OR_RETURN(
      const Json list,
      client_->Get(selector_.empty() ? path_ : absl::StrCat(path_, "?", selector_), timeout));
  const Json* const items = Member(list, "items");
  if (items == nullptr || !(items->is_array() || items->is_null()))
    return absl::InternalError(absl::StrCat("Kubernetes API: ", path_, " gave no list"));
  Objects objects;
  for (const Json& item : *items) {
    std::string name = TextAt(item, "metadata", "name");
    objects.emplace(std::move(name), item);
  }
  objects_ = std::move(objects);
  resource_version_ = TextAt(list, "metadata", "resourceVersion");
  changed_(objects_);
  return absl::OkStatus();
}

absl::Status ListWatch::Watch(absl::Duration timeout) {
  const std::string target =
      absl::StrCat(path_, "?", selector_, selector_.empty() ? "" : "&",
                   "watch=true&allowWatchBookmarks=true&resourceVersion=",
                   PercentEncode(resource_version_),
                   "&timeoutSeconds=", absl::ToInt64Seconds(timeout));
  const absl::Status status = client_->Watch(target, timeout + kWatchMargin,
                                             [this](const Json& event) { return Take(event); });
  return absl::IsOutOfRange(status) ? absl::OkStatus() : status;
}

absl::Status ListWatch::Take(const Json& event) {
  const Json* const type_json = Member(event, "type");
  const Json* const object = Member(event, "object");
  if (type_json == nullptr || !type_json->is_string() || object == nullptr)
    return absl::InternalError("Kubernetes API: a watch event without type or object");
  const std::string type = type_json->get<std::string>();
  if (type == "ERROR") {
    const Json* const code = Member(*object, "code");
    return KubeError(code != nullptr && code->is_number_integer() ? code->get<int>() : 500,
                     object->dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  if (std::string version = TextAt(*object, "metadata", "resourceVersion"); !version.empty())
    resource_version_ = std::move(version);
  if (type == "BOOKMARK") return absl::OkStatus();
  const std::string name = TextAt(*object, "metadata", "name");
  if (type == "DELETED") {
    objects_.erase(name);
  } else {
    objects_[name] = *object;
  }
  changed_(objects_);
  return absl::OkStatus();
}

}  // namespace wheelpit::adapter
