#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/run/run.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The metrics of a classifier's evaluation that aren't means over rows, computed at its end from
/// all rows of all ranks, so that they are the same however the rows are cut into batches:
///
/// | name     | logged as                | value                                                 |
/// |----------|--------------------------|-------------------------------------------------------|
/// | "auroc"  | <stage>_auroc            | the area under the ROC curve of class 1, or of more   |
/// |          |                          | than two classes the mean of each against the rest    |
/// | "recall" | <stage>_recall_<class>   | the share of the class's rows that are predicted to   |
/// |          |                          | be of it, for each class                              |
///
/// They are those of scikit-learn (roc_auc_score with multi_class="ovr", recall_score with
/// average=None). "auroc" keeps a number of each row and class on the CPU, a single one of two
/// classes; "recall" keeps counts. A value that needs a class of which the evaluation has no rows
/// isn't logged, and a warning says so.
class EvaluationScores {
 public:
  /// Throws ConfigError for names other than the above.
  explicit EvaluationScores(std::vector<std::string> names);

  /// Whether no metrics are asked for, so that the functions below need not be called.
  bool is_empty() const { return !has_auroc_ && !has_recall_; }
  /// Forgets all rows.
  void reset();
  /// Adds rows. `logits` are [rows, classes], or of two classes also [rows, 1] or [rows]; `targets`
  /// [rows] int64.
  void add(const torch::Tensor& logits, const torch::Tensor& targets, int64_t num_classes);
  /// Logs the metrics of all rows that were added on all ranks, which all have to call this.
  /// `stage`: "val" or "test". `class_names`: the names of the classes; if they are not one for
  /// each class, their numbers are used.
  void log(Run& run, std::string_view stage, int64_t num_classes,
           const std::vector<std::string>& class_names) const;

 private:
  void log_auroc(Run& run, std::string_view stage, int64_t num_classes,
                 const std::vector<std::string>& names) const;
  void log_recall(Run& run, std::string_view stage, int64_t num_classes,
                  const std::vector<std::string>& names) const;

  bool has_auroc_ = false;
  bool has_recall_ = false;
  std::vector<torch::Tensor> scores_;   // [rows, classes], or of two classes [rows, 1], float64
  std::vector<torch::Tensor> targets_;  // [rows] int64
  torch::Tensor counts_;                // [2, classes] int64: all rows, and those that are right
};

}  // namespace levin
