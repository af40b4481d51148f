// Every route of wheelpit-server's HTTP door: index, probes, /metrics, the queue, queries.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/http/http_types.h"
#include "base/http/router.h"
#include "server/exposition/scraper.h"
#include "server/http/http_backend.h"
#include "server/http/shared_gzip.h"
#include "server/http/task_routes.h"
#include "server/promql/query_engine.h"

namespace wheelpit {

struct ServerRoutesOptions {
  std::string version;
  // Requests with ?wait= at once: half of the HTTP threads.
  size_t waits_max = 256;
  // `x_created` lines for every scraper; `?created=1` asks for them alone.
  bool exposition_created = false;
};

// Thread-safe once built. Everything passed outlives it; `query` may be null (then /api/v1 is not there).
class ServerRoutes {
 public:
  ServerRoutes(const ServerRoutesOptions& options, HttpBackend* backend, Scraper* scraper, const QueryEngine* query);

  // `router` calls back into this object.
  void AddTo(HttpRouter* router);

  HttpResponse Metrics(const HttpRequest& request);
  HttpResponse Ready() const;
  HttpResponse Index() const;

 private:
  const ServerRoutesOptions options_;
  HttpBackend* const backend_;
  Scraper* const scraper_;
  const QueryEngine* const query_;
  TaskRoutes tasks_;
  SharedGzip gzip_;
};

}  // namespace wheelpit
