#include "base/http/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace wheelpit {
namespace {

struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct X509Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};

std::unique_ptr<BIO, BioFree> OpenText(absl::string_view text) {
  return std::unique_ptr<BIO, BioFree>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::Status SslError(absl::string_view what) {
  char text[256] = "no details";
  if (const unsigned long code = ERR_get_error(); code != 0) ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", text));
}

int AcceptAnyClient(int, X509_STORE_CTX*) { return 1; }

int NoPassword(char*, int, int, void*) { return 0; }

// HTTP/1.1 if the client offers it. Clients that name only other protocols go on without ALPN and will see HTTP/1.1 anyway.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                   unsigned int offered_length, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, kHttp11, sizeof(kHttp11) - 1, offered, offered_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

absl::Status UseChain(SSL_CTX* context, absl::string_view certificate_pem) {
  auto bio = OpenText(certificate_pem);
  const std::unique_ptr<X509, X509Free> leaf(PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
  if (leaf == nullptr || SSL_CTX_use_certificate(context, leaf.get()) != 1) return SslError("TLS certificate");
  while (X509* more = PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, more) != 1) {
      X509_free(more);
      return SslError("TLS certificate chain");
    }
  }
  ERR_clear_error();  // the end of the text
  return absl::OkStatus();
}

absl::Status UseKey(SSL_CTX* context, absl::string_view key_pem) {
  auto bio = OpenText(key_pem);
  const std::unique_ptr<EVP_PKEY, KeyFree> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  if (key == nullptr || SSL_CTX_use_PrivateKey(context, key.get()) != 1) return SslError("TLS key");
  if (SSL_CTX_check_private_key(context) != 1) return SslError("TLS key and certificate differ");
  return absl::OkStatus();
}

// Names of TLS 1.3 suites are known and passed over: those cannot be switched off, as in Go.
absl::Status UseCipherSuites(SSL_CTX* context, const std::vector<std::string>& suites) {
  std::string list;
  for (const std::string& suite : suites) {
    const char* const name = OPENSSL_cipher_name(suite.c_str());
    if (absl::string_view(name) == "(NONE)") return absl::InvalidArgumentError(absl::StrCat("unknown cipher suite ", suite));
    if (name == absl::string_view(suite)) continue;
    absl::StrAppend(&list, list.empty() ? "" : ":", name);
  }
  if (!list.empty() && SSL_CTX_set_cipher_list(context, list.c_str()) != 1) return SslError("TLS cipher suites");
  return absl::OkStatus();
}

absl::Status Trust(X509_STORE* store, absl::string_view ca_pem) {
  auto bio = OpenText(ca_pem);
  int count = 0;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr)) {
    X509_STORE_add_cert(store, certificate);
    X509_free(certificate);
    ++count;
  }
  ERR_clear_error();  // the end of the text
  return count > 0 ? absl::OkStatus() : absl::InvalidArgumentError("TLS CA: no certificate in the text");
}

}  // namespace

absl::StatusOr<SslContext> MakeServerContext(absl::string_view certificate_pem, absl::string_view key_pem,
                                             const ServerTlsOptions& options) {
  SslContext context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return SslError("TLS");
  SSL_CTX_set_min_proto_version(context.get(), options.tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION);
  if (absl::Status status = UseCipherSuites(context.get(), options.cipher_suites); !status.ok()) return status;
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // A resumed session would come without the client's certificate chain.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // A record in one read, not its head and its body. Nothing is parked before OpenSSL has given all it has.
  SSL_CTX_set_read_ahead(context.get(), 1);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, AcceptAnyClient);
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, nullptr);
  if (absl::Status status = UseChain(context.get(), certificate_pem); !status.ok()) return status;
  if (absl::Status status = UseKey(context.get(), key_pem); !status.ok()) return status;
  return context;
}

absl::StatusOr<SslContext> MakeClientContext(absl::string_view ca_pem, absl::string_view certificate_pem,
                                             absl::string_view key_pem, bool insecure) {
  SslContext context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return SslError("TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // The chain as it was given: the trusted CAs are no part of it.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_verify(context.get(), insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  // Whoever is named as trusted is: an intermediate CA, or the server's own certificate.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context.get()), X509_V_FLAG_PARTIAL_CHAIN);
  if (ca_pem.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (absl::Status status = Trust(SSL_CTX_get_cert_store(context.get()), ca_pem); !status.ok()) {
    return status;
  }
  if (certificate_pem.empty() && key_pem.empty()) return context;
  if (absl::Status status = UseChain(context.get(), certificate_pem); !status.ok()) return status;
  if (absl::Status status = UseKey(context.get(), key_pem); !status.ok()) return status;
  return context;
}

}  // namespace wheelpit
