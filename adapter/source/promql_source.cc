#include "adapter/source/promql_source.h"

#include <atomic>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "adapter/source/promql_answer.h"
#include "base/errors.h"
#include "base/http/http_client.h"
#include "base/log.h"
#include "base/small_file.h"
#include "base/status_macros.h"
#include "base/sync.h"

namespace wheelpit::adapter {
namespace {

// Proxies cut longer URLs.
constexpr size_t kGetBytesMax = 2048;
constexpr absl::Duration kFilesStep = absl::Minutes(1);

using Parameters = std::vector<std::pair<std::string, std::string>>;

std::string FormText(const Parameters& parameters) {
  std::string text;
  for (const auto& [name, value] : parameters) {
    absl::StrAppend(&text, text.empty() ? "" : "&", PercentEncode(name), "=", PercentEncode(value));
  }
  return text;
}

// Seconds with milliseconds, without zeros at the end.
std::string TimeText(absl::Time time) {
  const int64_t ms = absl::ToUnixMillis(time);
  std::string text = absl::StrFormat("%d.%03d", ms / 1000, ms % 1000);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

absl::Status FromHttp(const absl::Status& status) {
  const std::string message = absl::StrCat("prometheus: ", status.message());
  if (absl::IsDeadlineExceeded(status))
    return MakeError(absl::StatusCode::kDeadlineExceeded, kReasonTimeout, message);
  if (absl::IsInternal(status))
    return MakeError(absl::StatusCode::kInternal, kReasonBadAnswer, message);
  return MakeError(absl::StatusCode::kUnavailable, kReasonUnreachable, message);
}

struct TlsFiles {
  std::string ca_pem, certificate_pem, key_pem;
  bool operator==(const TlsFiles&) const = default;
};

class PromqlSource final : public MetricSource {
 public:
  PromqlSource(PromqlSourceOptions options, const Clock* clock)
      : options_(std::move(options)), clock_(*clock) {}

  // Makes the client, or a new one if the files have changed.
  absl::Status Refresh() {
    TlsFiles files;
    files.ca_pem = options_.ca_pem;
    for (const auto& [path, out] : {std::make_pair(&options_.ca_file, &files.ca_pem),
                                    std::make_pair(&options_.certificate_file, &files.certificate_pem),
                                    std::make_pair(&options_.key_file, &files.key_pem)}) {
      if (path->empty()) continue;
      WHEELPIT_ASSIGN_OR_RETURN(*out, ReadSmallFile(*path));
    }
    MutexLock lock(&mu_);
    if (client_ != nullptr && files == files_) return absl::OkStatus();
    HttpClientOptions http;
    http.url = options_.url;
    http.ca_pem = files.ca_pem;
    http.certificate_pem = files.certificate_pem;
    http.key_pem = files.key_pem;
    http.insecure = options_.insecure;
    http.user_agent = "wheelpit-adapter";
    WHEELPIT_ASSIGN_OR_RETURN(std::unique_ptr<HttpClient> client,
                              HttpClient::Create(std::move(http), &clock_));
    client_ = std::move(client);
    files_ = std::move(files);
    return absl::OkStatus();
  }

  absl::string_view name() const override { return "prometheus"; }

  absl::StatusOr<SourceResult> Query(absl::string_view promql, absl::Time time,
                                     absl::Duration timeout) override {
    const absl::Time at = time == absl::InfinitePast() ? clock_.WallNow() : time;
    const int64_t timeout_ms = std::max<int64_t>(1, absl::ToInt64Milliseconds(timeout));
    WHEELPIT_ASSIGN_OR_RETURN(const HttpAnswer answer,
                              Ask("/api/v1/query",
                                  {{"query", std::string(promql)},
                                   {"time", TimeText(at)},
                                   {"timeout", absl::StrCat(timeout_ms, "ms")}},
                                  timeout));
    return ReadQueryAnswer({answer.status, answer.Header("Content-Type"), answer.body}, at);
  }

  absl::StatusOr<SourceSeries> Series(const std::vector<std::string>& selectors,
                                      absl::Duration timeout) override {
    Parameters parameters;
    for (const std::string& selector : selectors) parameters.emplace_back("match[]", selector);
    parameters.emplace_back("start", TimeText(clock_.WallNow() - options_.max_age));
    WHEELPIT_ASSIGN_OR_RETURN(const HttpAnswer answer, Ask("/api/v1/series", parameters, timeout));
    return ReadSeriesAnswer({answer.status, answer.Header("Content-Type"), answer.body});
  }

 private:
  std::shared_ptr<HttpClient> Client() {
    const int64_t now_ns = clock_.MonotonicNanos();
    if (int64_t due = refresh_ns_.load(); now_ns >= due) {
      const int64_t next = now_ns + absl::ToInt64Nanoseconds(kFilesStep);
      // One caller looks at the files.
      if (refresh_ns_.compare_exchange_strong(due, next)) {
        if (const absl::Status status = Refresh(); !status.ok()) {
          Log(LogLevel::kWarning, "adapter_prometheus_tls_files",
              {{"error", std::string(status.message())}});
        }
      }
    }
    MutexLock lock(&mu_);
    return client_;
  }

  absl::StatusOr<HttpAnswer> Ask(absl::string_view path, const Parameters& parameters,
                                 absl::Duration timeout) {
    const int64_t deadline_ns = clock_.MonotonicNanos() + absl::ToInt64Nanoseconds(timeout);
    const std::string form = FormText(parameters);
    const bool post = options_.post || form.size() > kGetBytesMax;
    absl::StatusOr<HttpAnswer> answer = Send(path, form, post, timeout);
    if (post && answer.ok() && answer->status == 405) {
      answer = Send(path, form, /*post=*/false,
                    absl::Nanoseconds(deadline_ns - clock_.MonotonicNanos()));
    }
    if (!answer.ok()) return FromHttp(answer.status());
    return answer;
  }

  absl::StatusOr<HttpAnswer> Send(absl::string_view path, const std::string& form, bool post,
                                  absl::Duration timeout) {
    HttpCall call;
    call.timeout = timeout;
    call.headers = options_.headers;
    std::string token = options_.token;
    if (!options_.token_file.empty()) {
      absl::StatusOr<std::string> content = ReadSmallFile(options_.token_file);
      if (!content.ok()) return content.status();
      token = std::string(absl::StripAsciiWhitespace(*content));
    }
    if (!token.empty()) call.headers.emplace_back("Authorization", absl::StrCat("Bearer ", token));
    call.headers.emplace_back("Accept", "application/json");
    if (post) {
      call.method = "POST";
      call.target = std::string(path);
      call.content_type = "application/x-www-form-urlencoded";
      call.body = form;
    } else {
      call.target = absl::StrCat(path, "?", form);
    }
    return Client()->Call(call);
  }

  const PromqlSourceOptions options_;
  const Clock& clock_;
  // When the files are looked at next, monotonic.
  std::atomic<int64_t> refresh_ns_{0};
  Mutex mu_;
  std::shared_ptr<HttpClient> client_ ABSL_GUARDED_BY(mu_);
  TlsFiles files_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricSource>> NewPromqlSource(PromqlSourceOptions options,
                                                              const Clock* clock) {
  auto source = std::make_unique<PromqlSource>(std::move(options), clock);
  if (const absl::Status status = source->Refresh(); !status.ok())
    return absl::InvalidArgumentError(absl::StrCat("prometheus: ", status.message()));
  return source;
}

}  // namespace wheelpit::adapter
