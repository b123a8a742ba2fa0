#pragma once

#include <cstdint>
#include <span>

#include <levin/framework/core/ranks.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// How the ranks of a run divide the parameters of a linear model by columns. Rank r of n has the
/// columns from features * r / n to features * (r + 1) / n of the weight; rank 0 has the bias, too.
///
/// A vector of all parameters, flattened and joined, is called whole. A rank's part of it has the
/// rank's own entries in the same order, so that sums, differences and multiples of vectors can be
/// computed part by part. What needs all entries is a collective:
///
///     double product[] = {a.dot(b).item<double>()};   // of this rank's parts
///     parts.sum(product);                             // of the whole vectors, on every rank
class ColumnParts {
 public:
  /// Where a vector has the weight, [outputs, features], and the bias, [outputs].
  struct Layout {
    int64_t outputs = 0;
    int64_t features = 0;
    int64_t weight_at = 0;
    int64_t bias_at = -1;  // -1: there is no bias

    int64_t size() const { return outputs * (features + (bias_at >= 0 ? 1 : 0)); }
    /// The weight and the bias of a vector; they share its memory.
    torch::Tensor weight_of(const torch::Tensor& vector) const;
    torch::Tensor bias_of(const torch::Tensor& vector) const;
  };

  /// Divides vectors of that layout among the ranks, which it keeps a reference to. Throws
  /// ConfigError if there are fewer features than ranks.
  ColumnParts(Ranks& ranks, const Layout& whole);
  /// Throws ConfigError if there are fewer features than ranks.
  static void require_enough(int64_t features, int64_t ranks);

  /// The first of this rank's columns; `own().features` says how many there are.
  int64_t first_column() const { return first_column(ranks_.rank()); }
  /// Where this rank's parts have its columns of the weight and, on rank 0, the bias.
  const Layout& own() const { return own_; }
  bool is_rank_zero() const { return ranks_.is_zero(); }

  /// Returns this rank's part of a whole vector, in memory of its own.
  torch::Tensor part(const torch::Tensor& whole) const;
  /// Returns the whole vector of which each rank gives its part. A collective.
  torch::Tensor whole(const torch::Tensor& part);
  /// Adds up numbers over the ranks, in place and in the order of the ranks. A collective.
  void sum(std::span<double> numbers);
  /// Returns the largest of all ranks' numbers, or NaN if one of them is NaN. A collective.
  double largest(double own);
  /// The bytes that this rank has sent in all collectives: its numbers to each other rank.
  int64_t sent_bytes() const { return sent_bytes_; }

 private:
  int64_t first_column(int64_t rank) const { return whole_.features * rank / ranks_.size(); }
  Layout layout_of(int64_t rank) const;
  void count_sent(size_t bytes);

  Ranks& ranks_;
  Layout whole_;
  Layout own_;
  int64_t sent_bytes_ = 0;
};

}  // namespace levin
