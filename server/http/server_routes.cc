#include "server/http/server_routes.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/http/gzip.h"
#include "base/http/error_response.h"
#include "server/exposition/negotiation.h"
#include "server/http/probe.h"
#include "server/http/query_routes.h"
#include "server/promql/probe.h"

namespace wheelpit {
namespace {

// Smaller pages are not worth the CPU on either side.
constexpr size_t kGzipBytesMin = 1400;

std::string EscapeHtml(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace

ServerRoutes::ServerRoutes(const ServerRoutesOptions& options, HttpBackend* backend, Scraper* scraper,
                           const QueryEngine* query)
    : options_(options), backend_(backend), scraper_(scraper), query_(query), tasks_(backend, options.waits_max) {}

HttpResponse ServerRoutes::Metrics(const HttpRequest& request) {
  const int64_t began_ns = backend_->MonotonicNanos();
  const auto taken_s = [&] { return static_cast<double>(backend_->MonotonicNanos() - began_ns) / 1e9; };
  Negotiated negotiated = NegotiateExposition(request.Header("Accept"));
  negotiated.style.created = options_.exposition_created || request.Query("created") == "1";
  std::vector<std::string> names;
  for (const auto& [key, value] : request.query) {
    if (key == "name[]") names.push_back(value);
  }
  const bool open_metrics = negotiated.style.format == ExpositionFormat::kOpenMetrics;
  const char* format = open_metrics ? "openmetrics" : "text";
  const auto page = scraper_->Scrape(negotiated.style, names);
  if (!page.ok()) {
    HttpResponse refused = ErrorJsonResponse(page.status());
    refused.status = 503;  // what scrapers expect of a busy target
    ServerHttpProbe().Scraped(format, "none", refused.status, 0, taken_s());
    return refused;
  }
  HttpResponse response;
  response.content_type = std::move(negotiated.content_type);
  response.headers.emplace_back("Vary", "Accept, Accept-Encoding");
  const bool gzip = (*page)->size() >= kGzipBytesMin && AcceptsGzip(request.Header("Accept-Encoding"));
  if (gzip) {
    response.shared_body = gzip_.Compress(*page);
    response.headers.emplace_back("Content-Encoding", "gzip");
  } else {
    response.shared_body = *page;
  }
  ServerHttpProbe().Scraped(format, gzip ? "gzip" : "identity", 200, response.content().size(), taken_s());
  return response;
}

HttpResponse ServerRoutes::Ready() const {
  const absl::Status status = backend_->Ready();
  return status.ok() ? TextResponse(200, "ok\n") : ErrorTextResponse(503, std::string(status.message()));
}

HttpResponse ServerRoutes::Index() const {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  const absl::Status ready = backend_->Ready();
  response.body = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Wheelpit</title></head>\n<body>\n"
      "<h1>Wheelpit</h1>\n<p>wheelpit-server ",
      EscapeHtml(options_.version), ": ", ready.ok() ? "ready" : EscapeHtml(std::string(ready.message())),
      "</p>\n<ul>\n<li><a href=\"/metrics\">/metrics</a>: every series, for Prometheus</li>\n"
      "<li><a href=\"/healthz\">/healthz</a>, <a href=\"/readyz\">/readyz</a>: probes</li>\n"
      "<li>POST /v1/queues/QUEUE/tasks: submit; /v1/tasks/ID: look (GET), wait (GET ?wait=30s), cancel (DELETE); "
      "/v1/tasks/ID/result: the result</li>\n",
      query_ != nullptr ? "<li>/api/v1/query?query=EXPR, /api/v1/series?match[]=SELECTOR: PromQL on live series</li>\n" : "",
      "</ul>\n</body></html>\n");
  return response;
}

void ServerRoutes::AddTo(HttpRouter* router) {
  const auto add = [router](const char* method, const char* pattern, HttpRouter::Route route) {
    router->Add(method, pattern,
                [pattern, inner = std::move(route)](const HttpRequest& request, const PathParts& parts) {
                  HttpResponse response = inner(request, parts);
                  ServerHttpProbe().Answered(pattern, response.status);
                  return response;
                });
  };
  add("GET", "/", [this](const HttpRequest&, const PathParts&) { return Index(); });
  add("GET", "/metrics", [this](const HttpRequest& request, const PathParts&) { return Metrics(request); });
  add("GET", "/healthz", [](const HttpRequest&, const PathParts&) { return TextResponse(200, "ok\n"); });
  add("GET", "/readyz", [this](const HttpRequest&, const PathParts&) { return Ready(); });
  add("POST", "/v1/queues/{queue}/tasks",
      [this](const HttpRequest& request, const PathParts& parts) { return tasks_.Submit(request, parts[0]); });
  add("GET", "/v1/tasks/{id}",
      [this](const HttpRequest& request, const PathParts& parts) { return tasks_.Get(request, parts[0]); });
  add("DELETE", "/v1/tasks/{id}",
      [this](const HttpRequest& request, const PathParts& parts) { return tasks_.Cancel(request, parts[0]); });
  add("GET", "/v1/tasks/{id}/result",
      [this](const HttpRequest& request, const PathParts& parts) { return tasks_.Result(request, parts[0]); });
  if (query_ == nullptr) return;
  for (const char* method : {"GET", "POST"}) {
    add(method, "/api/v1/query", [this](const HttpRequest& request, const PathParts&) {
      if (absl::Status ready = backend_->Ready(); !ready.ok()) return QueryErrorResponse(ready);
      const int64_t began_ns = backend_->MonotonicNanos();
      HttpResponse response = QueryResponse(*query_, request, backend_->NowMs());
      PromqlProbe::QuerySeconds()->Observe(static_cast<double>(backend_->MonotonicNanos() - began_ns) / 1e9);
      return response;
    });
    add(method, "/api/v1/series", [this](const HttpRequest& request, const PathParts&) {
      if (absl::Status ready = backend_->Ready(); !ready.ok()) return QueryErrorResponse(ready);
      return SeriesResponse(*query_, request);
    });
  }
}

}  // namespace wheelpit
