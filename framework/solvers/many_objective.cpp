#include <levin/framework/solvers/many_objective.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/solvers/row_products.h>

namespace levin {
namespace {

torch::Tensor many_zeros(at::IntArrayRef sizes) { return at::zeros(sizes, at::kDouble); }

/// The numbers of a batch's tensor as float64 on the CPU.
torch::Tensor as_doubles(const torch::Tensor& tensor) {
  return tensor.to(at::kCPU, at::kDouble).contiguous();
}

}  // namespace

ManyObjective::ManyObjective(RowSource& rows, ManyLosses losses,
                             const std::vector<torch::Tensor>& parameters)
    : rows_(rows), losses_(std::move(losses)), features_(losses_.weight.size(1)) {
  for (const auto& parameter : parameters) {
    (parameter.is_same(losses_.weight) ? weight_at_ : bias_at_) = size_;
    size_ += parameter.numel();
  }
  if (losses_.weight.size(0) == losses_.problems()) {
    if (losses_.has_l1()) meet_rows();  // S_g, of which the penalties are made
    return;
  }
  throw ConfigError::conflict(
      fmt::format("weights of {} regressions for {} groups, columns and strengths together",
                  losses_.weight.size(0), losses_.problems()),
      "there must be a row of weights for each group, column of the target and strength");
}

torch::Tensor ManyObjective::to_rows(const torch::Tensor& flat) const {
  const int64_t problems = losses_.problems();
  auto rows = many_zeros({problems, columns()});
  rows.narrow(1, 0, features_)
      .copy_(flat.narrow(0, weight_at_, problems * features_).view({problems, features_}));
  if (bias_at_ >= 0) rows.select(1, features_).copy_(flat.narrow(0, bias_at_, problems));
  return rows;
}

torch::Tensor ManyObjective::to_flat(const torch::Tensor& rows) const {
  const int64_t problems = losses_.problems();
  auto flat = at::empty({size_}, at::kDouble);
  flat.narrow(0, weight_at_, problems * features_)
      .copy_(rows.narrow(1, 0, features_).reshape({-1}));
  if (bias_at_ >= 0) flat.narrow(0, bias_at_, problems).copy_(rows.select(1, features_));
  return flat;
}

ManyObjective::Kept& ManyObjective::keep(size_t index, const Batch& batch) {
  if (index < kept_.size()) return kept_[index];
  const int64_t rows = batch.rows();
  Kept kept;
  kept.targets = as_doubles(batch.target());
  if (kept.targets.numel() != rows * losses_.columns) {
    throw DataError::bad_value("the number of targets of a row",
                               fmt::format("{}", kept.targets.numel() / std::max<int64_t>(rows, 1)),
                               "target",
                               fmt::format("the regressions are for {} of them", losses_.columns));
  }
  kept.targets = kept.targets.view({rows, losses_.columns});
  kept.weights =
      batch.has("weight") ? as_doubles(batch.weight()).flatten() : at::ones({rows}, at::kDouble);
  if (losses_.groups > 0) sort_by_group(batch, kept);
  return kept_.emplace_back(std::move(kept));
}

void ManyObjective::sort_by_group(const Batch& batch, Kept& kept) const {
  if (!batch.has("group")) {
    throw DataError(
        "the batches have no tensor \"group\", which says for each row by which of the regressions "
        "it is used; add it, or set groups to 0");
  }
  const auto groups = batch["group"].to(at::kCPU, at::kLong).flatten().contiguous();
  const auto* group = groups.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < groups.numel(); ++i) {
    if (group[i] >= 0 && group[i] < losses_.groups) continue;
    throw DataError::bad_value(
        "the group", fmt::format("{}", group[i]), fmt::format("group, row {}", i),
        fmt::format("groups are the numbers from 0 to {}", losses_.groups - 1));
  }
  kept.order.resize(static_cast<size_t>(groups.numel()));
  std::iota(kept.order.begin(), kept.order.end(), 0);
  std::stable_sort(kept.order.begin(), kept.order.end(),
                   [group](int64_t a, int64_t b) { return group[a] < group[b]; });
  const auto counts = at::bincount(groups, {}, losses_.groups).cumsum(0);
  const auto* ends = counts.const_data_ptr<int64_t>();
  kept.group_ends.assign(ends, ends + losses_.groups);
}

