#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/objective_source.h>
#include <levin/framework/solvers/path_solver.h>
#include <levin/models/logistic_regression.h>

namespace levin {

/// The options have the names that LogisticRegressionCV gives them.
struct LogisticRegressionPathOptions {
  /// See LogisticRegressionOptions.
  int64_t in_features = 0;
  int64_t num_classes = 0;
  bool bias = true;
  std::string loss = "auto";
  std::string multi_class = "multinomial";
  NumbersOrName class_weight{};
  std::vector<NamedSettings> metrics{};
  /// The values of C, in the order in which they are trained with; it is best if they rise or fall.
  /// Empty: `num_Cs`, from 1e-4 to 1e4 at the same ratio each.
  std::vector<double> Cs{};
  int64_t num_Cs = 10;
  double l1_ratio = 0.0;
  /// The name of a solver, or "auto": see PathOptions.
  std::string solver = "auto";
  double tol = 1e-4;
  /// The most iterations of the solver for each C.
  int64_t max_iter = 1000;
};

Fields describe(LogisticRegressionPathOptions& options);

/// The logistic regressions of a whole regularisation path: one for each C, each of which starts
/// from the last one's weights. An epoch trains with one C, so that validation, the history and
/// callbacks see each of them.
///
///     levin::LogisticRegressionPath model({.Cs = {0.01, 0.1, 1.0, 10.0}, .l1_ratio = 1.0});
///     const auto history = trainer.fit(model, data);
///     model.coefs();                 // [Cs, outputs, features]
///     history.values("val_loss");    // one for each C
///
/// If the fit validates, the model ends with the weights of the C whose val_loss is least, the
/// first if there are several; else with those of the last C. Checkpoints have all weights, as the
/// buffers "coefs" and "intercepts", with "objectives" and "val_losses". Works wherever the solver
/// does: on streams and over ranks, too. glmnet, and scikit-learn's lasso_path, are the same for
/// other losses.
class LogisticRegressionPath : public LogisticRegression, public ObjectiveSource {
 public:
  using Options = LogisticRegressionPathOptions;
  /// Throws ConfigError for options that are out of range.
  explicit LogisticRegressionPath(LogisticRegressionPathOptions options = {},
                                  const OptimizerList& optimizers = shipped_optimizers());

  const std::vector<double>& Cs() const { return options_.Cs; }
  /// The weights, [Cs, outputs, features], and biases, [Cs, outputs], float64; 0 where the fit
  /// hasn't been yet, undefined before the sizes are known.
  const torch::Tensor& coefs() const { return coefs_; }
  const torch::Tensor& intercepts() const { return intercepts_; }
  /// The objectives and the validation losses, [Cs] float64; not a number where there are none.
  const torch::Tensor& objectives() const { return objectives_; }
  const torch::Tensor& val_losses() const { return val_losses_; }
  /// The C whose weights the model has at the end of a fit; nothing before.
  std::optional<double> C() const;
  /// Takes the weights of the C of that number.
  void select(int64_t number);

  void prepare(const TrainingSet& train) override;
  void prepare_like(const Value& settings) override;
  void on_validation_epoch_end(Run& run) override;
  void on_train_epoch_end(Run& run) override;
  std::unique_ptr<Objective> make_objective(
      RowSource& rows, const std::vector<torch::Tensor>& parameters) const override;
  Optimizers configure_optimizers() override;
  Value hyper_parameters() const override;

 private:
  void make_buffers();

  LogisticRegressionPathOptions options_;
  torch::Tensor coefs_;
  torch::Tensor intercepts_;
  torch::Tensor objectives_;
  torch::Tensor val_losses_;
  torch::Tensor chosen_;       // [1]: C; 0: none yet
  bool is_validated_ = false;  // since the last epoch
};

}  // namespace levin
