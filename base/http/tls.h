// TLS contexts from PEM text.
#pragma once

#include <openssl/ssl.h>

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace wheelpit {

struct SslContextFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextFree>;

// TLS 1.2 and later; a client certificate is requested, and any is accepted: the handler judges it.
// `certificate_pem`: leaf first, then its chain. kInvalidArgument if they do not parse or do not belong together.
absl::StatusOr<SslContext> MakeServerContext(absl::string_view certificate_pem, absl::string_view key_pem);

}  // namespace wheelpit
