// What a server asks of TLS beyond its certificate.
#pragma once

#include <string>
#include <vector>

namespace wheelpit {

struct ServerTlsOptions {
  // Not even TLS 1.2.
  bool tls13_only = false;
  // IANA names for TLS 1.2 (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); empty = OpenSSL's own choice.
  std::vector<std::string> cipher_suites;
};

}  // namespace wheelpit
