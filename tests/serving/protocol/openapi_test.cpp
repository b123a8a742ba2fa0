#include <levin/serving/protocol/openapi.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "framework/python.h"

namespace levin::openapi_test {

TEST(Openapi, the_validator_accepts_the_description) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("levin_openapi_" + std::to_string(::getpid()) + ".json");
  std::ofstream(path) << openapi_json();
  const auto result = test::run_python("check_openapi.py", {path.string()});
  std::filesystem::remove(path);
  if (result.status == 77) GTEST_SKIP() << "openapi-spec-validator isn't installed";
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "valid\n");
}

TEST(Openapi, describes_what_clients_ask) {
  const auto text = openapi_json();
  for (const auto* path : {"\"/predict\":{\"post\"", "\"/v2/models/{model}/infer\":{\"post\"",
                           "\"/metrics\":{\"get\"", "\"/v2/health/ready\":{\"get\""}) {
    EXPECT_NE(text.find(path), std::string::npos) << path;
  }
}

}  // namespace levin::openapi_test
