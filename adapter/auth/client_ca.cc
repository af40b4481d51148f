#include "adapter/auth/client_ca.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr size_t kVerifiedMax = 1024;
constexpr absl::Duration kVerifiedTtl = absl::Seconds(10);
// A client that sends more than this is not one of ours.
constexpr size_t kChainMax = 10;

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using VerifyContext = std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>>;

struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};

int NoPassword(char*, int, int, void*) { return 0; }

absl::StatusOr<Certificate> FromDer(const std::string& der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  Certificate certificate(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
  ERR_clear_error();
  if (certificate == nullptr) return absl::UnauthenticatedError("a certificate that does not parse");
  return certificate;
}

std::string EntryText(const X509_NAME_ENTRY* entry) {
  unsigned char* text = nullptr;
  const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
  if (length < 0) return "";
  std::string out(reinterpret_cast<const char*>(text), static_cast<size_t>(length));
  OPENSSL_free(text);
  return out;
}

CertificateSubject SubjectOf(X509* certificate) {
  CertificateSubject subject;
  const X509_NAME* const name = X509_get_subject_name(certificate);
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* const entry = X509_NAME_get_entry(name, i);
    const int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
    if (nid == NID_commonName) subject.common_name = EntryText(entry);
    if (nid == NID_organizationName) subject.organizations.push_back(EntryText(entry));
  }
  return subject;
}

std::string ChainKey(const std::vector<std::string>& chain_der) {
  std::string key;
  for (const std::string& der : chain_der) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(der.data()), der.size(), digest);
    key.append(reinterpret_cast<const char*>(digest), sizeof(digest));
  }
  return key;
}

}  // namespace

struct ClientCa::Store {
  X509_STORE* const x509 = X509_STORE_new();
  ~Store() { X509_STORE_free(x509); }
};

ClientCa::ClientCa(std::unique_ptr<Store> store)
    : store_(std::move(store)), verified_(kVerifiedMax) {}

ClientCa::~ClientCa() = default;

absl::StatusOr<std::shared_ptr<const ClientCa>> ClientCa::Create(absl::string_view pem) {
  auto store = std::make_unique<Store>();
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  int count = 0;
  while (true) {
    const Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, NoPassword, nullptr));
    if (certificate == nullptr) break;
    X509_STORE_add_cert(store->x509, certificate.get());
    ++count;
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (count == 0) return absl::InvalidArgumentError("CA: no certificate in the text");
  if (!at_end)
    return absl::InvalidArgumentError(absl::StrCat("CA: certificate ", count + 1, " is damaged"));
  return std::shared_ptr<const ClientCa>(new ClientCa(std::move(store)));
}

absl::StatusOr<CertificateSubject> ClientCa::Verify(const std::vector<std::string>& chain_der,
                                                    absl::Time wall_now, int64_t now_ns) const {
  if (chain_der.empty()) return absl::UnauthenticatedError("no client certificate");
  if (chain_der.size() > kChainMax)
    return absl::UnauthenticatedError("too many certificates in the chain");
  const std::string key = ChainKey(chain_der);
  if (auto known = verified_.Find(key, now_ns); known.has_value()) return *std::move(known);
  WHEELPIT_ASSIGN_OR_RETURN(CertificateSubject subject, VerifyNow(chain_der, wall_now));
  verified_.Insert(key, subject, now_ns + absl::ToInt64Nanoseconds(kVerifiedTtl));
  return subject;
}

absl::StatusOr<CertificateSubject> ClientCa::VerifyNow(const std::vector<std::string>& chain_der,
                                                       absl::Time wall_now) const {
  WHEELPIT_ASSIGN_OR_RETURN(const Certificate leaf, FromDer(chain_der[0]));
  const std::unique_ptr<STACK_OF(X509), FreeStack> more(sk_X509_new_null());
  for (size_t i = 1; i < chain_der.size(); ++i) {
    WHEELPIT_ASSIGN_OR_RETURN(Certificate certificate, FromDer(chain_der[i]));
    if (sk_X509_push(more.get(), certificate.get()) > 0) certificate.release();
  }
  const VerifyContext context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store_->x509, leaf.get(), more.get()) != 1 ||
      X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT) != 1) {
    return absl::InternalError("no certificate verification");
  }
  X509_VERIFY_PARAM* const rules = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(rules, absl::ToTimeT(wall_now));
  // Whoever stands in the file is trusted, an intermediate CA too.
  X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
  const int good = X509_verify_cert(context.get());
  ERR_clear_error();
  if (good != 1) {
    return absl::UnauthenticatedError(absl::StrCat(
        "client certificate: ",
        X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))));
  }
  return SubjectOf(leaf.get());
}

}  // namespace wheelpit::adapter
