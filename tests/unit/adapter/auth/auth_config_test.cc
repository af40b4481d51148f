#include "adapter/auth/auth_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_pki.h"

namespace wheelpit::adapter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(AuthConfigTest, ReadsTheConfigMap) {
  const TestCa client("client"), proxy("proxy");
  const auto config = AuthConfigFromMap(
      {{"client-ca-file", client.pem()},
       {"requestheader-client-ca-file", proxy.pem()},
       {"requestheader-allowed-names", R"(["front-proxy-client","other"])"},
       {"requestheader-username-headers", R"(["X-Remote-User"])"},
       {"requestheader-uid-headers", R"(["X-Remote-Uid"])"},
       {"requestheader-group-headers", R"(["X-Remote-Group"])"},
       {"requestheader-extra-headers-prefix", R"(["X-Remote-Extra-"])"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_NE(config->client_ca, nullptr);
  ASSERT_NE(config->request_header, nullptr);
  EXPECT_THAT(config->request_header->allowed_names, ElementsAre("front-proxy-client", "other"));
  EXPECT_THAT(config->request_header->username_headers, ElementsAre("X-Remote-User"));
  EXPECT_THAT(config->request_header->uid_headers, ElementsAre("X-Remote-Uid"));
  EXPECT_THAT(config->request_header->group_headers, ElementsAre("X-Remote-Group"));
  EXPECT_THAT(config->request_header->extra_header_prefixes, ElementsAre("X-Remote-Extra-"));
}

TEST(AuthConfigTest, MissingKeysSwitchMethodsOff) {
  const auto none = AuthConfigFromMap({});
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->client_ca, nullptr);
  EXPECT_EQ(none->request_header, nullptr);
  const TestCa proxy("proxy");
  const auto bare = AuthConfigFromMap({{"requestheader-client-ca-file", proxy.pem()}});
  ASSERT_TRUE(bare.ok());
  ASSERT_NE(bare->request_header, nullptr);
  EXPECT_THAT(bare->request_header->username_headers, IsEmpty());
}

TEST(AuthConfigTest, DamageNamesItsKey) {
  EXPECT_THAT(std::string(AuthConfigFromMap({{"client-ca-file", "junk"}}).status().message()),
              HasSubstr("client-ca-file: "));
  for (const char* bad : {"[", "{}", "[1]", "\"x\""}) {
    const auto config = AuthConfigFromMap({{"requestheader-allowed-names", bad}});
    EXPECT_THAT(std::string(config.status().message()), HasSubstr("requestheader-allowed-names: "))
        << bad;
  }
}

}  // namespace
}  // namespace wheelpit::adapter
