#include <levin/serving/commands/serve_plan.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include <levin/framework/core/cores.h>
#include <levin/framework/core/error.h>

#include "framework/temporary_folder.h"
#include "framework/without_root.h"

namespace levin::serve_plan_test {
namespace {

std::string error_of(const ServeOptions& options, const std::vector<std::string>& words) {
  try {
    plan_service(options, words);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(ServePlan, SizesHaveUnits) {
  EXPECT_EQ(parse_bytes("4096", "memory"), 4096);
  EXPECT_EQ(parse_bytes("1GB", "memory"), 1000000000);
  EXPECT_EQ(parse_bytes("1.5 GiB", "memory"), 1610612736);
  EXPECT_EQ(parse_bytes("64mb", "memory"), 64000000);
  for (const char* text : {"", "GB", "-1GB", "0", "1e30", "1 XB", "nan", "1GB more", "0.5"}) {
    EXPECT_THROW(parse_bytes(text, "memory"), ConfigError) << text;
  }
}

TEST(ServePlan, AModelIsAPathOrANameAndAPath) {
  EXPECT_EQ(model_source("a.ckpt").path, "a.ckpt");
  EXPECT_EQ(model_source("a.ckpt").name, "");
  EXPECT_EQ(model_source("digits=runs/x=1.ckpt").name, "digits");
  EXPECT_EQ(model_source("digits=runs/x=1.ckpt").path, "runs/x=1.ckpt");
  EXPECT_EQ(model_source("runs/epoch=3.ckpt").name, "");
  EXPECT_EQ(model_source("runs/epoch=3.ckpt").path, "runs/epoch=3.ckpt");
  EXPECT_THROW(model_source("digits="), ConfigError);
  EXPECT_THROW(model_source("=a.ckpt"), ConfigError);
  EXPECT_THROW(model_source("stats=a.ckpt"), ConfigError);
  EXPECT_THROW(model_source("a\nb=a.ckpt"), ConfigError);
}

TEST(ServePlan, OptionsThatTheRoleMakesNoUseOfAreNamed) {
  ServeOptions options;
  options.redis = "redis://127.0.0.1:6379/0";
  const auto unused = [&](const std::string& role, const std::vector<std::string>& names) {
    options.role = role;
    const auto words = role == "front" ? std::vector<std::string>{} : std::vector<std::string>{"a"};
    return unused_options(plan_service(options, words), names);
  };
  EXPECT_EQ(unused("front", {"port", "batch", "max_body", "result_expiry"}),
            (std::vector<std::string>{
                "--batch has no effect: with --role front the models are those of other "
                "processes"}));
  EXPECT_EQ(
      unused("model", {"batch", "max_body", "memory"}),
      (std::vector<std::string>{"--max-body has no effect: with --role model nothing listens"}));
  EXPECT_TRUE(unused("both", {"port", "batch", "result_expiry"}).empty());
  options.redis = "";
  EXPECT_EQ(unused("both", {"port", "batch", "result_expiry"}),
            (std::vector<std::string>{"--result-expiry has no effect: there is no --redis"}));
}

TEST(ServePlan, EachOptionIsForAllRolesOrForSome) {
  ServeOptions options;
  std::vector<std::string> names;
  for (const auto& field : describe(options)) names.push_back(field.name);
  ServePlan nothing;
  nothing.answers_http = nothing.has_models = false;
  EXPECT_EQ(unused_options(nothing, names).size(), names.size() - 5);
}

TEST(ServePlan, AFileWhoseNameHasAnEqualsSignIsAPath) {
  const test::TemporaryFolder folder;
  const std::string path = folder.string() + "/epoch=3-step=12.ckpt";
  std::ofstream(path) << "x";
  EXPECT_EQ(model_source(path).path, path);
  EXPECT_EQ(model_source("m=" + path).name, "m");
}

TEST(ServePlan, OptionsThatDontFitTogetherAreRefused) {
  EXPECT_NE(error_of({}, {}).find("takes a model"), std::string::npos);
  EXPECT_NE(error_of({.role = "model"}, {"a"}).find("--role model needs Redis"), std::string::npos);
  EXPECT_NE(error_of({.redis = "redis://h", .role = "front"}, {"a"}).find("no models of its own"),
            std::string::npos);
  EXPECT_NE(error_of({.role = "all"}, {"a"}).find("front, model or both"), std::string::npos);
  EXPECT_NE(error_of({.tls_key = "k"}, {"a"}).find("give both"), std::string::npos);
  EXPECT_NE(error_of({.port = 70000}, {"a"}).find("port"), std::string::npos);
  EXPECT_NE(error_of({.batch = 0}, {"a"}).find("batch"), std::string::npos);
  EXPECT_NE(error_of({.delay = -1.0}, {"a"}).find("delay"), std::string::npos);
  EXPECT_NE(error_of({.delay = 2000.0, .timeout = 2.0}, {"a"}).find("delay = 2000"),
            std::string::npos);
  EXPECT_NE(error_of({.timeout = 0.0}, {"a"}).find("timeout"), std::string::npos);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_NE(error_of({.delay = kInfinity}, {"a"}).find("delay"), std::string::npos);
  EXPECT_NE(error_of({.timeout = kInfinity}, {"a"}).find("timeout"), std::string::npos);
  EXPECT_NE(error_of({.queue = -1}, {"a"}).find("queue"), std::string::npos);
  EXPECT_NE(error_of({.threads = -1}, {"a"}).find("threads = -1: must be 0"), std::string::npos);
  EXPECT_NE(error_of({.host = ""}, {"a"}).find("host"), std::string::npos);
  EXPECT_NE(error_of({.model_threads = 0}, {"a"}).find("model_threads"), std::string::npos);
  EXPECT_NE(error_of({.max_connections = 0}, {"a"}).find("max_connections"), std::string::npos);
  EXPECT_NE(error_of({.read_timeout = 1e7}, {"a"}).find("read_timeout"), std::string::npos);
  EXPECT_NE(error_of({.idle_timeout = 0.0}, {"a"}).find("idle_timeout"), std::string::npos);
  // A process without HTTP doesn't look at its options.
  EXPECT_EQ(error_of({.port = 70000, .redis = "redis://h", .role = "model"}, {"a"}), "no error");
}

TEST(ServePlan, OptionsReachTheirPlaces) {
  const auto plan = plan_service({.port = 1234,
                                  .batch = 7,
                                  .delay = 1.5,
                                  .memory = "2GB",
                                  .queue = 9,
                                  .threads = 2,
                                  .model_threads = 3,
                                  .max_body = "1MB"},
                                 {"a=b"});
  EXPECT_EQ(plan.http.port, 1234);
  EXPECT_EQ(plan.http.threads, 2);
  EXPECT_EQ(plan.http.max_body, 1000000);
  EXPECT_EQ(plan.http.memory, 2000000000);
  EXPECT_EQ(plan_service({.memory = "1MB"}, {"a"}).http.memory, 64 << 20);
  EXPECT_EQ(plan.models.max_batch, 7);
  EXPECT_EQ(plan.models.delay_ms, 1.5);
  EXPECT_EQ(plan.models.memory, 2000000000);
  EXPECT_EQ(plan.models.max_queue, 9);
  EXPECT_EQ(plan.models.threads, 3);
  EXPECT_TRUE(plan.answers_http && plan.has_models && !plan.uses_redis);
  EXPECT_TRUE(plan.warnings.empty());
}

TEST(ServePlan, CoresAreUsed) {
  EXPECT_EQ(plan_service({}, {"a"}).http.threads, std::min<int64_t>(usable_cores(), 4));
}

TEST(ServePlan, ThreadsThatTakeAllCoresAnswerWholeBatches) {
  ServeOptions options{.batch = 32, .threads = usable_cores()};
  EXPECT_EQ(plan_service(options, {"a"}).models.quick_requests, 32U);
  options.threads = 1;
  EXPECT_EQ(plan_service(options, {"a"}).models.quick_requests, usable_cores() == 1 ? 32U : 1U);
}

TEST(ServePlan, OptionsReachRedis) {
  const auto plan = plan_service({.memory = "2GB",
                                  .queue = 9,
                                  .timeout = 4.0,
                                  .redis = "redis://h",
                                  .role = "front",
                                  .result_expiry = 5.0},
                                 {});
  EXPECT_EQ(plan.redis.url, "redis://h");
  EXPECT_EQ(plan.redis.memory, 2000000000);
  EXPECT_EQ(plan.redis.max_queue, 9);
  EXPECT_EQ(plan.redis.timeout, 4.0);
  EXPECT_EQ(plan.redis.result_expiry, 5.0);
  EXPECT_NE(error_of({.role = "front"}, {}).find("--redis"), std::string::npos);
}

TEST(ServePlan, RolesDivideTheWork) {
  const auto front = plan_service({.redis = "redis://h", .role = "front"}, {});
  EXPECT_TRUE(front.answers_http && !front.has_models && front.uses_redis);
  const auto model = plan_service({.redis = "redis://h", .role = "model"}, {"a"});
  EXPECT_TRUE(!model.answers_http && model.has_models && model.uses_redis);
}

TEST(ServePlan, AnOpenAddressWithoutATokenIsWarnedOf) {
  const auto open = plan_service({.host = "0.0.0.0"}, {"a"});
  ASSERT_EQ(open.warnings.size(), 1u);
  EXPECT_NE(open.warnings[0].find("--token-file"), std::string::npos);
  EXPECT_EQ(plan_service({.host = "127.example.org"}, {"a"}).warnings.size(), 1u);
  for (const char* host : {"127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"}) {
    EXPECT_TRUE(plan_service({.host = host}, {"a"}).warnings.empty()) << host;
  }
  EXPECT_EQ(plan_service({.host = "[::1]"}, {"a"}).http.host, "::1");
}

TEST(ServePlan, TheTokenIsTheFirstLineOfItsFile) {
  const test::TemporaryFolder folder;
  const std::string path = folder.string() + "/token";
  std::ofstream(path) << "secret-1\nmore\n";
  ::chmod(path.c_str(), 0600);
  const auto plan = plan_service({.token_file = path}, {"a"});
  EXPECT_EQ(plan.http.token, "secret-1");
  EXPECT_TRUE(plan.warnings.empty());
  ::chmod(path.c_str(), 0644);
  const auto readable = plan_service({.token_file = path}, {"a"});
  ASSERT_EQ(readable.warnings.size(), 1u);
  EXPECT_NE(readable.warnings[0].find("chmod 600"), std::string::npos);
  ::chmod(path.c_str(), 0640);
  EXPECT_EQ(plan_service({.token_file = path}, {"a"}).warnings.size(), 1u);
  if (::geteuid() == 0) {  // only root can give a file away
    ASSERT_EQ(::chown(path.c_str(), 65534, 0), 0);
    EXPECT_TRUE(plan_service({.token_file = path}, {"a"}).warnings.empty());
    ASSERT_EQ(::chown(path.c_str(), 0, 0), 0);
  }
  std::ofstream(path) << "\n";
  EXPECT_NE(error_of({.token_file = path}, {"a"}).find("openssl rand"), std::string::npos);
}

TEST(ServePlan, ATokenThatCanNotBeReadSaysWhy) {
  const test::TemporaryFolder folder;
  const std::string path = folder.string() + "/token";
  EXPECT_NE(error_of({.token_file = path}, {"a"}).find("No such file"), std::string::npos);
  std::ofstream(path) << "secret-1\n";
  ::chmod(path.c_str(), 0);
  const test::WithoutRoot without_root;
  const std::string denied = error_of({.token_file = path}, {"a"});
  EXPECT_NE(denied.find("the token"), std::string::npos) << denied;
  EXPECT_NE(denied.find("'" + path + "': Permission denied"), std::string::npos) << denied;
}

}  // namespace
}  // namespace levin::serve_plan_test
