#include "adapter/app/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapter/app/secret_files.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace wheelpit::adapter {
namespace {

constexpr absl::Duration kLifetime = absl::Hours(24 * 365);
constexpr absl::Duration kRenewBefore = absl::Hours(24 * 30);
// Clocks of clients may be behind ours.
constexpr absl::Duration kBackdate = absl::Hours(1);

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;

absl::Status OpenSslError(absl::string_view what) {
  const char* reason = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", reason == nullptr ? "failed" : reason));
}

std::string Drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

bool IsAddress(const std::string& host) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return address != nullptr;
}

absl::Status AddExtension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1)
    return OpenSslError("certificate extension");
  return absl::OkStatus();
}

absl::Status SetNames(X509* certificate, const std::vector<std::string>& hosts) {
  X509_NAME* const name = X509_get_subject_name(certificate);
  const auto* text = reinterpret_cast<const unsigned char*>(hosts[0].c_str());
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0) != 1)
    return OpenSslError("certificate name");
  if (X509_set_issuer_name(certificate, name) != 1) return OpenSslError("certificate issuer");
  const auto entry = [](std::string* out, const std::string& host) {
    absl::StrAppend(out, IsAddress(host) ? "IP:" : "DNS:", host);
  };
  WHEELPIT_RETURN_IF_ERROR(AddExtension(certificate, NID_basic_constraints, "critical,CA:TRUE"));
  WHEELPIT_RETURN_IF_ERROR(
      AddExtension(certificate, NID_key_usage, "critical,digitalSignature,keyCertSign"));
  WHEELPIT_RETURN_IF_ERROR(AddExtension(certificate, NID_ext_key_usage, "serverAuth"));
  return AddExtension(certificate, NID_subject_alt_name, absl::StrJoin(hosts, ",", entry));
}

absl::Status SetSerial(X509* certificate) {
  unsigned char random[16];
  if (RAND_bytes(random, sizeof(random)) != 1) return OpenSslError("certificate serial");
  random[0] &= 0x7F;  // positive
  BIGNUM* const number = BN_bin2bn(random, sizeof(random), nullptr);
  const bool ok = number != nullptr &&
                  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nullptr;
  BN_free(number);
  return ok ? absl::OkStatus() : OpenSslError("certificate serial");
}

absl::StatusOr<Certificate> ReadCertificate(const std::string& pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return OpenSslError("certificate does not parse");
  return certificate;
}

}  // namespace

absl::Status CheckCertificate(const ServingCertificate& pair, const std::vector<std::string>& hosts,
                              absl::Time now, absl::Duration margin) {
  WHEELPIT_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(pair.certificate_pem));
  const Bio bio(BIO_new_mem_buf(pair.key_pem.data(), static_cast<int>(pair.key_pem.size())));
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (key == nullptr) return OpenSslError("key does not parse");
  if (X509_check_private_key(certificate.get(), key.get()) != 1)
    return OpenSslError("certificate and key do not belong together");
  std::time_t begin = absl::ToTimeT(now), end = absl::ToTimeT(now + margin);
  // -1: not after that time, 1: later; 0 would be an error.
  if (X509_cmp_time(X509_get0_notBefore(certificate.get()), &begin) != -1)
    return absl::FailedPreconditionError("certificate is not valid yet");
  if (X509_cmp_time(X509_get0_notAfter(certificate.get()), &end) != 1)
    return absl::FailedPreconditionError("certificate ends soon");
  for (const std::string& host : hosts) {
    const int named =
        IsAddress(host) ? X509_check_ip_asc(certificate.get(), host.c_str(), 0)
                        : X509_check_host(certificate.get(), host.c_str(), host.size(), 0, nullptr);
    if (named != 1)
      return absl::FailedPreconditionError(absl::StrCat("certificate does not name ", host));
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> CertificateEnd(const std::string& certificate_pem) {
  WHEELPIT_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(certificate_pem));
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) != 1)
    return OpenSslError("certificate end");
  return absl::FromTM(end, absl::UTCTimeZone());
}

absl::StatusOr<ServingCertificate> MakeSelfSigned(const std::vector<std::string>& hosts,
                                                  absl::Time now) {
  if (hosts.empty()) return absl::InvalidArgumentError("a certificate needs a host name");
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslError("key generation");
  X509_set_version(certificate.get(), X509_VERSION_3);
  WHEELPIT_RETURN_IF_ERROR(SetSerial(certificate.get()));
  const bool dated = ASN1_TIME_set(X509_getm_notBefore(certificate.get()),
                                   absl::ToTimeT(now - kBackdate)) != nullptr &&
                     ASN1_TIME_set(X509_getm_notAfter(certificate.get()),
                                   absl::ToTimeT(now + kLifetime)) != nullptr;
  if (!dated || X509_set_pubkey(certificate.get(), key.get()) != 1)
    return OpenSslError("certificate");
  WHEELPIT_RETURN_IF_ERROR(SetNames(certificate.get(), hosts));
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    return OpenSslError("certificate signature");
  const Bio certificate_bio(BIO_new(BIO_s_mem())), key_bio(BIO_new(BIO_s_mem()));
  const bool written = PEM_write_bio_X509(certificate_bio.get(), certificate.get()) == 1 &&
                       PEM_write_bio_PKCS8PrivateKey(key_bio.get(), key.get(), nullptr, nullptr, 0,
                                                     nullptr, nullptr) == 1;
  if (!written) return OpenSslError("certificate as PEM");
  return ServingCertificate{Drain(certificate_bio.get()), Drain(key_bio.get())};
}

absl::StatusOr<ServingCertificate> LoadOrMakeCertificate(const std::string& certificate_path,
                                                         const std::string& key_path,
                                                         const std::vector<std::string>& hosts,
                                                         absl::Time now) {
  const absl::StatusOr<std::string> certificate_pem = ReadSmallFile(certificate_path);
  const absl::StatusOr<std::string> key_pem = ReadSmallFile(key_path);
  if (certificate_pem.ok() && key_pem.ok()) {
    ServingCertificate pair{*certificate_pem, *key_pem};
    const absl::Status usable = CheckCertificate(pair, hosts, now, kRenewBefore);
    if (usable.ok()) return pair;
    Log(LogLevel::kInfo, "adapter_certificate_renewed",
        {{"path", certificate_path}, {"why", std::string(usable.message())}});
  }
  WHEELPIT_ASSIGN_OR_RETURN(ServingCertificate pair, MakeSelfSigned(hosts, now));
  // The key first: a crash in between leaves a pair that does not match and is made anew.
  WHEELPIT_RETURN_IF_ERROR(WriteSecretFile(key_path, pair.key_pem));
  WHEELPIT_RETURN_IF_ERROR(WriteSecretFile(certificate_path, pair.certificate_pem));
  return pair;
}

}  // namespace wheelpit::adapter
