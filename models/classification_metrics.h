#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/tensor/tensor.h>

/// How well probabilities of classes fit the targets, beside the accuracy: of use if classes are of
/// very different sizes. All values are float64 and those of scikit-learn.
namespace levin {

/// Returns the mean of -log p over the rows, where p is the probability of the row's class.
/// `probabilities` [rows, classes] of any floating-point type, `targets` [rows] of any integer
/// type. As scikit-learn's log_loss, it takes probabilities below the type's epsilon for the
/// epsilon.
double log_loss(const torch::Tensor& probabilities, const torch::Tensor& targets);

/// Returns for each class the share of its rows that were predicted to be of it; NaN for a class
/// without rows. `predicted` and `targets` [rows] of any integer type. scikit-learn: recall_score
/// with average=None.
std::vector<double> recall_of_classes(const torch::Tensor& predicted, const torch::Tensor& targets,
                                      int64_t num_classes);

/// Returns the area under the ROC curve: the share of pairs of a positive and a negative row in
/// which the positive one has the higher score; equal scores count half. NaN if there is no such
/// pair or a score is NaN. `scores` [rows] of any floating-point type, `positive` [rows] bool.
/// scikit-learn: roc_auc_score.
double roc_auc(const torch::Tensor& scores, const torch::Tensor& positive);

/// Collects the predictions of batches, so that their metrics are exactly those of all rows at
/// once. It keeps a row's probabilities and target on the CPU.
///
///     ClassificationScores scores;
///     scores.add(class_probabilities(logits), batch.target());
///     scores.roc_auc();
class ClassificationScores {
 public:
  /// `probabilities` [rows, classes] and `targets` [rows], on any device. Throws DataError if they
  /// have different numbers of rows.
  void add(const torch::Tensor& probabilities, const torch::Tensor& targets);
  /// The number of rows that were added.
  int64_t rows() const;

  // The metrics below throw DataError if no row was added.

  double log_loss() const;
  double accuracy() const;
  std::vector<double> recall_of_classes() const;
  /// Of two classes, the area of class 1; of more, the mean of the areas of each class against the
  /// rest (scikit-learn: multi_class="ovr"). NaN if a class has no rows or all of them.
  double roc_auc() const;

 private:
  torch::Tensor probabilities() const;
  torch::Tensor targets() const;

  std::vector<torch::Tensor> probabilities_;
  std::vector<torch::Tensor> targets_;
};

}  // namespace levin
