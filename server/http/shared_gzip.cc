#include "server/http/shared_gzip.h"

#include <utility>

#include "base/http/gzip.h"

namespace wheelpit {

SharedGzip::SharedGzip() : SharedGzip([](absl::string_view page) { return GzipCompress(page); }) {}

std::shared_ptr<const std::string> SharedGzip::Compress(const std::shared_ptr<const std::string>& page) {
  auto own = std::make_shared<Job>();
  own->page = page.get();
  {
    MutexLock lock(&mu_);
    for (const std::shared_ptr<Job>& other : jobs_) {
      if (other->page != page.get()) continue;
      const std::shared_ptr<Job> job = other;
      ++waiting_;
      while (job->result == nullptr) done_.Wait(&mu_);
      --waiting_;
      return job->result;
    }
    jobs_.push_back(own);
  }
  auto result = std::make_shared<const std::string>(compress_(*page));
  MutexLock lock(&mu_);
  own->result = std::move(result);
  std::erase(jobs_, own);
  done_.SignalAll();
  return own->result;
}

size_t SharedGzip::waiting() const {
  MutexLock lock(&mu_);
  return waiting_;
}

}  // namespace wheelpit
