#include <levin/models/many_regressions.h>

#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/solvers/penalty_checks.h>
#include <levin/models/linear.h>

namespace levin {
namespace {

void check_strengths(const char* name, const std::vector<double>& strengths) {
  for (const double strength : strengths) {
    if (strength >= 0.0 && std::isfinite(strength)) continue;
    throw ConfigError::invalid_value(name, fmt::format("{}", strength),
                                     "each must be 0 or more, and finite");
  }
}

void check_l1_options(const ManyRegressionsOptions& options) {
  check_l1_ratio("l1_ratio", options.l1_ratio);
  if (options.l1_ratio > 0.0 && options.C.empty()) {
    throw ConfigError::conflict(fmt::format("l1_ratio = {} without C", options.l1_ratio),
                                "give C, or set l1_strengths instead of l1_ratio");
  }
  if (options.l1_strengths.empty()) return;
  if (!options.C.empty()) {
    throw ConfigError::conflict("both C and l1_strengths",
                                "both say how strong the penalties are; give C and l1_ratio, or "
                                "the strengths");
  }
  if (options.l2_strengths.empty() || options.l2_strengths.size() == options.l1_strengths.size()) {
    return;
  }
  throw ConfigError::conflict(
      fmt::format("{} l1_strengths and {} l2_strengths", options.l1_strengths.size(),
                  options.l2_strengths.size()),
      "each regression has one of both: give lists of the same length, or only one of them");
}

void check_many_options(const ManyRegressionsOptions& options) {
  if (options.loss != "logistic" && options.loss != "squared") {
    throw ConfigError::unknown_name("loss", options.loss, {"logistic", "squared"});
  }
  if (options.groups < 0) {
    throw ConfigError::invalid_value("groups", std::to_string(options.groups),
                                     "must be their number, or 0 for that of the data");
  }
  if (!options.l2_strengths.empty() && !options.C.empty()) {
    throw ConfigError::conflict("both C and l2_strengths",
                                "both say how strong the penalties are; give one of them");
  }
  check_strengths("l1_strengths", options.l1_strengths);
  check_strengths("l2_strengths", options.l2_strengths);
  check_l1_options(options);
  for (const double c : options.C) {
    if (c > 0.0 && std::isfinite(c)) continue;
    throw ConfigError::invalid_value(
        "C", fmt::format("{}", c), "each must be above 0 and finite; for no penalty, leave it out");
  }
}

[[noreturn]] void refuse_unknown_groups(const TrainingSet& train) {
  const auto groups = train.values("group");
  const bool is_known = groups.defined() && groups.numel() > 0;
  throw ConfigError::conflict(
      "the rows have groups, but neither the model nor the data module says how many there are",
      fmt::format(
          "set groups = {} of the model, or leave out the groups (group_column) of the data",
          is_known ? std::to_string(groups.max().item<int64_t>() + 1) : "their number"));
}

/// How many targets rows of that shape have; 0 if that isn't known.
int64_t targets_in(const std::optional<std::vector<int64_t>>& shape) {
  if (!shape) return 0;
  int64_t count = 1;
  for (const int64_t size : *shape) count *= size;
  return count;
}

}  // namespace

Fields describe(ManyRegressionsOptions& o) {
  return fields_of<ManyRegressionsOptions>({
      {"loss", &o.loss, "logistic (targets 0 and 1) or squared (values)"},
      model_option("in_features", &o.in_features),
      {"target_columns", &o.target_columns, "targets a row; 0: as the training data"},
      {"groups", &o.groups,
       "groups of rows, which batches name as \"group\"; 0: as the data module says"},
      {"l2_strengths", &o.l2_strengths, "a regression for each adds it * sum W^2 to its loss"},
      {"C", &o.C, "scikit-learn's C, instead of l2_strengths: a regression for each"},
      {"l1_strengths", &o.l1_strengths,
       "a regression for each adds it * sum |W|; with l2_strengths"},
      {"l1_ratio", &o.l1_ratio, "share of the L1 penalty if C is given, from 0 to 1"},
      {"bias", &o.bias, "whether each regression has a bias"},
      {"solver", &o.solver, "what minimises: lockstep-newton, lbfgs or newton-cg"},
      {"tol", &o.tol, "a regression has converged if no entry of its gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations of the solver"},
  });
}

ManyRegressions::ManyRegressions(ManyRegressionsOptions options, const OptimizerList& optimizers)
    : SupervisedModel({.optimizer = options.solver}, optimizers),
      options_(std::move(options)),
      in_features_("in_features", options_.in_features),
      target_columns_("target_columns", options_.target_columns),
      optimizers_(optimizers) {
  check_many_options(options_);
  if (!is_solver(optimizers_.at(options_.solver))) {
    throw ConfigError::invalid_value("solver", options_.solver,
                                     "must be a solver, which trains on all rows at once");
  }
  make_parameters();
}

ManyLosses ManyRegressions::description() const {
  ManyLosses losses{.kind = is_squared() ? LinearLoss::Kind::squared : LinearLoss::Kind::logistic,
                    .weight = weight_,
                    .bias = bias_,
                    .groups = options_.groups,
                    .columns = target_columns_.value()};
  if (!options_.l2_strengths.empty()) losses.strengths = options_.l2_strengths;
  losses.l1_strengths = options_.l1_strengths;
  if (!losses.l1_strengths.empty()) losses.strengths.resize(losses.l1_strengths.size());
  if (options_.C.empty()) return losses;
  losses.strengths = options_.C;
  losses.are_c = true;
  losses.l1_ratio = options_.l1_ratio;
  return losses;
}

/// Makes the parameters, unless they are there or their sizes aren't known.
void ManyRegressions::make_parameters() {
  options_.in_features = in_features_.value();
  options_.target_columns = target_columns_.value();
  if (weight_.defined() || !in_features_.is_known() || !target_columns_.is_known()) return;
  const int64_t count = description().problems();
  weight_ =
      register_parameter("weight", at::zeros({count, in_features_.value()}, parameter_type()));
  if (options_.bias) bias_ = register_parameter("bias", at::zeros({count}, parameter_type()));
}

void ManyRegressions::prepare(const TrainingSet& train) {
  SupervisedModel::prepare(train);
  if (!in_features_.is_given()) {
    in_features_.find(train.features().value_or(0), "set in_features to the features of a row");
  }
  if (!target_columns_.is_given()) {
    target_columns_.find(targets_in(train.row_shape("target")),
                         "set target_columns to the targets of a row");
  }
  find_groups(train.num_groups());
  if (options_.groups == 0 && train.row_shape("group")) refuse_unknown_groups(train);
  make_parameters();
}

/// Takes the number of groups that the data module says there are; 0 if it says nothing.
void ManyRegressions::find_groups(int64_t in_data) {
  if (in_data == 0 || in_data == options_.groups) return;
  if (options_.groups == 0 && !weight_.defined()) {
    options_.groups = in_data;
    return;
  }
  throw ConfigError::conflict(
      fmt::format("groups = {}, but the training data have {}", options_.groups,
                  counted(in_data, "group")),
      options_.groups == 0 ? "leave out in_features or target_columns, so that the regressions of "
                             "all groups are made when the data are known; or set groups"
                           : "leave out groups, or make a new model for these data");
}

void ManyRegressions::prepare_like(const Value& settings) {
  in_features_.take(settings);
  target_columns_.take(settings);
  if (!weight_.defined() && options_.groups == 0 && settings.contains("groups")) {
    options_.groups = settings.at("groups").as_int();
  }
  make_parameters();
}

std::unique_ptr<Objective> ManyRegressions::make_objective(
    RowSource& rows, const std::vector<torch::Tensor>& parameters) const {
  return std::make_unique<ManyObjective>(rows, description(), parameters);
}

Optimizers ManyRegressions::configure_optimizers() {
  return optimizers_.at(options_.solver)
      .make(Value::Object{{"tol", options_.tol}, {"max_iter", options_.max_iter}}, parameters());
}

/// The groups of the rows, checked; undefined if there are no groups.
torch::Tensor ManyRegressions::groups_of(const Batch& batch) const {
  if (options_.groups == 0) return {};
  auto groups = batch["group"].to(weight_.device(), at::kLong).flatten();
  const auto is_none = groups.lt(0).logical_or(groups.ge(options_.groups));
  if (!is_none.any().item<bool>()) return groups;
  throw DataError::bad_value(
      "a group", fmt::format("{}", groups.masked_select(is_none)[0].item<int64_t>()), "group",
      fmt::format("groups are the numbers from 0 to {}", options_.groups - 1));
}

torch::Tensor ManyRegressions::forward(const Batch& batch) const {
  if (!weight_.defined()) refuse_without_sizes("in_features and target_columns");
  const auto x = flatten_for(weight_, batch.input());
  if (options_.groups == 0) return linear(x, weight_, bias_);
  const auto groups = groups_of(batch);
  const int64_t own = weight_.size(0) / options_.groups;
  const auto weights = weight_.view({options_.groups, own, -1}).index_select(0, groups);
  const auto dense = x.layout() == at::kStrided ? x : x.to_dense();
  auto outputs = at::bmm(weights, dense.unsqueeze(2)).squeeze(2);
  if (bias_.defined())
    outputs = outputs + bias_.view({options_.groups, own}).index_select(0, groups);
  return outputs;
}

torch::Tensor ManyRegressions::training_step(const Batch& /*batch*/, Step& /*step*/) {
  throw ModuleError::contract("training_step", "ManyRegressions can't be trained on batches",
                              "leave the optimizer to the model, whose solver goes over all rows");
}

NamedTensors ManyRegressions::predict(const Batch& batch) {
  const at::NoGradGuard no_grad;
  const auto outputs = forward(batch);
  NamedTensors predictions;
  if (is_squared()) {
    predictions.emplace_back("value", outputs);
  } else {
    predictions.emplace_back("probability", outputs.sigmoid());
  }
  if (options_.groups > 0) predictions.emplace_back("group", groups_of(batch));
  return predictions;
}

void ManyRegressions::start_epoch() {
  const int64_t groups = std::max<int64_t>(options_.groups, 1);
  sums_ = at::zeros({groups, description().problems_a_group() + 1},
                    at::TensorOptions(at::kDouble).device(weight_.device()));
}

/// Adds up the losses of the rows of a batch.
void ManyRegressions::evaluate(const Batch& batch) {
  const at::NoGradGuard no_grad;
  const auto outputs = forward(batch).to(at::kDouble);
  const int64_t columns = target_columns_.value();
  const auto target = batch.target();
  if (target.numel() != outputs.size(0) * columns) {
    throw DataError::bad_value("the shape", c10::str(target.sizes()), "target",
                               fmt::format("the model has {} targets a row", columns));
  }
  const auto y = target.to(at::kDouble)
                     .reshape({outputs.size(0), columns})
                     .repeat_interleave(description().strengths_count(), 1);
  const auto losses = is_squared() ? (outputs - y).square() : at::softplus(outputs) - y * outputs;
  const auto rows = at::cat({losses, at::ones({losses.size(0), 1}, losses.options())}, 1);
  const auto groups = groups_of(batch);
  if (groups.defined()) {
    sums_.index_add_(0, groups, rows);
  } else {
    sums_.add_(rows.sum(0, /*keepdim=*/true));
  }
}

void ManyRegressions::end_epoch(Run& run, const std::string& stage) {
  const auto sums = run.reduce(sums_);
  const int64_t own = sums.size(1) - 1;
  const auto means = sums.narrow(1, 0, own) / sums.narrow(1, own, 1);
  losses_ = means.view({sums.size(0), target_columns_.value(), -1}).to(at::kCPU);
  run.log(stage + "_loss", losses_.nanmean().item<double>(), {.prog_bar = true});
  run.log(stage + "_best_loss", losses_.amin(2).nanmean().item<double>(), {.prog_bar = true});
}

torch::Tensor ManyRegressions::best_strengths() const {
  if (losses_.defined()) return losses_.argmin(2);
  throw ModuleError::contract("best_strengths", "there are no losses to choose by",
                              "call it after a validation or a test");
}

void ManyRegressions::validation_step(const Batch& batch, Step& /*step*/) { evaluate(batch); }
void ManyRegressions::test_step(const Batch& batch, Step& /*step*/) { evaluate(batch); }
void ManyRegressions::on_validation_epoch_start(Run& /*run*/) { start_epoch(); }
void ManyRegressions::on_test_epoch_start(Run& /*run*/) { start_epoch(); }
void ManyRegressions::on_validation_epoch_end(Run& run) { end_epoch(run, "val"); }
void ManyRegressions::on_test_epoch_end(Run& run) { end_epoch(run, "test"); }

Value ManyRegressions::hyper_parameters() const {
  auto options = options_;
  return to_value(describe(options));
}

}  // namespace levin
