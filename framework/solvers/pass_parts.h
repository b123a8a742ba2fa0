#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <levin/framework/solvers/column_ranks.h>
#include <levin/framework/solvers/row_products.h>

namespace levin {

/// What a part of a pass over rows adds up, and its buffers. One thread at a time uses it.
struct PassPart {
  std::unique_ptr<RowProducts> products{};
  double loss = 0.0;
  double weight = 0.0;
  torch::Tensor weight_gradient{};  // [outputs, features]
  torch::Tensor bias_gradient{};    // [outputs]
  std::vector<double> outputs{};    // [block, outputs]
  std::vector<double> gradient{};   // [block, outputs]

  RowProducts::Sums sums() const {
    return {weight_gradient.mutable_data_ptr<double>(), bias_gradient.mutable_data_ptr<double>()};
  }
};

/// The parts that a pass is cut into. They add up by themselves; in the end, their sums are added
/// up in their order, so that these have the same bits for any number of threads.
class PassParts {
 public:
  PassParts(int64_t outputs, int64_t features) : outputs_(outputs), features_(features) {}

  /// Makes sure that there are so many parts.
  void require(int64_t count);
  PassPart& operator[](int64_t part) { return *parts_[static_cast<size_t>(part)]; }

  /// The columns of all rows to come have the numbers that they have among these ranks.
  void set_ranks(ColumnRanks ranks) { ranks_ = std::move(ranks); }
  /// Gives all parts the matrix of the products, weight [outputs, features], and the bias,
  /// [outputs] or undefined, both float64; for rows like these.
  void set_matrix(const Rows& like, bool precise, const torch::Tensor& weight,
                  const torch::Tensor& bias);
  /// Makes the next `set_matrix` make new products.
  void forget_products();
  /// The sums of all parts, which then begin again with zeros:
  /// [loss, weights, weight's gradient, bias's gradient].
  torch::Tensor take_sums();

 private:
  void add_up(int64_t first, int64_t count, double* sums);

  int64_t outputs_;
  int64_t features_;
  std::vector<std::unique_ptr<PassPart>> parts_;
  std::optional<ColumnRanks> ranks_;
};

}  // namespace levin
