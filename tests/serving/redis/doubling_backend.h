#pragma once

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <levin/serving/backend/backend.h>

namespace levin::test {

/// A row of FP32 numbers.
inline InferenceRequest request_of(const std::string& model, std::vector<float> row) {
  WireTensor tensor{"x", WireType::fp32, {1, static_cast<int64_t>(row.size())}};
  tensor.data.resize(row.size() * sizeof(float));
  std::memcpy(tensor.data.data(), row.data(), tensor.data.size());
  InferenceRequest request{model};
  request.inputs.push_back(std::move(tensor));
  return request;
}

inline std::vector<float> numbers_of(const WireTensor& tensor) {
  std::vector<float> numbers(tensor.data.size() / sizeof(float));
  std::memcpy(numbers.data(), tensor.data.data(), numbers.size() * sizeof(float));
  return numbers;
}

/// A backend without LibTorch, whose models answer twice the numbers that they get, in batches on a
/// thread.
class DoublingBackend : public Backend {
 public:
  explicit DoublingBackend(std::vector<std::string> models = {"double"}) {
    for (const auto& model : models) add(model, "1");
    thread_ = std::thread([this] { run(); });
  }
  ~DoublingBackend() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  /// What happens before a batch is answered.
  std::function<void(const std::vector<InferenceRequest>&)> before{};
  /// What happens when a model is loaded.
  std::function<void(const std::string&)> on_load{};

  void add(const std::string& model, const std::string& version) {
    const std::lock_guard lock(mutex_);
    ModelMetadata metadata{model, version};
    metadata.inputs = {{"x", WireType::fp32, {-1, 2}}};
    metadata.outputs = {{"y", WireType::fp32, {-1, 2}}};
    metadata.max_batch = 8;
    metadata.delay_us = 250;
    models_.push_back(metadata);
    statistics_.emplace_back();
    statistics_.back().model = model;
    statistics_.back().version = version;
  }

  void infer(InferenceRequest request, Answer answer) override {
    const std::lock_guard lock(mutex_);
    try {
      find_model(models_, request.model, request.version);
    } catch (const Refusal& refusal) {
      return answer(refusal);
    }
    if (request.inputs.at(0).type != WireType::fp32) {
      answer(Refusal::malformed("input x is FP32"));
      return;
    }
    waiting_.emplace_back(std::move(request), std::move(answer));
    changed_.notify_all();
  }
  std::vector<ModelMetadata> models() const override {
    const std::lock_guard lock(mutex_);
    return models_;
  }
  bool is_ready() const override { return true; }
  std::vector<ModelStatistics> statistics() const override {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }
  void load(std::string_view model) override {
    find(model, {});
    if (on_load) on_load(std::string(model));
  }
  void unload(std::string_view model) override {
    const std::lock_guard lock(mutex_);
    std::erase_if(models_, [model](const auto& each) { return each.name == model; });
  }
  void drain() override {}

 private:
  using Waiting = std::pair<InferenceRequest, Answer>;

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      std::deque<Waiting> batch;
      batch.swap(waiting_);
      statistics_[0].success += batch.size();
      statistics_[0].inferences += batch.size();
      ++statistics_[0].executions;
      lock.unlock();
      if (before) {
        std::vector<InferenceRequest> requests;
        for (const auto& each : batch) requests.push_back(each.first);
        before(requests);
      }
      for (auto& each : batch) each.second(answer_of(each.first));
      lock.lock();
    }
  }

  static InferenceResponse answer_of(const InferenceRequest& request) {
    InferenceResponse response{request.model, request.version.empty() ? "1" : request.version,
                               request.id};
    response.outputs = request.inputs;
    WireTensor& y = response.outputs.at(0);
    y.name = "y";
    std::vector<float> numbers = numbers_of(y);
    for (float& number : numbers) number *= 2;
    std::memcpy(y.data.data(), numbers.data(), y.data.size());
    return response;
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ModelMetadata> models_;
  std::vector<ModelStatistics> statistics_;
  std::deque<Waiting> waiting_;
  bool stop_ = false;
  std::thread thread_;
};

/// Counts the answers to numbered requests, and whether they are right.
class Answers {
 public:
  explicit Answers(size_t count) : answered_(count, 0) {}

  /// What becomes of request `number`, which asked for twice its number.
  Backend::Answer expect(size_t number) {
    return [this, number](const InferenceOutcome& outcome) {
      const std::lock_guard lock(mutex_);
      ++answered_[number];
      ++total_;
      const auto* response = std::get_if<InferenceResponse>(&outcome);
      if (response == nullptr) {
        wrong_ += std::string(" ") + std::get<Refusal>(outcome).what();
      } else if (numbers_of(response->outputs.at(0)) !=
                 std::vector<float>{static_cast<float>(2 * number)}) {
        wrong_ += " another number";
      }
    };
  }
  size_t total() const {
    const std::lock_guard lock(mutex_);
    return total_;
  }
  /// Whether each was answered exactly once.
  bool each_once() const {
    const std::lock_guard lock(mutex_);
    for (const int count : answered_) {
      if (count != 1) return false;
    }
    return true;
  }
  /// Which wrong answers there were; "" if none.
  std::string wrong() const {
    const std::lock_guard lock(mutex_);
    return wrong_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<int> answered_;
  size_t total_ = 0;
  std::string wrong_;
};

}  // namespace levin::test
