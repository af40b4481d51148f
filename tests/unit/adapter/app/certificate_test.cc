#include "adapter/app/certificate.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "adapter/app/secret_files.h"

namespace wheelpit::adapter {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1714557600);
const std::vector<std::string> kHosts = {"localhost", "127.0.0.1", "::1", "adapter.monitoring.svc"};

class CertificateTest : public ::testing::Test {
 protected:
  CertificateTest() {
    std::string name =
        (std::filesystem::temp_directory_path() / "wheelpit-certificate-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~CertificateTest() override { std::filesystem::remove_all(folder_); }
  std::string LoadedPem(const std::vector<std::string>& hosts, absl::Time now) {
    const auto pair = LoadOrMakeCertificate(folder_ + "/c", folder_ + "/k", hosts, now);
    EXPECT_TRUE(pair.ok()) << pair.status();
    EXPECT_TRUE(CheckCertificate(*pair, hosts, now, absl::Hours(24 * 30)).ok());
    return pair->certificate_pem;
  }
  std::string folder_;
};

TEST_F(CertificateTest, NamesItsHostsForAYear) {
  const auto pair = MakeSelfSigned(kHosts, kNow);
  ASSERT_TRUE(pair.ok()) << pair.status();
  EXPECT_TRUE(CheckCertificate(*pair, kHosts, kNow, absl::Hours(24 * 364)).ok());
  EXPECT_FALSE(CheckCertificate(*pair, kHosts, kNow, absl::Hours(24 * 366)).ok());
  EXPECT_FALSE(CheckCertificate(*pair, kHosts, kNow - absl::Hours(2), absl::ZeroDuration()).ok());
  EXPECT_FALSE(CheckCertificate(*pair, {"elsewhere"}, kNow, absl::ZeroDuration()).ok());
  EXPECT_FALSE(CheckCertificate(*pair, {"10.0.0.1"}, kNow, absl::ZeroDuration()).ok());
  const auto other = MakeSelfSigned(kHosts, kNow);
  EXPECT_FALSE(
      CheckCertificate({pair->certificate_pem, other->key_pem}, kHosts, kNow, absl::ZeroDuration())
          .ok());
  EXPECT_FALSE(CheckCertificate({"junk", "junk"}, kHosts, kNow, absl::ZeroDuration()).ok());
}

TEST_F(CertificateTest, IsKeptWhileItIsGood) {
  const std::string first = LoadedPem(kHosts, kNow);
  EXPECT_EQ(LoadedPem(kHosts, kNow + absl::Hours(24 * 330)), first);
  EXPECT_EQ(LoadedPem({"localhost"}, kNow), first);
  struct stat info = {};
  for (const char* name : {"/c", "/k"}) {
    ASSERT_EQ(::stat((folder_ + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
}

TEST_F(CertificateTest, IsMadeAnewWhenItIsNot) {
  const std::string first = LoadedPem(kHosts, kNow);
  const std::string renewed = LoadedPem(kHosts, kNow + absl::Hours(24 * 340));
  EXPECT_NE(renewed, first);
  const std::string wider = LoadedPem({"localhost", "another.host"}, kNow + absl::Hours(24 * 340));
  EXPECT_NE(wider, renewed);
  ASSERT_TRUE(WriteSecretFile(folder_ + "/k", "torn").ok());
  EXPECT_NE(LoadedPem({"localhost"}, kNow), wider);
}

}  // namespace
}  // namespace wheelpit::adapter
