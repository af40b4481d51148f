// TLS contexts from PEM text.
#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/tls_options.h"

namespace wheelpit {

struct SslContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextFree>;

// TLS 1.2 and later; a client certificate is requested, and any is accepted: the handler judges it.
// `certificate_pem`: leaf first, then its chain. kInvalidArgument if they do not parse or do not belong together.
absl::StatusOr<SslContext> MakeServerContext(absl::string_view certificate_pem, absl::string_view key_pem,
                                             const ServerTlsOptions& options = {});

// TLS 1.2 and later; the server's certificate is checked against `ca_pem` (empty = the system's), not at all if `insecure`.
// The name to check is the connection's matter. `certificate_pem` and `key_pem` may both be empty.
absl::StatusOr<SslContext> MakeClientContext(absl::string_view ca_pem, absl::string_view certificate_pem,
                                             absl::string_view key_pem, bool insecure);

}  // namespace wheelpit
