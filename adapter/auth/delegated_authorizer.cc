#include "adapter/auth/delegated_authorizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "adapter/auth/expiring_cache.h"
#include "adapter/auth/shared_calls.h"

namespace wheelpit::adapter {
namespace {

using Json = nlohmann::json;

constexpr char kTarget[] = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
constexpr char kSuperusers[] = "system:masters";
constexpr size_t kEntriesMax = 8192;
// Larger questions are answered, but not remembered.
constexpr size_t kKeyBytesMax = 10000;

Json SpecOf(const UserInfo& user, const RequestAttributes& attributes) {
  Json spec = {{"user", user.name}, {"groups", user.groups}};
  if (!user.uid.empty()) spec["uid"] = user.uid;
  if (!user.extra.empty()) spec["extra"] = user.extra;
  if (!attributes.is_resource) {
    spec["nonResourceAttributes"] = {{"path", attributes.path}, {"verb", attributes.verb}};
    return spec;
  }
  Json& resource = spec["resourceAttributes"];
  resource = {{"verb", attributes.verb},
              {"group", attributes.group},
              {"version", attributes.version},
              {"resource", attributes.resource}};
  if (!attributes.name_space.empty()) resource["namespace"] = attributes.name_space;
  if (!attributes.subresource.empty()) resource["subresource"] = attributes.subresource;
  if (!attributes.name.empty()) resource["name"] = attributes.name;
  return spec;
}

// All that a review depends on, each part with its length before it, so that no two questions share a key.
std::string KeyOf(const UserInfo& user, const RequestAttributes& attributes) {
  std::string key;
  const auto add = [&key](absl::string_view part) { absl::StrAppend(&key, part.size(), ":", part); };
  const auto add_all = [&](const std::vector<std::string>& parts) {
    absl::StrAppend(&key, parts.size(), ";");
    for (const std::string& part : parts) add(part);
  };
  add(user.name);
  add(user.uid);
  add_all(user.groups);
  absl::StrAppend(&key, user.extra.size(), ";");
  for (const auto& [name, values] : user.extra) {
    add(name);
    add_all(values);
  }
  add(attributes.verb);
  if (!attributes.is_resource) {
    add(attributes.path);
    return key;
  }
  for (const std::string* part : {&attributes.group, &attributes.version, &attributes.name_space,
                                  &attributes.resource, &attributes.subresource, &attributes.name})
    add(*part);
  return key;
}

struct Decision {
  bool allowed = false;
  std::string reason;
};

absl::StatusOr<Decision> DecisionOf(const Json& review) {
  const auto status = review.find("status");
  if (status == review.end() || !status->is_object() || !status->contains("allowed") ||
      !(*status)["allowed"].is_boolean()) {
    return absl::InternalError("subject access review: the answer holds no decision");
  }
  Decision decision;
  const bool denied = status->contains("denied") && (*status)["denied"] == true;
  decision.allowed = (*status)["allowed"].get<bool>() && !denied;
  if (const auto reason = status->find("reason"); reason != status->end() && reason->is_string())
    decision.reason = reason->get<std::string>();
  return decision;
}

class DelegatedAuthorizer final : public Authorizer {
 public:
  DelegatedAuthorizer(ReviewParts parts, DelegatedAuthorizerOptions options)
      : parts_(std::move(parts)), options_(std::move(options)), known_(kEntriesMax) {}

  bool AllowsAnyone(const RequestAttributes& attributes) const override {
    if (attributes.is_resource) return false;
    const absl::string_view path = absl::StripPrefix(attributes.path, "/");
    for (const std::string& open : options_.always_allow_paths) {
      absl::string_view pattern = absl::StripPrefix(open, "/");
      if (absl::ConsumeSuffix(&pattern, "*") ? absl::StartsWith(path, pattern) : path == pattern)
        return true;
    }
    return false;
  }

  absl::Status Authorize(const UserInfo& user, const RequestAttributes& attributes) override {
    if (std::find(user.groups.begin(), user.groups.end(), kSuperusers) != user.groups.end() ||
        AllowsAnyone(attributes)) {
      return absl::OkStatus();
    }
    const std::string key = KeyOf(user, attributes);
    std::optional<Decision> decision = Known(key);
    if (!decision.has_value()) {
      const auto ask = [&]() -> absl::StatusOr<Decision> {
        // It may have come since.
        if (std::optional<Decision> known = Known(key); known.has_value()) return *std::move(known);
        absl::StatusOr<Decision> asked = Ask(SpecOf(user, attributes));
        if (asked.ok()) Remember(key, *asked);
        return asked;
      };
      absl::StatusOr<Decision> asked = remembers() ? calls_.Run(key, ask) : ask();
      if (!asked.ok()) return absl::UnavailableError(asked.status().message());
      decision = *std::move(asked);
    }
    return decision->allowed ? absl::OkStatus() : absl::PermissionDeniedError(decision->reason);
  }

 private:
  bool remembers() const {
    return std::max(options_.allowed_ttl, options_.denied_ttl) > absl::ZeroDuration();
  }

  std::optional<Decision> Known(const std::string& key) {
    return known_.Find(key, parts_.clock->MonotonicNanos());
  }

  void Remember(const std::string& key, const Decision& decision) {
    const absl::Duration ttl = decision.allowed ? options_.allowed_ttl : options_.denied_ttl;
    if (ttl <= absl::ZeroDuration() || key.size() > kKeyBytesMax) return;
    known_.Insert(key, decision, parts_.clock->MonotonicNanos() + absl::ToInt64Nanoseconds(ttl));
  }

  absl::StatusOr<Decision> Ask(const Json& spec) const {
    const Json review = {{"apiVersion", "authorization.k8s.io/v1"},
                         {"kind", "SubjectAccessReview"},
                         {"spec", spec}};
    absl::StatusOr<Json> answer = CallReview(parts_, kTarget, review);
    if (!answer.ok()) return answer.status();
    return DecisionOf(*answer);
  }

  const ReviewParts parts_;
  const DelegatedAuthorizerOptions options_;
  ExpiringCache<Decision> known_;
  SharedCalls<Decision> calls_;
};

}  // namespace

std::unique_ptr<Authorizer> NewDelegatedAuthorizer(ReviewParts parts,
                                                   DelegatedAuthorizerOptions options) {
  return std::make_unique<DelegatedAuthorizer>(std::move(parts), std::move(options));
}

}  // namespace wheelpit::adapter
