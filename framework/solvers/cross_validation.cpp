#include <levin/framework/solvers/cross_validation.h>

#include <algorithm>
#include <random>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/fold_moments.h>
#include <levin/framework/solvers/row_products.h>

namespace levin {
namespace {

/// The classes in the order in which they first occur, and where the rows of each are.
std::vector<std::vector<int64_t>> rows_by_class(const torch::Tensor& labels) {
  const auto flat = labels.to(at::kLong).flatten().contiguous();
  const auto* label = flat.const_data_ptr<int64_t>();
  std::vector<int64_t> classes;
  std::vector<std::vector<int64_t>> rows;
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const auto found = std::find(classes.begin(), classes.end(), label[i]);
    const auto k = static_cast<size_t>(found - classes.begin());
    if (found == classes.end()) {
      classes.push_back(label[i]);
      rows.emplace_back();
    }
    rows[k].push_back(i);
  }
  return rows;
}

/// The fold of each row of this rank, by the classes of all ranks' rows.
torch::Tensor folds_of_rows(RowSource& rows, int64_t folds, std::optional<int64_t> seed) {
  std::vector<torch::Tensor> own{at::empty({0}, at::kDouble)};
  rows.pass([&](const Batch& batch) {
    own.push_back(batch.target().to(at::kCPU, at::kDouble).flatten());
  });
  const auto labels = at::cat(own);
  auto count = at::full({1}, labels.numel(), at::kDouble);
  rows.sum(count);
  const auto numbers = rows.row_numbers(labels.numel());
  auto all = at::zeros({count.to(at::kLong).item<int64_t>()}, at::kDouble);
  all.index_copy_(0, numbers, labels);
  rows.sum(all);
  return stratified_folds(all, folds, seed).index_select(0, numbers);
}

}  // namespace

torch::Tensor stratified_folds(const torch::Tensor& labels, int64_t folds,
                               std::optional<int64_t> seed) {
  const auto rows = rows_by_class(labels);
  std::mt19937_64 generator(static_cast<uint64_t>(seed.value_or(0)));
  auto fold_of = at::empty({labels.numel()}, at::kLong);
  auto* const fold = fold_of.mutable_data_ptr<int64_t>();
  // If the rows are sorted by their classes and dealt out one by one, fold f gets every f-th.
  int64_t first = 0;
  for (const auto& own : rows) {
    const auto count = std::ssize(own);
    if (count < folds) {
      throw ConfigError::conflict(
          fmt::format("{} folds, with a class of {} training rows", folds, count),
          "each fold needs rows of each class; use fewer folds, or leave out the class");
    }
    std::vector<int64_t> parts;
    for (int64_t f = 0; f < folds; ++f) {
      const int64_t skipped = ((f - first) % folds + folds) % folds;
      const int64_t share = (count - skipped + folds - 1) / folds;
      parts.insert(parts.end(), static_cast<size_t>(share), f);
    }
    if (seed) shuffle_folds(parts, generator);
    for (size_t i = 0; i < own.size(); ++i) fold[own[i]] = parts[i];
    first += count;
  }
  return fold_of;
}

/// All rows, of which those of one fold have the weight 0.
class CrossValidationObjective::FoldRows final : public RowSource {
 public:
  FoldRows(RowSource& rows, const torch::Tensor& fold_of, int64_t left_out)
      : rows_(rows), fold_of_(fold_of), left_out_(left_out) {}

  void pass(c10::function_ref<void(const Batch& batch)> use) override {
    int64_t first = 0;
    rows_.pass([&](const Batch& batch) {
      const auto is_used = fold_of_.narrow(0, first, batch.rows()).ne(left_out_).to(at::kDouble);
      first += batch.rows();
      Batch own = batch;
      own.set("weight", Rows(batch.has("weight")
                                 ? batch.weight().to(at::kCPU, at::kDouble).flatten() * is_used
                                 : is_used));
      use(own);
    });
  }
  void sum(torch::Tensor& values) override { rows_.sum(values); }
  int64_t ranks() const override { return rows_.ranks(); }
  int64_t rank() const override { return rows_.rank(); }
  torch::Tensor row_numbers(int64_t rows) const override { return rows_.row_numbers(rows); }
  std::string reason_against_copies() const override { return rows_.reason_against_copies(); }

 private:
  RowSource& rows_;
  const torch::Tensor& fold_of_;
  int64_t left_out_;
};

CrossValidationObjective::CrossValidationObjective(RowSource& rows, CrossValidationPlan plan,
                                                   const std::vector<torch::Tensor>& parameters)
    : FoldObjective(rows, parameters), plan_(std::move(plan)) {
  fold_of_ = folds_of_rows(rows_, plan_.folds, plan_.fold_seed);
  set_strengths();
}

