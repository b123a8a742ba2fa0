#pragma once

#include <levin/framework/kernels/cpu/sparse.h>

#include <cstdint>

/// Linear models with one output that learn from sparse rows while they pass by: from each row, or
/// from each batch of a few rows. What a step costs depends on the entries of its rows only, not on
/// the number of columns, although the penalties change every weight in every step: the steps that
/// a column has missed are made up for when it occurs again ("lazy" updates). In any state,
/// `online_weights` and `online_finish` give the weights that updates of all columns in every step
/// would have given.
///
/// With w for the weights without the bias, which isn't penalised, step t does this:
///   z = w . x + bias                       for each row of the step, by the weights before it
///   g = mean over the rows of row_weight * (derivative of the loss by z) * x
/// and then, with the rate r of the step (SGD) or of each column (Adagrad),
///   w = max(0, 1 - r * l2) * w - r * g
///   w = sign(w) * max(0, |w| - r * l1)
/// So l2 is the weight decay of PyTorch's SGD, and l1 that of truncated gradients. FTRL has a
/// formula of its own. Nothing here is checked: rates, penalties and row weights must be at least
/// 0, and columns below row_size.
///
/// Sources: Duchi, Hazan and Singer, "Adaptive Subgradient Methods", 2011; McMahan et al., "Ad
/// Click Prediction: a View from the Trenches", 2013; Langford, Li and Zhang, "Sparse Online
/// Learning via Truncated Gradient", 2009; Carpenter, "Lazy Sparse Stochastic Gradient Descent for
/// Regularized Multinomial Logistic Regression", 2008.
namespace levin::kernels {

/// The loss of a row whose output is z. logistic: log(1 + e^z) - target * z, for targets from 0 to
/// 1, which are the classes 0 and 1 as a rule. squared: (z - target)^2 / 2.
enum class RowLoss { logistic, squared };

/// sgd: the rate of step t, counted from 0, is learning_rate / (1 + rate_decay * t)^rate_power, so
/// it is constant by default; rate_decay = 1 and rate_power = 0.5 give that of Vowpal Wabbit's
/// --sgd.
///
/// adagrad: the rate of a column is learning_rate / (sqrt(sum of g^2) + eps), the sum over all
/// steps up to this one. It is 0, and so are its penalties, until the column has had a gradient.
///
/// ftrl: FTRL-proximal. With n for the sum of g^2 before a step and sigma = (sqrt(n + g^2) -
/// sqrt(n)) / learning_rate, z = z + g - sigma * w. The weight is 0 if |z| <= l1, else -(z -
/// sign(z) * l1) / (l2 + (beta + sqrt(n)) / learning_rate). Its penalties are those of the sum of
/// all losses, not of each one.
enum class OnlineMethod { sgd, adagrad, ftrl };

/// What a learner does. A state belongs to the settings with which it was made, and may go on with
/// other penalties or rates only after `online_finish`, with FTRL not at all.
struct OnlineSettings {
  RowLoss loss = RowLoss::logistic;
  OnlineMethod method = OnlineMethod::adagrad;
  double learning_rate = 0.1;
  double rate_decay = 0.0;
  double rate_power = 0.5;
  /// Of Adagrad, above 0.
  double eps = 1e-10;
  /// Of FTRL, above 0.
  double beta = 1.0;
  double l1 = 0.0;
  double l2 = 0.0;
};

/// The numbers of a column's state. They lie side by side, so that a column costs one cache line.
constexpr int64_t kOnlineNumbers = 4;

/// What a learner knows. `Number`, the type of the weights, is float or double. A copy of all of it
/// (`columns` by their bytes) goes on with the same bits on the same kind of vector unit.
template <class Number>
struct OnlineState {
  /// [row_size, kOnlineNumbers], which `online_start` fills. For SGD and Adagrad, the first number
  /// of a column is its weight, as of the step in which it occurred last. With Adagrad and FTRL,
  /// the second is the sum of the squares of its gradients. The others are no numbers of this type:
  /// they say how far the column has been brought, and hold its gradient during a batch.
  Number* columns = nullptr;
  int64_t row_size = 0;
  bool has_bias = true;
  /// The bias, the sum of the squares of its gradients, and, with FTRL, its z, which `online_start`
  /// derives from the bias.
  double bias = 0.0;
  double bias_squares = 0.0;
  double bias_z = 0.0;
  /// How many steps the learner has made.
  int64_t steps = 0;
  /// SGD's penalties of all steps together: the sum of the rates, or, with l2, that of
  /// -log(1 - rate * l2).
  double shrunk = 0.0;
};

/// Rows to learn from, in their order.
template <class Number>
struct OnlinePass {
  SparseView rows;
  /// [count], one for each row of the view, as is the weight of each; null if all weigh 1.
  const float* targets = nullptr;
  const float* row_weights = nullptr;
  /// How many rows make a step; the last step may have fewer. With 1, every row is a step.
  int64_t rows_a_step = 1;
  /// If rows_a_step isn't 1, room for as many numbers as the rows of a step have entries at most.
  int32_t* touched = nullptr;
  /// If it isn't null, the outputs of the rows before the step that learns from them: [count].
  Number* outputs = nullptr;
};

}  // namespace levin::kernels
