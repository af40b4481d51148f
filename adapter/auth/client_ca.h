// Certificate authorities that client certificates are judged by.
//
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapter/auth/expiring_cache.h"

namespace wheelpit::adapter {

struct CertificateSubject {
  std::string common_name;
  std::vector<std::string> organizations;
};

class ClientCa {
 public:
  // kInvalidArgument: no certificate in the text, or a damaged one.
  static absl::StatusOr<std::shared_ptr<const ClientCa>> Create(absl::string_view pem);
  ~ClientCa();
  ClientCa(const ClientCa&) = delete;
  ClientCa& operator=(const ClientCa&) = delete;

  // The subject of the first certificate, if its chain (leaf first, DER) ends at one of the CAs,
  // all are valid at `wall_now`, and it is for clients. A good chain is remembered for 10 s by
  // `now_ns` (monotonic). kUnauthenticated otherwise.
  absl::StatusOr<CertificateSubject> Verify(const std::vector<std::string>& chain_der,
                                            absl::Time wall_now, int64_t now_ns) const;

 private:
  struct Store;
  explicit ClientCa(std::unique_ptr<Store> store);
  absl::StatusOr<CertificateSubject> VerifyNow(const std::vector<std::string>& chain_der,
                                               absl::Time wall_now) const;
  const std::unique_ptr<Store> store_;
  mutable ExpiringCache<CertificateSubject> verified_;
};

}  // namespace wheelpit::adapter
