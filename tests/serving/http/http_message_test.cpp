#include <levin/serving/http/http_message.h>

#include <gtest/gtest.h>

#include <levin/framework/core/small_letters.h>

namespace levin::http_message_test {

TEST(HttpMessage, names_of_headers_are_compared_without_capitals) {
  const HttpHeaders headers = {{"Content-TYPE", "text/csv"}, {"X-Empty", ""}};
  EXPECT_EQ(header(headers, "content-type"), "text/csv");
  EXPECT_EQ(header(headers, "content-typ"), "");
  EXPECT_TRUE(equals_ignoring_case("aZ09-[`{", "Az09-[`{"));
  EXPECT_FALSE(equals_ignoring_case("[", "{"));  // which differ as capital and small letters do
  EXPECT_FALSE(equals_ignoring_case("a", "ab"));
  EXPECT_FALSE(equals_ignoring_case("\xc4", "\xe4"));  // letters of ASCII only
  EXPECT_EQ(to_small_letters("GZip;Q=1 \xc4"), "gzip;q=1 \xc4");
}

}  // namespace levin::http_message_test
