#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "serving/http/raw_client.h"

namespace levin::test {

/// Sends requests over many connections at once, two at a time on each of them, until it is told to
/// stop, and compares the answers with what they should be.
class Askers {
 public:
  struct Work {
    std::vector<int64_t> ports{};
    /// Connections to each port.
    int connections = 250;
    /// The request `number`, from 0 to 2 `connections` - 1.
    std::function<std::string(int number)> request{};
    /// What is wrong with the answer to it; empty: nothing. Threads call it side by side.
    std::function<std::string(int number, const RawResponse&)> fault{};
  };

  explicit Askers(Work work) : work_(std::move(work)) {
    for (const int64_t port : work_.ports) {
      threads_.emplace_back([this, port] { ask_until_the_end(port); });
    }
  }
  ~Askers() { stop(); }
  Askers(const Askers&) = delete;
  Askers& operator=(const Askers&) = delete;

  /// Returns when all that was asked is answered.
  void stop() {
    is_over_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  int64_t answered() const { return answered_; }
  /// Whether `count` more answers come.
  bool go_on(int64_t count = 1) const {
    const int64_t before = answered_;
    return eventually([&] { return answered_ >= before + count; });
  }
  /// One of the wrong answers; empty if there was none.
  std::string wrong() const {
    const std::lock_guard lock(mutex_);
    return wrong_;
  }

 private:
  void ask_until_the_end(int64_t port) {
    try {
      ask(port);
    } catch (const std::exception& error) {
      note(error.what());
    }
  }

  void ask(int64_t port) {
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < work_.connections; ++i) {
      clients.push_back(std::make_unique<RawClient>(port));
    }
    while (!is_over_) {
      int number = 0;
      for (auto& client : clients) {
        client->send(work_.request(number) + work_.request(number + 1));
        number += 2;
      }
      number = 0;
      for (auto& client : clients) {
        for (int i = 0; i < 2; ++i, ++number) {
          const auto response = client->response();
          ++answered_;
          const std::string fault = work_.fault(number, response);
          if (!fault.empty()) note(std::to_string(number) + ": " + fault);
        }
      }
    }
    // An answer that came twice would stand before this one, or behind it.
    for (auto& client : clients) {
      const auto last = client->ask(get_request("/v2/health/live", "Connection: close\r\n"));
      if (last.body != R"({"live":true})" || !client->ended()) note("answered twice: " + last.body);
    }
  }

  void note(const std::string& fault) {
    const std::lock_guard lock(mutex_);
    if (wrong_.empty()) wrong_ = fault;
  }

  const Work work_;
  std::atomic<bool> is_over_ = false;
  std::atomic<int64_t> answered_ = 0;
  mutable std::mutex mutex_;
  std::string wrong_;
  std::vector<std::thread> threads_;
};

/// A request that asks a model "m" of LinearCheckpoints for `rows` rows (number + 1, 1), (number +
/// 2, 1) ...
inline std::string linear_request(int number, int rows = 1) {
  std::string data;
  for (int i = 0; i < rows; ++i) {
    data += (i == 0 ? "" : ",") + std::to_string(number + i) + ",1";
  }
  return post_request("/v2/models/m/infer",
                      R"({"inputs":[{"name":"input","datatype":"FP32","shape":[)" +
                          std::to_string(rows) + R"(,2],"data":[)" + data + "]}]}");
}

/// The numbers in an answer to `linear_request`; none if it isn't one.
inline std::vector<double> linear_answer(const RawResponse& response) {
  std::vector<double> numbers;
  size_t at = response.body.find("\"data\":[");
  if (response.status != 200 || at == std::string::npos) return numbers;
  for (at += 7; at < response.body.size() && response.body[at] != ']';
       at = response.body.find_first_of(",]", at + 1)) {
    numbers.push_back(std::atof(response.body.c_str() + at + 1));
  }
  return numbers;
}

/// What is wrong with an answer to `linear_request` of a model whose factor is the number of its
/// version, which the answer names; empty: nothing.
inline std::string linear_fault(int number, int rows, const RawResponse& response) {
  const std::string name = R"("model_version":")";
  const size_t at = response.body.find(name);
  const double factor =
      at == std::string::npos ? 0.0 : std::atof(response.body.c_str() + at + name.size());
  std::vector<double> expected;
  for (int i = 0; i < rows; ++i) expected.push_back(factor * (number + i + 2));
  if (factor > 0 && linear_answer(response) == expected) return {};
  return std::to_string(response.status) + " " + response.body;
}

}  // namespace levin::test
