// Compresses a page once for all who ask for it at the same time: scrapers that share a rendering share its gzip too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/sync.h"

namespace wheelpit {

// Thread-safe.
class SharedGzip {
 public:
  using Compressor = std::function<std::string(absl::string_view)>;
  // By default GzipCompress.
  SharedGzip();
  explicit SharedGzip(Compressor compress) : compress_(std::move(compress)) {}

  // Blocks while another thread compresses the same page (the same object), and takes its result.
  std::shared_ptr<const std::string> Compress(const std::shared_ptr<const std::string>& page);

  // Callers that wait for another's result now.
  size_t waiting() const;

 private:
  // The compressing caller holds the page, so its address names it.
  struct Job {
    const std::string* page;
    std::shared_ptr<const std::string> result;
  };

  const Compressor compress_;
  mutable Mutex mu_;
  CondVar done_;
  std::vector<std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mu_);
  size_t waiting_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace wheelpit