/// Makes the objective of all rows with the chosen C.
void CrossValidationObjective::set_strengths() {
  const double chosen = plan_.chosen[0].item<double>();
  const double c = chosen > 0.0 ? chosen : plan_.Cs.front();
  const double ratio = chosen > 0.0 ? plan_.chosen[1].item<double>() : plan_.l1_ratios.front();
  auto loss = with_strengths_of_c(plan_.loss, c, ratio, sum_of_weights(rows_));
  set_all_rows(std::move(loss));
}

/// The loss with the point at which each path begins: 0.
LinearLoss CrossValidationObjective::start() const {
  auto loss = plan_.loss;
  loss.weight = at::zeros(loss.weight.sizes(), at::kDouble);
  if (loss.bias.defined()) loss.bias = at::zeros(loss.bias.sizes(), at::kDouble);
  return loss;
}

void CrossValidationObjective::score_fold(int64_t fold) {
  FoldRows others(rows_, fold_of_, fold);
  int64_t place = 0;
  for (const double ratio : plan_.l1_ratios) {
    for (const auto& point : regularization_path(others, start(), plan_.Cs, path_of(ratio))) {
      plan_.scores[fold][place++].fill_(score_of(point, fold));
    }
  }
}

PathOptions CrossValidationObjective::path_of(double l1_ratio) const {
  auto options = plan_.path;
  options.l1_ratio = l1_ratio;
  return options;
}

/// The mean score of the rows of a fold, which counts each row once, whatever its weight.
double CrossValidationObjective::score_of(const PathPoint& point, int64_t fold) {
  constexpr int64_t kBlock = 1024;
  double sum = 0.0;
  int64_t count = 0;
  int64_t first = 0;
  rows_.pass([&](const Batch& batch) {
    const auto targets = batch.target().to(at::kCPU, at::kLong).flatten();
    for (int64_t at = 0; at < batch.rows(); at += kBlock) {
      const int64_t rows = std::min(kBlock, batch.rows() - at);
      const auto own = fold_of_.narrow(0, first + at, rows).eq(fold).nonzero().squeeze(1);
      if (own.numel() == 0) continue;
      const auto x = as_matrix(batch.input_rows().narrow(at, rows), point.weight.size(1));
      auto z = x.index_select(0, own).mm(point.weight.t());
      if (point.bias.defined()) z.add_(point.bias);
      if (z.size(1) == 1) z = at::cat({at::zeros_like(z), z}, 1);  // the softmax of these
      const auto y = targets.narrow(0, at, rows).index_select(0, own);
      sum += plan_.scoring == "accuracy"
                 ? z.argmax(1).eq(y).sum().item<double>()
                 : z.log_softmax(1).gather(1, y.unsqueeze(1)).sum().item<double>();
      count += own.numel();
    }
    first += batch.rows();
  });
  auto sums = at::tensor({sum, static_cast<double>(count)}, at::kDouble);
  rows_.sum(sums);
  return sums[0].item<double>() / sums[1].item<double>();
}

PathPoint CrossValidationObjective::choose_and_refit() {
  const auto best = plan_.scores.mean(0).argmax().item<int64_t>();
  const auto count = std::ssize(plan_.Cs);
  const double c = plan_.Cs[static_cast<size_t>(best % count)];
  const double ratio = plan_.l1_ratios[static_cast<size_t>(best / count)];
  plan_.chosen.copy_(at::tensor({c, ratio}, at::kDouble));
  set_strengths();
  return regularization_path(rows_, start(), std::span(&c, 1), path_of(ratio)).front();
}

void CrossValidation::check(Objective& objective) {
  Solver::check(objective);
  if (dynamic_cast<FoldObjective*>(&objective) != nullptr) return;
  throw ConfigError::conflict("cross-validation for a module that doesn't plan it",
                              "use LogisticRegressionCV or LinearRegressionCV");
}

bool CrossValidation::advance(Objective& objective) {
  auto& folds = dynamic_cast<FoldObjective&>(objective);
  if (scores_.defined()) folds.scores().copy_(scores_);
  scores_ = folds.scores();
  if (iterations() < folds_) {
    folds.score_fold(iterations());
    return true;
  }
  const auto found = folds.choose_and_refit();
  std::vector<torch::Tensor> flat;
  for (const auto& parameter : stepped()) {
    const bool is_weight = parameter.is_same(folds.loss().weight);
    flat.push_back((is_weight ? found.weight : found.bias).flatten());
  }
  point_ = at::cat(flat);
  value_ = with_l1(objective, point_, objective.evaluate(point_, gradient_));
  return true;
}

void CrossValidation::save(StateDict& state) const {
  if (scores_.defined()) state.tensors["scores"] = scores_;
}

void CrossValidation::load(const StateDict& state) {
  if (state.tensors.count("scores") > 0) scores_ = state.tensor("scores").clone();
}

}  // namespace levin
