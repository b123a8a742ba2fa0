#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <levin/cli/shipped_classes.h>
#include <levin/datamodules/array.h>
#include <levin/models/logistic_regression.h>
#include <levin/serving/http/http_server.h>
#include <levin/serving/models/local_backend.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/service/service.h>

#include "framework/sanitizer.h"
#include "framework/support.h"
#include "serving/http/raw_client.h"
#include "serving/http/request_mutator.h"

namespace levin::malformed_requests_test {

using test::post_request;
using test::RawClient;
using test::RawResponse;
using test::RequestMutator;

constexpr int64_t kRefused = test::kAddressSanitizer ? 5000 : 100000;
/// The share of requests whose connection is damaged, too, and not only their body.
constexpr int kOneInSoMany = 8;

/// Bodies that are right in their length and wrong in what they say, most of them.
class BodyMutator {
 public:
  std::string next(std::string body) {
    static const std::vector<std::string> tokens = {
        "[",          "]",   "{",    "}",     ",",    "\"",         "-1",   "9223372036854775808",
        "1e999",      "]",   "null", "[]",    "{}",   "4294967296", "\\u0", "false",
        "\"input\":", "NaN", "0",    "[[[[[", "\xff", "\n",         "-"};
    for (size_t times = 1 + below(3); times > 0 && !body.empty(); --times) {
      const size_t at = below(body.size());
      switch (below(5)) {
        case 0:
          body.resize(at);
          break;
        case 1:
          body[at] = static_cast<char>(below(256));
          break;
        case 2:
          body.erase(at, 1 + below(20));
          break;
        case 3:
          body.insert(at, body.substr(below(body.size()), below(40)));
          break;
        default:
          body.replace(at, below(3), tokens[below(tokens.size())]);
      }
    }
    return body;
  }
  size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }

 private:
  std::mt19937 random_{4};
};

struct ValidRequest {
  std::string path;
  std::string headers;
  std::string body;
};

std::vector<ValidRequest> valid_requests() {
  InferenceRequest request{.id = "7"};
  request.inputs.push_back({.name = "input", .shape = {2, 4}, .data = std::string(32, '\0')});
  const auto binary = write_infer_request(request, /*binary=*/true);
  const auto json = write_infer_request(request, /*binary=*/false);
  const std::string length =
      std::string(kJsonLengthHeader) + ": " + std::to_string(binary.json_bytes) + "\r\n";
  return {
      {"/predict", "Content-Type: application/json\r\n", "{\"rows\": [[1, 2.5, -3e-2, 4]]}"},
      {"/predict", "Content-Type: text/csv\r\n", "1,2,3,4\n5,6,7,8\n"},
      {"/models/m/predict", "Accept: text/csv\r\n", "{\"rows\": [[1, 2, 3, 4]]}"},
      {"/v2/models/m/infer", "", json.body},
      {"/v2/models/m/versions/1/infer", length, binary.body},
      {"/v2/models/m/infer", std::string(kJsonLengthHeader) + ": 0\r\n", std::string(32, '\0')}};
}

/// What the answers to malformed requests were.
struct Counts {
  int64_t refused = 0;  // 4xx
  int64_t answered = 0;
  int64_t of_no_response = 0;  // the request had no end

  void note(const RawResponse& response, const std::string& request) {
    const int status = response.status;
    if (status == 0) {
      ++of_no_response;
    } else if (status >= 400 && status < 500) {
      ++refused;
      EXPECT_EQ(response.body.find("/tmp"), std::string::npos) << response.body;
    } else {
      ++answered;
      EXPECT_TRUE(status == 200 || status == 100)
          << response.head << response.body << "\nfor: " << testing::PrintToString(request);
    }
  }
};

TEST(MalformedRequests, are_refused_and_harm_neither_the_server_nor_others) {
  test::TemporaryFolder folder;
  LogisticRegression model({.in_features = 4, .num_classes = 3});
  ArrayDataModule data(torch::randn({6, 4}), torch::arange(6).remainder(3),
                       {.val_split = 0.0, .test_split = 0.0});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder.string()});
  trainer.fit(model, data);
  trainer.save_checkpoint(folder / "m.ckpt");
  LocalBackend backend(shipped_classes(), {{.name = "m", .path = folder / "m.ckpt"}}, {});
  HttpServer server({.port = 0, .max_body = 100000}, service(backend));

  const auto requests = valid_requests();
  std::vector<std::string> whole;
  for (const auto& each : requests) {
    whole.push_back(post_request(each.path, each.body, each.headers));
    RawClient client(server.port());
    const auto answer = client.ask(whole.back());
    ASSERT_EQ(answer.status, 200) << each.path << answer.body;
  }
  RawClient valid(server.port());
  const std::string right = valid.ask(whole.front()).body;

  Counts counts;
  BodyMutator bodies;
  RequestMutator mutator(16, whole);
  RawClient client(server.port());
  for (int64_t i = 0; counts.refused < kRefused; ++i) {
    if (i % kOneInSoMany == 0) {
      const std::string request = mutator.next();
      RawClient other(server.port());
      other.send(request);
      other.shut_down_sending();
      RawResponse response;
      do {
        response = other.response();
        counts.note(response, request);
      } while (response.status != 0);
    } else {
      const auto& each = requests[bodies.below(requests.size())];
      const auto request = post_request(each.path, bodies.next(each.body), each.headers);
      const auto response = client.ask(request);
      ASSERT_NE(response.status, 0)
          << "the connection must go on; it was ended by " << testing::PrintToString(request);
      counts.note(response, request);
    }
    if (i % 10 == 0) {
      ASSERT_EQ(valid.ask(whole.front()).body, right);
    }
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_LT(counts.answered, counts.refused) << "most of them should be malformed";
}

}  // namespace levin::malformed_requests_test
