#include <levin/serving/service/addresses.h>

#include <set>
#include <string>

#include <gtest/gtest.h>

#include <levin/serving/protocol/refusal.h>

namespace levin::addresses_test {
namespace {

int status_of(const std::string& path) {
  try {
    find_address(path);
  } catch (const Refusal& refusal) {
    return refusal.status();
  }
  return 200;
}

TEST(Addresses, EveryPathIsFoundWithTheNamesInIt) {
  for (const auto& route : service_routes()) {
    std::string path(route.path);
    const bool has_model = path.find("{model}") != std::string::npos;
    const bool has_version = path.find("{version}") != std::string::npos;
    if (has_model) path.replace(path.find("{model}"), 7, "my%20model");
    if (has_version) path.replace(path.find("{version}"), 9, "3");
    const auto address = find_address(path);
    EXPECT_EQ(address.route, &route) << path;
    EXPECT_EQ(address.model, has_model ? "my model" : "") << path;
    EXPECT_EQ(address.version, has_version ? "3" : "") << path;
    EXPECT_EQ(find_address(path + (path == "/" ? "" : "/")).route, &route);
  }
}

TEST(Addresses, NoPathIsThereTwice) {
  std::set<std::string> paths;
  for (const auto& route : service_routes()) {
    EXPECT_TRUE(paths.insert(std::string(route.path)).second) << route.path;
  }
}

TEST(Addresses, AFixedNameWinsOverAModelOfThatName) {
  EXPECT_EQ(find_address("/v2/models/stats").route->action, ServiceAction::statistics);
  EXPECT_EQ(find_address("/v2/models/stats/stats").route->action, ServiceAction::model_statistics);
}

TEST(Addresses, UnknownPathsAre404) {
  for (const char* path :
       {"/v3", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/a/infer/b", "/V2",
        "/predict/x", "/v2/models/a/versions//infer", "//v2", "v2", "", "/v2/models/a/versions"}) {
    EXPECT_EQ(status_of(path), 404) << path;
  }
}

TEST(Addresses, NamesWithSlashesAndControlCharactersAre400) {
  for (const char* path :
       {"/v2/models/a%2fb/infer", "/v2/models/%00/ready", "/v2/models/%/ready",
        "/v2/models/a%2/ready", "/v2/models/a%zz/ready", "/models/a%0d%0ab/predict"}) {
    EXPECT_EQ(status_of(path), 400) << path;
  }
  EXPECT_EQ(find_address("/v2/models/%41%c3%a9/ready").model, "A\xc3\xa9");
}

TEST(Addresses, LongPathsAre414) {
  const std::string name(2048, 'a');
  EXPECT_EQ(status_of("/v2/models/" + name), 414);
  EXPECT_EQ(status_of("/v2/models/" + name.substr(100)), 200);
}

}  // namespace
}  // namespace levin::addresses_test
