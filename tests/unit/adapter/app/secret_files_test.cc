#include "adapter/app/secret_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace wheelpit::adapter {
namespace {

class SecretFilesTest : public ::testing::Test {
 protected:
  SecretFilesTest() {
    std::string name =
        (std::filesystem::temp_directory_path() / "wheelpit-secrets-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~SecretFilesTest() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  static mode_t Mode(const std::string& path) {
    struct stat info = {};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777 : 0;
  }
  std::string folder_;
};

TEST_F(SecretFilesTest, WritesWholeFilesForTheOwnerAlone) {
  ASSERT_TRUE(WriteSecretFile(Path("a"), "one").ok());
  ASSERT_TRUE(WriteSecretFile(Path("a"), "two").ok());
  EXPECT_EQ(*ReadSmallFile(Path("a")), "two");
  EXPECT_EQ(Mode(Path("a")), 0600u);
  EXPECT_FALSE(std::filesystem::exists(Path("a.tmp")));
  EXPECT_FALSE(WriteSecretFile(Path("no/such/folder"), "x").ok());
  EXPECT_EQ(ReadSmallFile(Path("b")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SecretFilesTest, ALeftoverDoesNotLendItsRights) {
  std::ofstream(Path("a.tmp")) << "old";
  ASSERT_EQ(::chmod(Path("a.tmp").c_str(), 0666), 0);
  ASSERT_TRUE(WriteSecretFile(Path("a"), "new").ok());
  EXPECT_EQ(Mode(Path("a")), 0600u);
}

TEST_F(SecretFilesTest, MakesATokenOnceAndKeepsIt) {
  const auto token = LoadOrMakeToken(Path("token"));
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_GE(token->size(), 43);  // 32 bytes
  EXPECT_EQ(Mode(Path("token")), 0600u);
  EXPECT_EQ(*LoadOrMakeToken(Path("token")), *token);
  EXPECT_NE(*LoadOrMakeToken(Path("other")), *token);
}

TEST_F(SecretFilesTest, TakesATokenThatIsThereAndMakesItPrivate) {
  std::ofstream(Path("token")) << "  mine \n";
  ASSERT_EQ(::chmod(Path("token").c_str(), 0644), 0);
  EXPECT_EQ(*LoadOrMakeToken(Path("token")), "mine");
  EXPECT_EQ(Mode(Path("token")), 0600u);
  std::ofstream(Path("empty")) << "\n";
  EXPECT_GE(LoadOrMakeToken(Path("empty"))->size(), 43);
}

}  // namespace
}  // namespace wheelpit::adapter
