#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <levin/serving/backend/backend.h>

namespace levin::test {

/// Returns an FP32 tensor.
inline WireTensor floats(std::string name, std::vector<int64_t> shape,
                         const std::vector<float>& values) {
  WireTensor tensor;
  tensor.name = std::move(name);
  tensor.type = WireType::fp32;
  tensor.shape = std::move(shape);
  tensor.data.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return tensor;
}

inline std::vector<float> floats_of(const WireTensor& tensor) {
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
  return values;
}

/// A backend whose models answer at once: class 1 if the sum of a row is positive, otherwise 0, and
/// the sum as the probability of class 1.
class FakeBackend : public Backend {
 public:
  FakeBackend() {
    ModelMetadata model;
    model.name = "sums";
    model.version = "1";
    model.inputs = {{"input", WireType::fp32, {-1, 4}}};
    model.outputs = {{"class", WireType::int64, {-1}}, {"probability", WireType::fp32, {-1, 2}}};
    model.class_names = {"no", "yes"};
    model.bytes_per_row = 16;
    metadata = {model};
  }

  void infer(InferenceRequest request, Answer answer) override {
    {
      const std::lock_guard lock(mutex_);
      last = request;
    }
    if (refuses) return answer(Refusal::overloaded("the queue is full", 3));
    const ModelMetadata* model = nullptr;
    try {
      model = &find_model(metadata, request.model, request.version);
    } catch (const Refusal& refusal) {
      return answer(refusal);
    }
    answer(respond(request, *model));
  }

  std::vector<ModelMetadata> models() const override { return metadata; }
  std::vector<std::string> unloaded() const override { return {"resting"}; }
  bool is_ready() const override { return ready; }
  std::vector<ModelStatistics> statistics() const override {
    ModelStatistics numbers;
    numbers.model = metadata.front().name;
    numbers.version = metadata.front().version;
    numbers.success = 5;
    numbers.inferences = 7;
    return {numbers};
  }
  void load(std::string_view model) override { note("load", model); }
  void unload(std::string_view model) override { note("unload", model); }
  void drain() override {}

  InferenceRequest last_request() const {
    const std::lock_guard lock(mutex_);
    return last;
  }

  std::vector<ModelMetadata> metadata;
  std::atomic<bool> ready{true};
  std::atomic<bool> refuses{false};
  std::vector<std::string> calls;
  /// Which class a row of numbers belongs to.
  std::function<int64_t(const float* row, int64_t size)> classify = [](const float* row,
                                                                       int64_t size) {
    float sum = 0.0f;
    for (int64_t i = 0; i < size; ++i) sum += row[i];
    return sum > 0.0f ? int64_t{1} : int64_t{0};
  };

 private:
  InferenceResponse respond(const InferenceRequest& request, const ModelMetadata& model) const {
    const auto values = floats_of(request.inputs.front());
    const int64_t rows = request.rows();
    const int64_t size = rows > 0 ? static_cast<int64_t>(values.size()) / rows : 0;
    const auto classes = static_cast<int64_t>(model.class_names.size());
    WireTensor chosen;
    chosen.name = "class";
    chosen.type = WireType::int64;
    chosen.shape = {rows};
    std::vector<float> probabilities;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t best = classify(values.data() + i * size, size);
      chosen.data.append(reinterpret_cast<const char*>(&best), sizeof best);
      for (int64_t k = 0; k < classes; ++k) {
        probabilities.push_back(k == best ? 0.75f : 0.25f / static_cast<float>(classes - 1));
      }
    }
    return {model.name,
            model.version,
            request.id,
            {chosen, floats("probability", {rows, classes}, probabilities)}};
  }

  void note(const std::string& call, std::string_view model) {
    find_model(metadata, model, {});
    calls.push_back(call + " " + std::string(model));
  }

  mutable std::mutex mutex_{};
  InferenceRequest last{};
};

}  // namespace levin::test