/// Calls `use` for blocks of the rows that problems `numbers` see, each with the problems that see
/// them. `numbers_a_row`: how many float64 numbers `use` keeps for a row, for each block.
void ManyObjective::pass(const torch::Tensor& numbers, int64_t numbers_a_row, Use use) {
  const auto* number = numbers.const_data_ptr<int64_t>();
  const auto* const end = number + numbers.numel();
  size_t index = 0;
  rows_.pass([&](const Batch& batch) {
    const Kept& kept = keep(index++, batch);
    const Rows& rows = batch.input_rows();
    if (losses_.groups == 0) {
      pass_rows(rows, {{}, kept.targets, kept.weights, 0, numbers.numel()}, numbers_a_row, use);
      return;
    }
    for (const auto* first = number; first != end;) {
      const int64_t group = *first / losses_.problems_a_group();
      const auto* last = std::lower_bound(first, end, (group + 1) * losses_.problems_a_group());
      const auto g = static_cast<size_t>(group);
      const int64_t begin = group == 0 ? 0 : kept.group_ends[g - 1];
      const int64_t count = kept.group_ends[g] - begin;
      if (count > 0) {
        const std::span<const int64_t> own(kept.order.data() + begin, static_cast<size_t>(count));
        Rows chosen;
        rows.select(own, chosen);
        const auto ids = at::tensor(at::ArrayRef<int64_t>(own.data(), own.size()), at::kLong);
        pass_rows(chosen,
                  {{},
                   kept.targets.index_select(0, ids),
                   kept.weights.index_select(0, ids),
                   first - number,
                   last - first},
                  numbers_a_row, use);
      }
      first = last;
    }
  });
}

/// The part of a pass for rows that the same problems see, in blocks of rows and of problems.
void ManyObjective::pass_rows(const Rows& rows, Block block, int64_t numbers_a_row, Use use) const {
  constexpr int64_t kNumbers = 1 << 20;
  constexpr int64_t kMostProblems = 4096;
  const auto targets = block.targets;
  const auto weights = block.weights;
  const int64_t end = block.first + block.count;
  const int64_t begin = block.first;
  const int64_t a_row = std::max({numbers_a_row, columns(), std::min(block.count, kMostProblems)});
  const int64_t step = std::clamp<int64_t>(kNumbers / a_row, 16, 4096);
  for (int64_t at = 0; at < rows.size(); at += step) {
    const int64_t count = std::min(step, rows.size() - at);
    const auto last = bias_at_ >= 0 ? at::ones({count, 1}, at::kDouble) : many_zeros({count, 1});
    block.x = at::cat({as_matrix(rows.narrow(at, count), features_, at::kDouble), last}, 1);
    block.targets = targets.narrow(0, at, count);
    block.weights = weights.narrow(0, at, count);
    for (block.first = begin; block.first < end; block.first += kMostProblems) {
      block.count = std::min(kMostProblems, end - block.first);
      use(block);
    }
  }
}

/// Finds the sums of the weights and checks the targets.
void ManyObjective::meet_rows() {
  has_met_rows_ = true;
  const int64_t a_group = losses_.problems_a_group();
  auto first = at::arange(losses_.problems() / a_group, at::kLong) * a_group;
  const int64_t width = losses_.columns;
  // For each group: the weights, the number of rows that have one, and for each column how many of
  // those have the target 1 and how many neither 0 nor 1.
  auto sums = many_zeros({first.numel(), 2 + 2 * width});
  pass(first, columns(), [&](const Block& block) {
    const auto count = block.weights.gt(0.0).to(at::kDouble);
    const auto sum = sums.narrow(0, block.first, block.count);
    sum.select(1, 0).add_(block.weights.sum());
    sum.select(1, 1).add_(count.sum());
    sum.narrow(1, 2, width).add_(count.matmul(block.targets.eq(1).to(at::kDouble)));
    const auto are_none = block.targets.ne(0).logical_and(block.targets.ne(1));
    sum.narrow(1, 2 + width, width).add_(count.matmul(are_none.to(at::kDouble)));
  });
  rows_.sum(sums);
  totals_ = sums.select(1, 0).repeat_interleave(a_group);
  check_rows(sums);
  set_strengths();
}

void ManyObjective::set_strengths() {
  const auto of_all = [&](const std::vector<double>& strengths) {
    return at::tensor(strengths, at::kDouble)
        .repeat({losses_.problems() / losses_.strengths_count()});
  };
  strengths_ = of_all(losses_.strengths);
  torch::Tensor l1;
  if (losses_.are_c) {
    const auto inverse = 1.0 / (strengths_ * totals_);
    if (losses_.has_l1()) l1 = losses_.l1_ratio * inverse;
    strengths_ = 0.5 * (1.0 - losses_.l1_ratio) * inverse;
  } else if (losses_.has_l1()) {
    l1 = of_all(losses_.l1_strengths);
  }
  if (!l1.defined()) return;
  l1_ = many_zeros({losses_.problems(), columns()});
  l1_.narrow(1, 0, features_).copy_(l1.unsqueeze(1).expand({losses_.problems(), features_}));
}

