// A certificate authority made on the spot, and the certificates that it signs.
//
//   TestCa ca("front-proxy-ca");
//   TestCertificate client = ca.Issue({.common_name = "front-proxy-client"});
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <string>
#include <vector>

#include "tests/support/test_certificate.h"

namespace wheelpit {

struct IssueOptions {
  std::string common_name;
  std::vector<std::string> organizations = {};
  // Empty = no such extension.
  std::string extended_key_usage = "clientAuth";
  // Such as `DNS:localhost,IP:127.0.0.1`.
  std::string alternative_names = {};
  long valid_seconds = 86400;
  bool ca = false;
};

class TestCa {
 public:
  explicit TestCa(const std::string& common_name) {
    key_ = EVP_EC_gen("P-256");
    IssueOptions options;
    options.common_name = common_name;
    options.extended_key_usage = "";
    options.ca = true;
    certificate_ = Make(options, key_, nullptr, key_);
    pem_ = CertificateText(certificate_);
  }
  ~TestCa() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  TestCa(const TestCa&) = delete;
  TestCa& operator=(const TestCa&) = delete;

  const std::string& pem() const { return pem_; }

  TestCertificate Issue(const IssueOptions& options) const {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    X509* const certificate = Make(options, key, certificate_, key_);
    TestCertificate made{CertificateText(certificate), KeyText(key)};
    X509_free(certificate);
    EVP_PKEY_free(key);
    return made;
  }
  TestCertificate IssueServer() const {
    return Issue({.common_name = "server",
                  .extended_key_usage = "serverAuth",
                  .alternative_names = "DNS:localhost,IP:127.0.0.1"});
  }

 private:
  static X509* Make(const IssueOptions& options, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key) {
    static long serial = 1000;
    X509* const certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate), options.valid_seconds);
    X509_set_pubkey(certificate, key);
    X509_NAME* const name = X509_get_subject_name(certificate);
    for (const std::string& o : options.organizations) AddEntry(name, "O", o);
    if (!options.common_name.empty()) AddEntry(name, "CN", options.common_name);
    X509_set_issuer_name(certificate, issuer == nullptr ? name : X509_get_subject_name(issuer));
    AddExtension(certificate, NID_basic_constraints,
                 options.ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!options.extended_key_usage.empty())
      AddExtension(certificate, NID_ext_key_usage, options.extended_key_usage);
    if (!options.alternative_names.empty())
      AddExtension(certificate, NID_subject_alt_name, options.alternative_names);
    X509_sign(certificate, issuer_key, EVP_sha256());
    return certificate;
  }
  static void AddEntry(X509_NAME* name, const char* field, const std::string& value) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1, 0);
  }
  static void AddExtension(X509* certificate, int nid, const std::string& value) {
    X509_EXTENSION* const extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static std::string Drain(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<size_t>(size));
    BIO_free(bio);
    return text;
  }
  static std::string CertificateText(X509* certificate) {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    return Drain(bio);
  }
  static std::string KeyText(EVP_PKEY* key) {
    BIO* const bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    return Drain(bio);
  }

  EVP_PKEY* key_ = nullptr;
  X509* certificate_ = nullptr;
  std::string pem_;
};

// The certificates of a PEM text in DER, as a server sees a client's chain.
inline std::vector<std::string> DerOf(const std::string& pem) {
  std::vector<std::string> ders;
  BIO* const bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  while (X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) {
    unsigned char* der = nullptr;
    const int length = i2d_X509(certificate, &der);
    ders.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(length));
    OPENSSL_free(der);
    X509_free(certificate);
  }
  BIO_free(bio);
  return ders;
}

// A client's TLS context that shows this certificate and does not judge the server's; owned by the
// caller.
inline SSL_CTX* ClientContextWith(const TestCertificate& certificate) {
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  BIO* const certificate_bio = BIO_new_mem_buf(certificate.certificate_pem.data(), -1);
  BIO* const key_bio = BIO_new_mem_buf(certificate.key_pem.data(), -1);
  X509* const leaf = PEM_read_bio_X509(certificate_bio, nullptr, nullptr, nullptr);
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(key_bio, nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, leaf);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(leaf);
  EVP_PKEY_free(key);
  BIO_free(certificate_bio);
  BIO_free(key_bio);
  return context;
}

}  // namespace wheelpit
