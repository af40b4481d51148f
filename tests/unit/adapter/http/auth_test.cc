#include "adapter/http/auth.h"

#include <gtest/gtest.h>

namespace wheelpit::adapter {
namespace {

TEST(StaticTokenTest, AcceptsTheTokenAndNothingElse) {
  const auto authenticator = NewStaticTokenAuthenticator("s3cret", {"someone", "", {"g"}, {}});
  const struct {
    const char* header;
    bool ok;
  } kCases[] = {{"Bearer s3cret", true},
                {"bearer s3cret", true},
                {"Bearer  s3cret ", true},
                {"Bearer s3cre", false},
                {"Bearer s3crets", false},
                {"Bearer S3cret", false},
                {"Bearer ", false},
                {"Bearer", false},
                {"Basic s3cret", false},
                {"s3cret", false},
                {"", false}};
  for (const auto& c : kCases) {
    HttpRequest request;
    request.headers = {{"authorization", c.header}};
    const auto user = authenticator->Authenticate(request);
    EXPECT_EQ(user.ok(), c.ok) << c.header;
    if (c.ok) {
      EXPECT_EQ(user->name, "someone");
    } else {
      EXPECT_EQ(user.status().code(), absl::StatusCode::kUnauthenticated);
    }
  }
  EXPECT_FALSE(authenticator->Authenticate(HttpRequest()).ok());
}

}  // namespace
}  // namespace wheelpit::adapter
