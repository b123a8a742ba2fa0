#include <levin/framework/solvers/column_objective.h>

#include <algorithm>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

double* column_data(const torch::Tensor& tensor) { return tensor.mutable_data_ptr<double>(); }

ColumnParts::Layout layout_for(const LinearLoss& loss,
                               const std::vector<torch::Tensor>& parameters) {
  ColumnParts::Layout layout{.outputs = loss.weight.size(0), .features = loss.weight.size(1)};
  int64_t at = 0;
  for (const auto& parameter : parameters) {
    (parameter.is_same(loss.weight) ? layout.weight_at : layout.bias_at) = at;
    at += parameter.numel();
  }
  return layout;
}

}  // namespace

/// What a share of a pass, which one thread makes, adds up, and its buffers.
struct ColumnObjective::Share {
  std::unique_ptr<RowProducts> products;
  double loss = 0.0;
  torch::Tensor weight_gradient;  // [outputs, own features]
  torch::Tensor bias_gradient;    // [outputs]
  std::vector<double> gradient;   // [block, outputs]

  RowProducts::Sums sums() const {
    return {column_data(weight_gradient), column_data(bias_gradient)};
  }
};

ColumnObjective::~ColumnObjective() = default;

ColumnObjective::ColumnObjective(RowSource& rows, LinearLoss loss,
                                 const std::vector<torch::Tensor>& parameters, Ranks& ranks)
    : source_(rows),
      loss_(std::move(loss)),
      outputs_(loss_.weight.size(0)),
      parts_(ranks, layout_for(loss_, parameters)),
      own_(parts_.own()) {
  if (loss_.l1_strength == 0.0) return;
  l1_ = at::zeros({size()}, at::kDouble);
  own_.weight_of(l1_).fill_(loss_.l1_strength);
}

const double* ColumnObjective::weights_of(const Block& block) const {
  return columns_->weights.const_data_ptr<double>() + block.first;
}

double* ColumnObjective::outputs_of(const Block& block) const {
  return column_data(z_) + block.first * outputs_;
}

double* ColumnObjective::curvature_of(const Block& block) const {
  return column_data(curvature_) + block.first * outputs_;
}

/// Reads this rank's columns of all rows.
void ColumnObjective::meet_rows() {
  columns_ = read_columns(source_, loss_.weight.size(1), parts_.first_column(), own_.features);
  check_classes();
  output_weights_ = output_weights_of(loss_);
  columns_->weights = with_class_weights(loss_, std::move(columns_->weights), columns_->targets);
  total_weight_ = columns_->weights.sum().item<double>();
  z_ = at::empty({columns_->rows.size(), outputs_}, at::kDouble);
  curvature_ = at::empty_like(z_);
  constexpr double kFew = 20e6;  // products that take a few milliseconds
  double products[] = {static_cast<double>(RowProducts::multiplications(columns_->rows, outputs_))};
  parts_.sum(products);
  precise_ = products[0] < kFew || columns_->rows.dtype() == at::kDouble;
  make_shares();
}

void ColumnObjective::check_classes() const {
  if (loss_.kind == LinearLoss::Kind::squared) return;
  const auto& targets = columns_->targets;
  const int64_t classes = std::max<int64_t>(outputs_, 2);
  const auto is_class = targets.ge(0).logical_and(targets.lt(classes));
  const auto bins = at::where(is_class, targets, static_cast<double>(classes));
  const auto counts =
      at::bincount(bins.to(at::kLong).flatten(), {}, classes + 1).to(at::kDouble);  // last: none
  require_classes({column_data(counts), static_cast<size_t>(classes + 1)});
}

/// Makes the shares of all passes, whose number depends on the size of the work alone.
void ColumnObjective::make_shares() {
  const auto count = RowProducts::num_parts(RowProducts::multiplications(columns_->rows, outputs_),
                                            outputs_ * own_.features);
  for (int64_t i = 0; i < count; ++i) {
    auto& share = *shares_.emplace_back(std::make_unique<Share>());
    share.weight_gradient = at::zeros({outputs_, own_.features}, at::kDouble);
    share.bias_gradient = at::zeros({outputs_}, at::kDouble);
    share.gradient.resize(static_cast<size_t>(RowProducts::block_rows(columns_->rows) * outputs_));
  }
}

/// Calls `work` for each block of all rows, on several threads if there are several shares.
template <class Work>
void ColumnObjective::pass(Work work) {
  const Rows& rows = columns_->rows;
  const int64_t step = RowProducts::block_rows(rows);
  const int64_t shares = std::ssize(shares_);
  share_out(shares, [&](int64_t s) {
    const int64_t end = rows.size() * (s + 1) / shares;
    for (int64_t first = rows.size() * s / shares; first < end; first += step) {
      const int64_t count = std::min(step, end - first);
      work(Block{rows.narrow(first, count), first, count, *shares_[static_cast<size_t>(s)]});
    }
  });
}

