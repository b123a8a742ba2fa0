#include <levin/serving/commands/serve.h>

#include <sys/stat.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "cli/program.h"
#include "framework/message_of.h"
#include "serving/commands/linear_checkpoints.h"
#include "serving/commands/serving_process.h"

// The token and TLS as the options of the command give them.

namespace levin::serve_safety_test {
namespace {

using test::ServingProcess;
using test::shell;

constexpr const char* kToken = "0d61f0a6c2e94b6d";
constexpr const char* kRows = " -H 'Content-Type: text/csv' -d 1,1 ";

class ServeSafety : public test::ProgramTest {
 protected:
  void SetUp() override {
    if (!test::has_programs({"curl", "openssl"})) GTEST_SKIP() << "curl or openssl isn't installed";
    test::LinearCheckpoints().save(folder_ / "m.ckpt", 2);
    write("token", std::string(kToken) + "\n");
    ::chmod((folder_ / "token").c_str(), 0600);
  }

  /// Writes NAME.pem, a certificate for 127.0.0.1, and NAME.key.
  void make_certificate(const std::string& name) const {
    const auto made =
        shell("cd '" + folder_.string() +
              "' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
              "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout " +
              name + ".key -out " + name + ".pem");
    ASSERT_EQ(made.status, 0) << made.output;
  }
  /// What curl prints: the body, and the status behind it. `status` is 60 for a certificate that
  /// isn't trusted.
  test::ShellResult curl(const std::string& options, const std::string& url) const {
    return shell("cd '" + folder_.string() + "' && curl -sS -m 60 -w ' %{http_code}' " + options +
                 " " + url);
  }
  void expect_refused(const std::vector<std::string>& options, int status,
                      std::initializer_list<std::string_view> parts) const {
    std::vector<std::string> words = {"serve", "m=m.ckpt", "--port", "0"};
    words.insert(words.end(), options.begin(), options.end());
    const auto outcome = run(words);
    EXPECT_EQ(outcome.status, status) << outcome.err;
    EXPECT_TRUE(test::says(outcome.err, parts));
    EXPECT_EQ(outcome.err.find("listening"), std::string::npos) << outcome.err;
  }
};

TEST_F(ServeSafety, WithATokenAndTlsOnlyWhoHasBothGetsIn) {
  make_certificate("server");
  ServingProcess service(folder_.path(),
                         {"m=m.ckpt", "--port", "0", "--token-file", "token", "--tls-certificate",
                          "server.pem", "--tls-key", "server.key"});
  const std::string at = "127.0.0.1:" + std::to_string(service.port());
  EXPECT_NE(service.printed().find("https://" + at), std::string::npos) << service.printed();
  const std::string trusting = "--cacert server.pem ";
  const std::string token = "-H 'Authorization: Bearer " + std::string(kToken) + "' ";
  const auto answer = curl(trusting + token + kRows, "https://" + at + "/predict");
  EXPECT_TRUE(test::says(answer.output, {"6}]} 200"})) << answer.status;

  // Without the token, with another one, and with its beginning.
  for (const auto& wrong :
       std::vector<std::string>{"", "-H 'Authorization: Bearer 0' ",
                                "-H 'Authorization: Bearer " + std::string(kToken).substr(1) + "' ",
                                "-H 'Authorization: Basic " + std::string(kToken) + "' "}) {
    for (const char* path : {"/predict", "/v2/models/m/infer", "/v2/repository/models/m/unload"}) {
      const auto refused = curl(trusting + wrong + kRows, "https://" + at + path);
      EXPECT_TRUE(test::says(refused.output, {"\"error\"", " 401"})) << path;
      EXPECT_EQ(refused.output.find(kToken), std::string::npos);
    }
    for (const char* path : {"/v2", "/metrics", "/models", "/openapi.json", "/v2/models/m"}) {
      EXPECT_TRUE(test::says(curl(trusting + wrong, "https://" + at + path).output, {" 401"}))
          << path;
    }
  }
  // The page asks for the token; orchestrators ask for the health without one.
  for (const char* path : {"/", "/page.css", "/page.js", "/v2/health/live", "/v2/health/ready"}) {
    EXPECT_TRUE(test::says(curl(trusting, "https://" + at + path).output, {" 200"})) << path;
  }
  // A client that doesn't trust the certificate, and one that doesn't speak TLS.
  EXPECT_EQ(curl(token, "https://" + at + "/v2").status, 60);
  const auto plain = curl(token, "http://" + at + "/v2");
  EXPECT_EQ(plain.output.find(" 200"), std::string::npos) << plain.output;
  EXPECT_EQ(service.end(), 0) << service.printed();
  EXPECT_EQ(service.printed().find(kToken), std::string::npos) << service.printed();
}

TEST_F(ServeSafety, CertificatesAndKeysThatCantBeUsedAreNamedBeforeThePortOpens) {
  make_certificate("server");
  make_certificate("other");
  write("letter.pem", "Dear server, this isn't a certificate.\n");
  expect_refused({"--tls-certificate", "missing.pem", "--tls-key", "server.key"}, 1,
                 {"missing.pem"});
  expect_refused({"--tls-certificate", "letter.pem", "--tls-key", "server.key"}, 1, {"letter.pem"});
  expect_refused({"--tls-certificate", "server.pem", "--tls-key", "letter.pem"}, 1, {"letter.pem"});
  expect_refused({"--tls-certificate", "server.pem", "--tls-key", "other.key"}, 1, {"other.key"});
  expect_refused({"--tls-certificate", "server.pem"}, 2, {"tls_key"});
  expect_refused({"--token-file", "missing"}, 2, {"missing", "can't read 'missing'"});
}

}  // namespace
}  // namespace levin::serve_safety_test
