// A serving certificate of our own: self-signed, ECDSA P-256, one year, kept in files and renewed
// before it ends.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace wheelpit::adapter {

struct ServingCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

// Whether the pair belongs together, is valid from `now` for `margin` at least, and names all of
// `hosts` (DNS names, IP addresses).
absl::Status CheckCertificate(const ServingCertificate& certificate,
                              const std::vector<std::string>& hosts, absl::Time now,
                              absl::Duration margin);

// When it ends; of a chain, the first one.
absl::StatusOr<absl::Time> CertificateEnd(const std::string& certificate_pem);

// The first host is the common name.
absl::StatusOr<ServingCertificate> MakeSelfSigned(const std::vector<std::string>& hosts,
                                                  absl::Time now);

// Reads the pair; makes and writes a new one (both 0600) if it is missing, damaged, has less than
// 30 days left or lacks a host.
absl::StatusOr<ServingCertificate> LoadOrMakeCertificate(const std::string& certificate_path,
                                                         const std::string& key_path,
                                                         const std::vector<std::string>& hosts,
                                                         absl::Time now);

}  // namespace wheelpit::adapter
