#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "absl/strings/str_cat.h"
#include "base/http/http_server.h"
#include "base/http/tls.h"
#include "gtest/gtest.h"
#include "tests/support/raw_http.h"
#include "tests/support/std_threads.h"
#include "tests/support/test_certificate.h"

namespace wheelpit {
namespace {

std::string CommonName(const X509* certificate) {
  char name[64] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
  return name;
}

// The certificates that the handler saw, by common name.
HttpResponse ShowPeer(const HttpRequest& request) {
  std::string text = request.peer.tls ? "tls" : "plain";
  for (const std::string& der : request.peer.certificates_der) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
    X509* certificate = d2i_X509(nullptr, &bytes, static_cast<long>(der.size()));
    absl::StrAppend(&text, " ", CommonName(certificate));
    X509_free(certificate);
  }
  return TextResponse(200, text + " " + request.body);
}

class HttpTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    client_context_.reset(SSL_CTX_new(TLS_client_method()));
    const TestCertificate made = MakeTestCertificate("first");
    HttpServerOptions options;
    options.certificate_pem = made.certificate_pem;
    options.key_pem = made.key_pem;
    auto server = HttpServer::Start(options, ShowPeer, StartStdThread, &clock_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::string ServerName() {
    RawHttp client(server_->port(), client_context_.get());
    X509* certificate = SSL_get1_peer_certificate(client.ssl());
    const std::string name = CommonName(certificate);
    X509_free(certificate);
    return name;
  }

  SystemClock clock_;
  SslContext client_context_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTlsTest, ServesWithAndWithoutAClientCertificate) {
  RawHttp anonymous(server_->port(), client_context_.get());
  ASSERT_TRUE(anonymous.connected());
  for (int i = 0; i < 3; ++i) {
    anonymous.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_EQ(anonymous.Read().body, "tls ");
  }
  const TestCertificate made = MakeTestCertificate("front-proxy");
  BIO* bio = BIO_new_mem_buf(made.certificate_pem.data(), -1);
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO* key_bio = BIO_new_mem_buf(made.key_pem.data(), -1);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(key_bio, nullptr, nullptr, nullptr);
  ASSERT_EQ(SSL_CTX_use_certificate(client_context_.get(), certificate), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(client_context_.get(), key), 1);
  RawHttp named(server_->port(), client_context_.get());
  named.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(named.Read().body, "tls front-proxy ");
  X509_free(certificate);
  EVP_PKEY_free(key);
  BIO_free(bio);
  BIO_free(key_bio);
}

TEST_F(HttpTlsTest, LargeBodiesPassBothWays) {
  RawHttp client(server_->port(), client_context_.get());
  const std::string body(3 << 20, 'z');
  client.Send(absl::StrCat("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
  EXPECT_EQ(client.Read().body, "tls " + body);
}

TEST_F(HttpTlsTest, NewConnectionsGetTheNewCertificate) {
  EXPECT_EQ(ServerName(), "first");
  RawHttp old(server_->port(), client_context_.get());
  const TestCertificate second = MakeTestCertificate("second");
  ASSERT_TRUE(server_->SetCertificate(second.certificate_pem, second.key_pem).ok());
  EXPECT_EQ(ServerName(), "second");
  old.Send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(old.Read().status, 200);
  // A key that does not fit changes nothing.
  EXPECT_EQ(server_->SetCertificate(second.certificate_pem, MakeTestCertificate("third").key_pem).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ServerName(), "second");
}

TEST_F(HttpTlsTest, OldProtocolsAndPlainTextAreRefused) {
  SSL_CTX_set_max_proto_version(client_context_.get(), TLS1_1_VERSION);
  SSL_CTX_set_security_level(client_context_.get(), 0);
  EXPECT_FALSE(RawHttp(server_->port(), client_context_.get()).connected());
  EXPECT_EQ(RawGet(server_->port(), "/").status, 0);
  SSL_CTX_set_max_proto_version(client_context_.get(), 0);
  EXPECT_EQ(ServerName(), "first");
}

TEST_F(HttpTlsTest, Http11IsChosenWhereOffered) {
  static constexpr unsigned char kOffered[] = "\x02h2\x08http/1.1";
  SSL_CTX_set_alpn_protos(client_context_.get(), kOffered, sizeof(kOffered) - 1);
  RawHttp client(server_->port(), client_context_.get());
  const unsigned char* chosen = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(client.ssl(), &chosen, &length);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), length), "http/1.1");
}

}  // namespace
}  // namespace wheelpit
