#pragma once

#include <string>
#include <vector>

#include <levin/framework/metrics/metric.h>

namespace levin {

/// What a classifier says of the rows of a batch, in the forms that metrics need. Each is computed
/// when the first metric asks for it, so that several metrics share it.
class ClassPredictions {
 public:
  /// Probabilities of the classes, [rows, classes]; of two classes also those of class 1 alone,
  /// [rows] or [rows, 1]. Throws DataError for another shape.
  static ClassPredictions of_probabilities(const torch::Tensor& probabilities);
  /// The same for logits, of which the probabilities are the softmax, or the sigmoid of a single
  /// logit.
  static ClassPredictions of_logits(const torch::Tensor& logits);

  int64_t rows() const { return given_.size(0); }
  int64_t num_classes() const { return has_single() ? 2 : given_.size(1); }
  /// The most likely class of each row, [rows] int64; of equally likely ones the lowest.
  const torch::Tensor& classes() const;
  /// [rows, classes] float64.
  const torch::Tensor& probabilities() const;
  /// -log of the probability of each row's class, [rows] float64. Probabilities, but not logits,
  /// are at least the epsilon of their type, as in scikit-learn's log_loss.
  torch::Tensor log_losses(const torch::Tensor& targets) const;
  /// What orders the rows by how likely a class is: [rows, classes] float64, or of two classes
  /// [rows, 1] for class 1. For two logits it is their difference, which unlike the probability
  /// doesn't come to the same for all rows that are nearly certain.
  const torch::Tensor& scores() const;
  /// What orders the classes of a row, [rows, classes].
  torch::Tensor ordered_classes() const;

 private:
  ClassPredictions(torch::Tensor given, bool is_logits);
  bool has_single() const { return given_.size(1) == 1; }

  torch::Tensor given_;  // [rows, classes] or [rows, 1]
  bool is_logits_;
  mutable torch::Tensor classes_;
  mutable torch::Tensor probabilities_;
  mutable torch::Tensor scores_;
};

/// How the numbers of single classes become one; what an option `average` names:
///
/// | name     | value                                                                         |
/// |----------|-------------------------------------------------------------------------------|
/// | binary   | that of class 1, if there are two classes                                     |
/// | micro    | that of the counts of all classes together                                    |
/// | macro    | the mean of the classes that occur, among targets or predictions; one whose   |
/// |          | rows all have weight 0 occurs and counts 0                                    |
/// | weighted | the same, each weighted by its number of rows (or their weights)              |
/// | none     | no one number, but one for each class                                         |
/// | auto     | binary if there are two classes, and else macro                               |
///
/// scikit-learn and torchmetrics: the same.
enum class Average { automatic, binary, micro, macro, weighted, none };
/// Returns the average of that name. Throws ConfigError for a name that isn't in `known`.
Average average_of(const std::string& name, const std::vector<std::string>& known);

/// Says that a class has no number because it has no rows, or if `has_rows`, because all of them
/// have weight 0.
std::string no_rows_of(const std::string& class_name, bool has_rows);

/// The number of one class, if there is one.
struct ClassNumber {
  int64_t number;  // of the class
  double value = 0.0;
  double weight = 1.0;    // in the weighted average
  std::string missing{};  // why there is no value; empty if there is one
};

/// A metric of predicted classes. `update` takes probabilities [rows, classes], or of two classes
/// those of class 1 [rows]; `update_logits` takes logits in the same shapes. Targets are the rows'
/// classes, [rows] or [rows, 1] of any integer type, numbered from 0.
class ClassMetric : public Metric {
 public:
  void update_logits(const torch::Tensor& logits, const torch::Tensor& targets,
                     const torch::Tensor& weights = {});
  /// The same for predictions that several metrics share.
  void update(const ClassPredictions& predictions, const torch::Tensor& targets,
              const torch::Tensor& weights = {});
  using Metric::update;

  /// Sets the names of the classes, which values of single classes are then logged with. If they
  /// aren't one for each class, the numbers of the classes are used.
  void set_class_names(std::vector<std::string> names) { class_names_ = std::move(names); }
  const std::vector<std::string>& class_names() const { return class_names_; }

 protected:
  /// Adds rows: `targets` [rows] int64 and `weights` [rows] float64, or undefined if each counts 1.
  virtual void add_classes(const ClassPredictions& predictions, const torch::Tensor& targets,
                           const torch::Tensor& weights) = 0;
  /// The name of a class of `count`.
  std::string class_name(int64_t number, int64_t count) const;
  /// What the metric returns for the numbers of some of `count` classes, by the average macro,
  /// weighted, or none. If the number of a class is missing, so is a mean, unless it is one in
  /// which the class has weight 0.
  std::vector<MetricValue> average_classes(Average average, const std::vector<ClassNumber>& numbers,
                                           int64_t count) const;

 private:
  void add(const torch::Tensor& predictions, const torch::Tensor& targets,
           const torch::Tensor& weights) final;

  std::vector<std::string> class_names_;
};

}  // namespace levin