/// Throws DataError for what stands against training in the sums of `meet_rows`.
void ManyObjective::check_rows(const torch::Tensor& sums) const {
  const int64_t width = losses_.columns;
  for (int64_t g = 0; g < sums.size(0); ++g) {
    const auto* sum = sums.const_data_ptr<double>() + g * sums.size(1);
    const auto where = losses_.groups > 0 ? fmt::format(" of group {}", g) : std::string();
    if (!(sum[0] > 0.0)) {
      throw DataError(
          fmt::format("there are no training rows{} with a weight above 0; every "
                      "regression needs some",
                      where));
    }
    if (losses_.kind == LinearLoss::Kind::squared) continue;
    for (int64_t c = 0; c < width; ++c) {
      const double ones = sum[2 + c];
      if (const double others = sum[2 + width + c]; others > 0.0) {
        throw DataError(
            fmt::format("{:.0f} targets of column {}{} are neither 0 nor 1; a logistic "
                        "regression is for two classes with these numbers",
                        others, c, where));
      }
      if (ones > 0.0 && ones < sum[1]) continue;
      throw DataError(fmt::format(
          "all training rows{} have the target {} in column {}; a logistic regression needs rows "
          "of both classes. Leave out this {}",
          where, ones > 0.0 ? 1 : 0, c, where.empty() ? "column" : "group"));
    }
  }
}

/// What each problem's output should be, [rows, problems].
torch::Tensor ManyObjective::targets_of(const Block& block, const torch::Tensor& numbers) const {
  const auto own = numbers.narrow(0, block.first, block.count);
  if (losses_.columns == 1) return block.targets.expand({block.targets.size(0), block.count});
  const auto column =
      own.div(losses_.strengths_count(), "floor").remainder(losses_.columns).to(at::kLong);
  return block.targets.index_select(1, column);
}

ManyObjective::Values ManyObjective::evaluate_each(const Problems& some) {
  if (!has_met_rows_) meet_rows();
  const int64_t count = some.numbers.numel();
  auto sums = many_zeros({count, columns() + 1});
  pass(some.numbers, columns(), [&](const Block& block) {
    const auto points = some.points.narrow(0, block.first, block.count);
    auto z = block.x.mm(points.t());
    const auto y = targets_of(block, some.numbers);
    torch::Tensor slopes;
    torch::Tensor losses;
    if (losses_.kind == LinearLoss::Kind::squared) {
      slopes = z.sub_(y);
      losses = block.weights.matmul(slopes.square());
      slopes.mul_(2.0);
    } else {
      const auto e = z.abs().neg_().exp_();
      losses = block.weights.matmul(e.log1p().add_(z.clamp_min(0.0)).sub_(y * z));
      slopes = z.sigmoid_().sub_(y);
    }
    slopes.mul_(block.weights.unsqueeze(1));
    const auto sum = sums.narrow(0, block.first, block.count);
    sum.narrow(1, 0, columns()).add_(slopes.t().mm(block.x));
    sum.select(1, columns()).add_(losses);
  });
  rows_.sum(sums);
  sums.div_(totals_.index_select(0, some.numbers).unsqueeze(1));
  const auto l2 = strengths_.index_select(0, some.numbers);
  const auto weights = some.points.narrow(1, 0, features_);
  auto gradients = sums.narrow(1, 0, columns()).contiguous();
  gradients.narrow(1, 0, features_).add_(weights * (2.0 * l2).unsqueeze(1));
  return {sums.select(1, columns()) + l2 * weights.square().sum(1), std::move(gradients)};
}

/// The second derivatives of the rows' losses with respect to the outputs, with the weights.
torch::Tensor ManyObjective::curvatures_of(const Block& block, const torch::Tensor& outputs) const {
  const auto weights = block.weights.unsqueeze(1);
  if (losses_.kind == LinearLoss::Kind::squared) return (2.0 * weights).expand_as(outputs);
  const auto p = outputs.sigmoid();
  return (p - p.square()).mul_(weights);
}

double ManyObjective::evaluate(const torch::Tensor& point, const torch::Tensor& gradient) {
  point_ = to_rows(point);
  const auto found = evaluate_each({at::arange(losses_.problems(), at::kLong), point_});
  gradient.copy_(to_flat(found.gradients));
  return found.values.sum().item<double>();
}

torch::Tensor ManyObjective::hessian_product(const torch::Tensor& vector) {
  const auto numbers = at::arange(losses_.problems(), at::kLong);
  const auto v = to_rows(vector);
  auto sums = many_zeros({losses_.problems(), columns()});
  pass(numbers, columns(), [&](const Block& block) {
    const auto points = point_.narrow(0, block.first, block.count);
    const auto h = curvatures_of(block, block.x.mm(points.t()));
    const auto along = block.x.mm(v.narrow(0, block.first, block.count).t()).mul_(h);
    sums.narrow(0, block.first, block.count).add_(along.t().mm(block.x));
  });
  rows_.sum(sums);
  sums.div_(totals_.unsqueeze(1));
  sums.narrow(1, 0, features_).add_(v.narrow(1, 0, features_) * (2.0 * strengths_).unsqueeze(1));
  return to_flat(sums);
}

}  // namespace levin
