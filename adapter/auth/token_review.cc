#include "adapter/auth/token_review.h"

#include <openssl/sha.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "adapter/auth/expiring_cache.h"
#include "adapter/auth/shared_calls.h"
#include "base/errors.h"
#include "base/log.h"

namespace wheelpit::adapter {
namespace {

using Json = nlohmann::json;

constexpr char kTarget[] = "/apis/authentication.k8s.io/v1/tokenreviews";
constexpr size_t kEntriesMax = 8192;

std::string Digest(absl::string_view token) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof(digest));
}

// "" if there is none.
absl::string_view BearerToken(const HttpRequest& request) {
  const absl::string_view value = absl::StripAsciiWhitespace(request.Header("Authorization"));
  const std::vector<absl::string_view> parts = absl::StrSplit(value, absl::MaxSplits(' ', 2));
  return parts.size() >= 2 && absl::EqualsIgnoreCase(parts[0], "bearer") ? parts[1] : "";
}

const Json* Member(const Json* object, const char* key) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto it = object->find(key);
  return it == object->end() ? nullptr : &*it;
}

std::string Text(const Json* value) {
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

std::vector<std::string> Texts(const Json* value) {
  std::vector<std::string> texts;
  if (value != nullptr && value->is_array()) {
    for (const Json& text : *value) texts.push_back(Text(&text));
  }
  return texts;
}

// Nothing: not a token of this cluster.
std::optional<UserInfo> UserOf(const Json& review) {
  const Json* const status = Member(&review, "status");
  const Json* const authenticated = Member(status, "authenticated");
  if (authenticated == nullptr || *authenticated != true) return std::nullopt;
  const Json* const from = Member(status, "user");
  UserInfo user;
  user.name = Text(Member(from, "username"));
  user.uid = Text(Member(from, "uid"));
  user.groups = Texts(Member(from, "groups"));
  if (const Json* const extra = Member(from, "extra"); extra != nullptr && extra->is_object()) {
    for (const auto& [key, values] : extra->items()) user.extra[key] = Texts(&values);
  }
  return user;
}

class TokenReviewMethod final : public AuthenticationMethod {
 public:
  TokenReviewMethod(ReviewParts parts, absl::Duration ttl)
      : parts_(std::move(parts)), ttl_ns_(absl::ToInt64Nanoseconds(ttl)), known_(kEntriesMax) {}

  absl::StatusOr<std::optional<UserInfo>> Try(const HttpRequest& request) override {
    const absl::string_view token = BearerToken(request);
    if (token.empty()) return std::nullopt;
    const std::string key = Digest(token);
    if (ttl_ns_ <= 0) return Judged(Ask(token));
    if (const auto user = Known(key); user.has_value()) return Judged(*user);
    return Judged(calls_.Run(key, [&]() -> absl::StatusOr<std::optional<UserInfo>> {
      // It may have come since.
      if (const auto user = Known(key); user.has_value()) return *user;
      absl::StatusOr<std::optional<UserInfo>> user = Ask(token);
      if (user.ok()) known_.Insert(key, *user, parts_.clock->MonotonicNanos() + ttl_ns_);
      return user;
    }));
  }

 private:
  std::optional<std::optional<UserInfo>> Known(const std::string& key) {
    return known_.Find(key, parts_.clock->MonotonicNanos());
  }

  absl::StatusOr<std::optional<UserInfo>> Ask(absl::string_view token) const {
    const Json review = {{"apiVersion", "authentication.k8s.io/v1"},
                         {"kind", "TokenReview"},
                         {"spec", {{"token", std::string(token)}}}};
    const absl::StatusOr<Json> answer = CallReview(parts_, kTarget, review);
    if (answer.ok()) return UserOf(*answer);
    Log(LogLevel::kWarning, "adapter_token_review_failed",
        {{"error", std::string(answer.status().message())}});
    return absl::UnauthenticatedError(absl::StrCat("token review: ", answer.status().message()));
  }

  static absl::StatusOr<std::optional<UserInfo>> Judged(
      absl::StatusOr<std::optional<UserInfo>> user) {
    if (user.ok() && !user->has_value()) return absl::UnauthenticatedError("invalid bearer token");
    return user;
  }

  const ReviewParts parts_;
  const int64_t ttl_ns_;
  ExpiringCache<std::optional<UserInfo>> known_;
  SharedCalls<std::optional<UserInfo>> calls_;
};

}  // namespace

std::unique_ptr<AuthenticationMethod> NewTokenReviewMethod(ReviewParts parts, absl::Duration ttl) {
  return std::make_unique<TokenReviewMethod>(std::move(parts), ttl);
}

}  // namespace wheelpit::adapter