/// Multiplies all rows by the whole vector, of which each rank gives its part, and writes what
/// comes out to `z_`.
void ColumnObjective::find_outputs(const torch::Tensor& vector) {
  const auto weight = own_.weight_of(vector);
  const auto bias = own_.bias_at >= 0 ? own_.bias_of(vector) : torch::Tensor();
  for (const auto& share : shares_) {
    if (!share->products) share->products = make_row_products(columns_->rows, outputs_, precise_);
    if (share == shares_.front()) {
      share->products->set_matrix(weight, bias);
    } else {
      share->products->share_matrix(*shares_.front()->products);
    }
  }
  pass([&](const Block& block) { block.share.products->outputs(block.rows, outputs_of(block)); });
  parts_.sum({column_data(z_), static_cast<size_t>(z_.numel())});
}

/// What the shares of a pass have added to the gradient, divided by the weight of all rows, [size].
torch::Tensor ColumnObjective::take_sums() {
  auto sums = at::zeros({size()}, at::kDouble);
  for (const auto& share : shares_) {
    share->products->finish(share->sums());
    own_.weight_of(sums).add_(share->weight_gradient);
    if (own_.bias_at >= 0) own_.bias_of(sums).add_(share->bias_gradient);
    share->weight_gradient.zero_();
    share->bias_gradient.zero_();
  }
  return sums.div_(total_weight_);
}

void ColumnObjective::add_penalty(const torch::Tensor& vector, const torch::Tensor& result) const {
  if (loss_.l2_strength == 0.0) return;
  own_.weight_of(result).add_(own_.weight_of(vector), 2.0 * loss_.l2_strength);
}

void ColumnObjective::remove_idle(const torch::Tensor& vector) const {
  levin::remove_idle(loss_, own_.weight_of(vector),
                     own_.bias_at >= 0 ? own_.bias_of(vector) : torch::Tensor());
}

double ColumnObjective::evaluate(const torch::Tensor& point, const torch::Tensor& gradient) {
  if (!columns_) meet_rows();
  find_outputs(point);
  const bool is_squared = loss_.kind == LinearLoss::Kind::squared;
  pass([&](const Block& block) {
    Share& share = block.share;
    share.loss += row_losses(
        loss_.kind,
        {.outputs = outputs_of(block),
         .rows = block.count,
         .count = outputs_,
         .targets =
             columns_->targets.const_data_ptr<double>() + block.first * (is_squared ? outputs_ : 1),
         .weights = weights_of(block),
         .output_weights = output_weights_.defined() ? column_data(output_weights_) : nullptr},
        share.gradient.data(), curvature_of(block));
    share.products->add_gradients(block.rows, share.gradient.data(), share.sums());
  });
  gradient.copy_(take_sums());
  remove_idle(gradient);  // rounding errors, which Newton's method would divide by no curvature
  add_penalty(point, gradient);
  diagonal_.reset();
  // Every rank has computed the loss. They take that of rank 0, because processors of different
  // kinds may round differently, and all ranks have to see the same number.
  double sums[] = {0.0, own_.weight_of(point).square().sum().item<double>()};
  for (const auto& share : shares_) {
    if (parts_.is_rank_zero()) sums[0] += share->loss;
    share->loss = 0.0;
  }
  parts_.sum(sums);
  return sums[0] / total_weight_ + loss_.l2_strength * sums[1];
}

torch::Tensor ColumnObjective::hessian_product(const torch::Tensor& vector) {
  find_outputs(vector);
  pass([&](const Block& block) {
    curvature_product(loss_.kind, curvature_of(block), weights_of(block), block.count, outputs_,
                      outputs_of(block));
    block.share.products->add_gradients(block.rows, outputs_of(block), block.share.sums());
  });
  auto product = take_sums();
  remove_idle(product);
  add_penalty(vector, product);
  return product;
}

torch::Tensor ColumnObjective::curvature_diagonal() {
  if (diagonal_.defined()) return diagonal_;
  pass([&](const Block& block) {
    Share& share = block.share;
    levin::curvature_diagonal(loss_.kind, curvature_of(block), weights_of(block), block.count,
                              outputs_, share.gradient.data());
    share.products->add_square_gradients(block.rows, share.gradient.data(), share.sums());
  });
  diagonal_ = take_sums();
  own_.weight_of(diagonal_).add_(2.0 * loss_.l2_strength);
  return diagonal_;
}

torch::Tensor ColumnObjective::hessian_of(const torch::Tensor& /*entries*/) {
  throw ConfigError::conflict("the whole Hessian of features that ranks share (shard = features)",
                              "use lbfgs, newton-cg or trust-region, or set shard to rows");
}

bool ColumnObjective::raise_precision() {
  if (precise_) return false;
  precise_ = true;
  for (const auto& share : shares_) share->products.reset();
  return true;
}

}  // namespace levin
