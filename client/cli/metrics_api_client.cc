#include "client/cli/metrics_api_client.h"

#include <httplib.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errors.h"

namespace wheelpit {
namespace {

// Percent-encodes all but what RFC 3986 leaves alone, as the controller's client does.
std::string Escape(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::string_view("-_.~").find(c) != absl::string_view::npos) {
      out.push_back(c);
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return out;
}

absl::Status FailureOf(int code, const std::string& body) {
  const nlohmann::json status = nlohmann::json::parse(body, nullptr, false);
  std::string message;
  if (status.is_object() && status.contains("message") && status["message"].is_string()) {
    message = status["message"].get<std::string>();
  }
  return absl::UnavailableError(message.empty() ? absl::StrCat("HTTP ", code) : message);
}

hpa::Reading Failed(absl::Status status) {
  hpa::Reading reading;
  reading.status = std::move(status);
  return reading;
}

}  // namespace

struct MetricsApiClient::Rep {
  Rep(const std::string& host, int port) : client(host, port) {}
  httplib::SSLClient client;
  httplib::Headers headers;
};

MetricsApiClient::MetricsApiClient(std::string host, int port, std::string certificate_file, std::string token,
                                   absl::Duration timeout)
    : rep_(std::make_unique<Rep>(host, port)) {
  rep_->client.set_ca_cert_path(certificate_file.c_str());
  rep_->client.enable_server_certificate_verification(true);
  const auto seconds = absl::ToInt64Seconds(timeout);
  const auto micros = static_cast<time_t>(absl::ToInt64Microseconds(timeout - absl::Seconds(seconds)));
  rep_->client.set_connection_timeout(seconds, micros);
  rep_->client.set_read_timeout(seconds, micros);
  rep_->client.set_write_timeout(seconds, micros);
  rep_->client.set_keep_alive(true);
  rep_->headers.emplace("Accept", "application/json");
  if (!token.empty()) rep_->headers.emplace("Authorization", absl::StrCat("Bearer ", token));
}

MetricsApiClient::~MetricsApiClient() = default;

hpa::Reading MetricsApiClient::Read(const hpa::MetricSpec& metric, absl::string_view namespace_name) {
  if (metric.source != hpa::SourceType::kExternal) {
    return Failed(absl::UnimplementedError(absl::StrCat(metric.name, ": only External metrics can be asked for here")));
  }
  std::string path = absl::StrCat("/apis/external.metrics.k8s.io/v1beta1/namespaces/", Escape(namespace_name), "/",
                                  Escape(absl::AsciiStrToLower(metric.name)));
  if (!metric.selector.empty()) absl::StrAppend(&path, "?labelSelector=", Escape(metric.selector));
  const httplib::Result result = rep_->client.Get(path.c_str(), rep_->headers);
  if (!result) return Failed(absl::UnavailableError(absl::StrCat("metrics API: ", httplib::to_string(result.error()))));
  if (result->status != 200) return Failed(FailureOf(result->status, result->body));
  const nlohmann::json list = nlohmann::json::parse(result->body, nullptr, false);
  if (!list.is_object() || !list.contains("items") || !list["items"].is_array()) {
    return Failed(absl::InternalError("metrics API: answer is no ExternalMetricValueList"));
  }
  hpa::Reading reading;
  for (const nlohmann::json& item : list["items"]) {
    if (!item.is_object() || !item.contains("value") || !item["value"].is_string()) {
      return Failed(absl::InternalError("metrics API: an item has no value"));
    }
    absl::StatusOr<int64_t> milli = hpa::ParseQuantityMilli(item["value"].get<std::string>());
    if (!milli.ok()) return Failed(milli.status());
    reading.items_milli.push_back(*milli);
  }
  return reading;
}

}  // namespace wheelpit
