#pragma once

#include <vector>

#include <torch/types.h>

namespace levin {

/// The losses that stacked models can have: the cross-entropy of a softmax, the logistic loss of a
/// single logit, and the mean squared error.
enum class StackedLoss { softmax, logistic, squared };

/// The mean losses of K models over the rows of a batch, from their outputs [K, outputs, rows].
/// `targets`: the classes, [rows] int64, each in [0, outputs), or for the logistic loss 0 or 1; for
/// the squared error the values, [rows, outputs]. If `gradient` isn't null, it gets the gradients
/// of each model's loss with regard to its outputs, [K, outputs, rows].
std::vector<double> stacked_losses(StackedLoss loss, const torch::Tensor& outputs,
                                   const torch::Tensor& targets, torch::Tensor* gradient);

/// The shares of the rows, for each of K models, whose most likely class is that of `targets`,
/// [rows] int64: those of `accuracy` (models/classifier.h).
std::vector<double> stacked_accuracies(StackedLoss loss, const torch::Tensor& outputs,
                                       const torch::Tensor& targets);

}  // namespace levin
