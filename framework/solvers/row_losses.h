#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Takes out of a weight, [outputs, features], and a bias, [outputs] or undefined, what changes no
/// loss: see LinearObjective::remove_idle. In place.
void remove_idle(const LinearLoss& loss, const torch::Tensor& weight, const torch::Tensor& bias);

/// Throws DataError unless there are training rows of two classes at least, and none whose target
/// is no class. `counts`: the number of rows of each class and, last, of those.
void require_classes(std::span<const double> counts);

/// Some rows of a LinearLoss: their outputs, what they should be, and how much each row counts.
struct RowOutputs {
  /// [rows, count]: z_i = weight . x_i + bias.
  const double* outputs = nullptr;
  int64_t rows = 0;
  int64_t count = 0;
  /// [rows] classes, or [rows, count] values if the loss is squared.
  const double* targets = nullptr;
  /// [rows]: s_i.
  const double* weights = nullptr;
  /// [classes, count], if the loss is one_vs_rest: what s_i is multiplied by for each output. Null:
  /// by 1.
  const double* output_weights = nullptr;
};

/// The numbers of `class_weight` of a LinearLoss if they are `output_weights`; undefined otherwise.
torch::Tensor output_weights_of(const LinearLoss& loss);
/// The weights of rows, [rows] float64, times those of their classes if the loss has such numbers.
torch::Tensor with_class_weights(const LinearLoss& loss, torch::Tensor weights,
                                 const torch::Tensor& targets);

/// Returns sum_i s_i loss(z_i, y_i) and writes its derivatives with respect to the outputs to
/// `gradient`, and what `curvature_product` needs of these rows to `curvature`: [rows, count] both.
double row_losses(LinearLoss::Kind kind, const RowOutputs& rows, double* gradient,
                  double* curvature);
/// Replaces the directions `v`, [rows, count], by the products of the loss's second derivative at
/// each row with its direction. `curvature`: what `row_losses` has written.
void curvature_product(LinearLoss::Kind kind, const double* curvature, const double* weights,
                       int64_t rows, int64_t count, double* v);
/// Adds the rows' second derivatives with respect to the outputs, [count, count] each, to `sums`.
/// `curvature`: [rows, count], what `row_losses` has written.
void add_curvature(LinearLoss::Kind kind, const torch::Tensor& curvature,
                   const torch::Tensor& weights, const torch::Tensor& sums);
/// Writes the second derivative of each row's loss with respect to each output alone to `diagonal`,
/// [rows, count].
void curvature_diagonal(LinearLoss::Kind kind, const double* curvature, const double* weights,
                        int64_t rows, int64_t count, double* diagonal);

/// The loss, as LinearLoss defines it, if the weight and the bias are 0; nothing if it depends on
/// the targets.
std::optional<double> loss_at_zero(const LinearLoss& loss);

}  // namespace levin
