#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <levin/framework/core/value.h>
#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/row_source.h>

namespace levin::test {

/// The rows of one process, in memory, handed out in batches of a given size.
class MemoryRows : public RowSource {
 public:
  MemoryRows(Rows x, torch::Tensor y, int64_t batch_size = 1 << 20, torch::Tensor weights = {}) {
    const int64_t rows = x.size();
    for (int64_t first = 0; first < rows; first += batch_size) {
      const int64_t count = std::min(batch_size, rows - first);
      Batch batch;
      batch.set("input", x.narrow(first, count));
      batch.set("target", y.narrow(0, first, count));
      if (weights.defined()) batch.set("weight", weights.narrow(0, first, count));
      batches_.push_back(std::move(batch));
    }
  }
  void pass(c10::function_ref<void(const Batch& batch)> use) override {
    ++passes_;
    for (const auto& batch : batches_) use(batch);
  }
  void sum(torch::Tensor& /*values*/) override {}
  int64_t passes() const { return passes_; }

 private:
  std::vector<Batch> batches_;
  int64_t passes_ = 0;
};

/// Rows and classes of a CSV file whose last column is the class, in float64.
struct Table {
  torch::Tensor x;
  torch::Tensor y;
};
inline Table read_table(const std::string& path) {
  std::ifstream file(path);
  std::vector<double> numbers;
  int64_t rows = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.find_first_of("_") != std::string::npos) continue;  // the header
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) numbers.push_back(std::stod(cell));
    ++rows;
  }
  auto all = torch::tensor(numbers, torch::kDouble).view({rows, -1});
  const int64_t columns = all.size(1) - 1;
  return {all.narrow(1, 0, columns).contiguous(), all.select(1, columns).to(torch::kLong)};
}

/// An optimum that scikit-learn found, from tests/baselines/solvers.py, with its rows.
struct SolverCase {
  std::string name{};
  torch::Tensor x;
  torch::Tensor y;
  LinearLoss loss{};  // its weight and bias are 0
  bool is_balanced = false;
  double objective = 0.0;
  torch::Tensor coefficients{};
  torch::Tensor intercepts{};

  int64_t outputs() const { return coefficients.size(0); }
};

inline torch::Tensor matrix_of(const Value& rows) {
  std::vector<double> numbers;
  for (const auto& row : rows.as_array()) {
    for (const auto& number : row.as_array()) numbers.push_back(number.as_double());
  }
  return torch::tensor(numbers, torch::kDouble).view({std::ssize(rows.as_array()), -1});
}

inline std::vector<SolverCase> read_solver_cases() {
  const std::string folder = LEVIN_SOURCE_DIR "/tests/baselines/";
  std::stringstream text;
  text << std::ifstream(folder + "solvers.json").rdbuf();
  std::vector<SolverCase> cases;
  for (const auto& expected : Value::from_json(text.str()).at("cases").as_array()) {
    const auto& data = expected.at("data").as_string();
    const bool is_ours = data == "iris" || data == "digits";
    auto table = read_table(is_ours ? LEVIN_SOURCE_DIR "/datamodules/data/" + data + ".csv"
                                    : folder + "solvers_" + data + ".csv");
    if (data == "digits") table.x.div_(16.0);
    table.x = table.x.narrow(1, 0, expected.at("columns").as_int()).contiguous();
    if (expected.at("standardized").as_bool()) {
      const auto deviation = table.x.std(0, /*unbiased=*/false);
      table.x = (table.x - table.x.mean(0)) / torch::where(deviation == 0, 1.0, deviation);
    }
    SolverCase it{.x = table.x, .y = table.y};
    it.coefficients = matrix_of(expected.at("coefficients"));
    std::vector<double> intercepts;
    for (const auto& v : expected.at("intercepts").as_array()) intercepts.push_back(v.as_double());
    it.intercepts = torch::tensor(intercepts, torch::kDouble);
    it.objective = expected.at("objective").as_double();
    const auto& c = expected.at("C");
    const bool is_penalised = !c.is_null();
    const double strength =
        is_penalised ? 1.0 / (c.as_double() * static_cast<double>(it.x.size(0))) : 0.0;
    const double ratio = expected.at("l1_ratio").as_double();
    it.loss = {.kind = it.outputs() == 1 ? LinearLoss::Kind::logistic : LinearLoss::Kind::softmax,
               .weight = torch::zeros_like(it.coefficients),
               .bias = torch::zeros_like(it.intercepts),
               .l1_strength = ratio * strength,
               .l2_strength = 0.5 * (1.0 - ratio) * strength};
    it.is_balanced = expected.at("balanced").as_bool();
    if (it.is_balanced) {
      const auto counts = torch::bincount(it.y).to(torch::kDouble);
      it.loss.class_weight =
          static_cast<double>(it.y.size(0)) / (counts * static_cast<double>(counts.size(0)));
    }
    it.name = data + (is_penalised ? ", C " + c.to_json() : ", no penalty") + ", l1_ratio " +
              expected.at("l1_ratio").to_json() + (it.is_balanced ? ", balanced" : "") +
              (expected.at("standardized").as_bool() ? ", standardized" : "");
    cases.push_back(std::move(it));
  }
  return cases;
}

/// The same, read once, with weights and biases of their own, which are 0.
inline std::vector<SolverCase> solver_cases() {
  static const auto read = read_solver_cases();
  auto cases = read;
  for (auto& each : cases) {
    each.loss.weight = torch::zeros_like(each.loss.weight);
    each.loss.bias = torch::zeros_like(each.loss.bias);
  }
  return cases;
}

}  // namespace levin::test
