#include "adapter/kube/kube_client.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"
#include "base/http/http_client.h"
#include "base/small_file.h"
#include "base/status_macros.h"
#include "base/sync.h"

namespace wheelpit::adapter {
namespace {

using Json = nlohmann::json;

// One event; ConfigMaps stay under 1 MiB.
constexpr size_t kEventBytesMax = 16 << 20;

absl::StatusOr<Json> ParseAnswer(absl::string_view body) {
  Json json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InternalError("Kubernetes API: the answer is no JSON object");
  return json;
}

absl::Status Named(const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("Kubernetes API: ", status.message()));
}

class HttpKubeClient final : public KubeClient {
 public:
  HttpKubeClient(std::unique_ptr<HttpClient> http, std::string token, std::string token_file)
      : http_(std::move(http)), token_file_(std::move(token_file)), token_(std::move(token)) {}

  absl::StatusOr<Json> Get(absl::string_view target, absl::Duration timeout) override {
    HttpCall call;
    call.target = std::string(target);
    call.timeout = timeout;
    return Run(std::move(call));
  }

  absl::StatusOr<Json> Post(absl::string_view target, const Json& body,
                            absl::Duration timeout) override {
    HttpCall call;
    call.method = "POST";
    call.target = std::string(target);
    call.timeout = timeout;
    call.content_type = "application/json";
    // Names come from clients and need not be UTF-8.
    call.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    return Run(std::move(call));
  }

  absl::Status Watch(absl::string_view target, absl::Duration timeout,
                     absl::FunctionRef<absl::Status(const Json& event)> on_event) override {
    HttpCall call;
    call.target = std::string(target);
    call.timeout = timeout;
    AddHeaders(&call);
    std::string line;
    absl::Status failure;
    const auto on_data = [&](absl::string_view data) {
      while (!data.empty()) {
        const size_t end = data.find('\n');
        line.append(data.data(), std::min(end, data.size()));
        if (line.size() > kEventBytesMax) failure = absl::InternalError("a watch event is too long");
        if (!failure.ok()) return false;
        if (end == absl::string_view::npos) return true;
        data.remove_prefix(end + 1);
        const absl::StatusOr<Json> event = ParseAnswer(std::exchange(line, ""));
        failure = event.ok() ? on_event(*event) : event.status();
        if (!failure.ok()) return false;
      }
      return true;
    };
    const absl::StatusOr<HttpAnswer> answer = http_->Stream(call, on_data);
    if (!failure.ok()) return failure;
    if (!answer.ok()) return Named(answer.status());
    return KubeError(answer->status, answer->body);
  }

  void Cancel() override { http_->Cancel(); }

 private:
  absl::StatusOr<Json> Run(HttpCall call) {
    AddHeaders(&call);
    const absl::StatusOr<HttpAnswer> answer = http_->Call(call);
    if (!answer.ok()) return Named(answer.status());
    WHEELPIT_RETURN_IF_ERROR(KubeError(answer->status, answer->body));
    return ParseAnswer(answer->body);
  }

  void AddHeaders(HttpCall* call) {
    call->headers.emplace_back("Accept", "application/json");
    const std::string token = Token();
    if (!token.empty()) call->headers.emplace_back("Authorization", absl::StrCat("Bearer ", token));
  }

  // A file that cannot be read for a moment leaves the last token in use.
  std::string Token() {
    if (!token_file_.empty()) {
      const absl::StatusOr<std::string> content = ReadSmallFile(token_file_);
      if (content.ok()) {
        MutexLock lock(&mu_);
        token_ = std::string(absl::StripAsciiWhitespace(*content));
        return token_;
      }
    }
    MutexLock lock(&mu_);
    return token_;
  }

  const std::unique_ptr<HttpClient> http_;
  const std::string token_file_;
  Mutex mu_;
  std::string token_ ABSL_GUARDED_BY(mu_);
};

absl::StatusCode CodeOf(int http_status) {
  switch (http_status) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 429:
      return absl::StatusCode::kUnavailable;
    default:
      return http_status >= 500 ? absl::StatusCode::kUnavailable
                                : absl::StatusCode::kInvalidArgument;
  }
}

}  // namespace

absl::Status KubeError(int http_status, absl::string_view body) {
  if (http_status >= 200 && http_status < 300) return absl::OkStatus();
  std::string message;
  const Json json = Json::parse(body.begin(), body.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("message") && json["message"].is_string())
    message = json["message"].get<std::string>();
  return absl::Status(CodeOf(http_status),
                      absl::StrCat("Kubernetes API: HTTP ", http_status,
                                   message.empty() ? "" : ": ", message.substr(0, 512)));
}

absl::StatusOr<std::unique_ptr<KubeClient>> NewKubeClient(const KubeConfig& config,
                                                          const Clock* clock) {
  HttpClientOptions options;
  options.url = config.server;
  options.ca_pem = config.ca_pem;
  options.insecure = config.insecure;
  options.server_name = config.server_name;
  options.certificate_pem = config.certificate_pem;
  options.key_pem = config.key_pem;
  options.user_agent = "wheelpit-adapter";
  absl::StatusOr<std::unique_ptr<HttpClient>> http = HttpClient::Create(std::move(options), clock);
  if (!http.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("Kubernetes API ", config.server, ": ", http.status().message()));
  }
  return std::make_unique<HttpKubeClient>(*std::move(http), config.token, config.token_file);
}

}  // namespace wheelpit::adapter
