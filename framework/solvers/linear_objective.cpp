#include <levin/framework/solvers/linear_objective.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/core/error.h>
#include <levin/framework/solvers/row_losses.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

double* data_of(const torch::Tensor& tensor) { return tensor.mutable_data_ptr<double>(); }

torch::Tensor zeros(at::IntArrayRef sizes) { return at::zeros(sizes, at::kDouble); }

}  // namespace

LinearObjective::~LinearObjective() = default;

bool LinearObjective::fits(const LinearLoss& loss, const std::vector<torch::Tensor>& parameters) {
  const auto is_of_loss = [&](const torch::Tensor& p) {
    return p.is_same(loss.weight) || (loss.bias.defined() && p.is_same(loss.bias));
  };
  return parameters.size() == (loss.bias.defined() ? 2U : 1U) &&
         std::all_of(parameters.begin(), parameters.end(), is_of_loss);
}

LinearObjective::LinearObjective(RowSource& rows, LinearLoss loss,
                                 const std::vector<torch::Tensor>& parameters)
    : rows_(rows),
      loss_(std::move(loss)),
      outputs_(loss_.weight.size(0)),
      features_(loss_.weight.size(1)),
      output_weights_(output_weights_of(loss_)),
      parts_(outputs_, features_) {
  for (const auto& parameter : parameters) {
    (parameter.is_same(loss_.weight) ? weight_at_ : bias_at_) = size_;
    size_ += parameter.numel();
  }
  if (loss_.l1_strength > 0.0) {
    l1_ = zeros({size_});
    l1_.narrow(0, weight_at_, outputs_ * features_).fill_(loss_.l1_strength);
  }
}

LinearObjective::Kept& LinearObjective::keep(size_t index, const Batch& batch) {
  if (index < kept_.size()) return kept_[index];
  const int64_t rows = batch.rows();
  if (index == 0) like_ = batch.input_rows().narrow(0, std::min<int64_t>(rows, 1));
  constexpr int64_t kFew = 20'000'000;  // products that take a few milliseconds
  const bool is_quick =
      index == 0 && RowProducts::multiplications(batch.input_rows(), outputs_) < kFew;
  if (is_quick || batch.input_rows().dtype() == at::kDouble) is_exact_ = true;
  Kept kept;
  kept.first_row = static_cast<int64_t>(own_rows_);
  const auto targets = batch.target();
  kept.targets = targets.to(at::kCPU, at::kDouble).contiguous();
  kept.weights = batch.has("weight") ? batch.weight().to(at::kCPU, at::kDouble).contiguous()
                                     : at::ones({rows}, at::kDouble);
  kept.weights = with_class_weights(loss_, std::move(kept.weights), targets);
  kept.curvature = at::empty({rows, outputs_}, at::kDouble);
  own_rows_ += static_cast<double>(rows);
  own_entries_ += batch.input_rows().num_entries();
  return kept_.emplace_back(std::move(kept));
}

/// Calls `work` for each block of all rows, on several threads unless `most_parts` is 1.
void LinearObjective::pass(c10::function_ref<void(const Block& block)> work, int64_t most_parts) {
  size_t index = 0;
  rows_.pass([&](const Batch& batch) {
    const Kept& kept = keep(index++, batch);
    const Rows& rows = kept.rows.is_defined() ? kept.rows : batch.input_rows();
    const int64_t step = RowProducts::block_rows(rows);
    const int64_t parts = std::min(
        most_parts,
        RowProducts::num_parts(RowProducts::multiplications(rows, outputs_), outputs_ * features_));
    parts_.require(parts);
    share_out(parts, [&](int64_t p) {
      PassPart& part = parts_[p];
      const int64_t end = rows.size() * (p + 1) / parts;
      for (int64_t first = rows.size() * p / parts; first < end; first += step) {
        const int64_t count = std::min(step, end - first);
        const auto numbers = static_cast<size_t>(count * outputs_);
        if (part.outputs.size() < numbers) part.outputs.resize(numbers);
        if (part.gradient.size() < numbers) part.gradient.resize(numbers);
        work(Block{rows.narrow(first, count), first, kept, part});
      }
    });
  });
}

/// The sums of a pass whose blocks have added to their parts, over all ranks:
/// [loss, weights, weight's gradient, bias's gradient].
torch::Tensor LinearObjective::end_pass() {
  auto sums = parts_.take_sums();
  rows_.sum(sums);
  return sums;
}

/// Puts the sums of the weight's and the bias's entries where the point has these parameters.
torch::Tensor LinearObjective::joined(const torch::Tensor& weight_and_bias) const {
  if (!has_bias()) return weight_and_bias.narrow(0, 0, size_);
  const int64_t numbers = outputs_ * features_;
  if (weight_at_ < bias_at_) return weight_and_bias;
  const auto weight = weight_and_bias.narrow(0, 0, numbers);
  const auto bias = weight_and_bias.narrow(0, numbers, outputs_);
  return at::cat({bias, weight});
}

/// Goes over the rows for the first time, to learn how many there are, and checks their classes.
/// All ranks have to agree on the precision, or their steps would differ.
void LinearObjective::meet_rows() {
  pass([](const Block& /*block*/) {});
  auto ranks = zeros({2});  // of ranks that have rows, and of those that are exact
  if (own_rows_ > 0.0) ranks.copy_(at::tensor({1.0, is_exact_ ? 1.0 : 0.0}, at::kDouble));
  rows_.sum(ranks);
  is_exact_ = data_of(ranks)[0] == data_of(ranks)[1];
  precise_ = precise_ || is_exact_;
  if (ColumnRanks::pay(like_, own_entries_) && rows_.reason_against_copies().empty()) {
    rank_columns();
  }
  if (loss_.kind == LinearLoss::Kind::squared) return;
  const int64_t classes = std::max<int64_t>(outputs_, 2);
  auto counts = zeros({classes + 1});  // the last one of targets that are no classes
  for (const auto& kept : kept_) {
    const auto is_class = kept.targets.ge(0).logical_and(kept.targets.lt(classes));
    const auto bins = at::where(is_class, kept.targets, static_cast<double>(classes));
    counts.add_(at::bincount(bins.to(at::kLong).flatten(), {}, classes + 1));
  }
  rows_.sum(counts);
  require_classes({data_of(counts), static_cast<size_t>(classes + 1)});
}

/// Copies the rows with the ranks of their columns, which quickens all further passes.
void LinearObjective::rank_columns() {
  ColumnRanks ranks(features_);
  rows_.pass([&](const Batch& batch) { ranks.count(batch.input_rows()); });
  ranks.rank();
  size_t index = 0;
  rows_.pass(
      [&](const Batch& batch) { kept_[index++].rows = ranks.renumbered(batch.input_rows()); });
  parts_.set_ranks(std::move(ranks));
}

/// Gives all parts the matrix of the products.
void LinearObjective::begin_pass(const torch::Tensor& point) {
  const auto weight = point.narrow(0, weight_at_, outputs_ * features_).view({outputs_, features_});
  const auto bias = has_bias() ? point.narrow(0, bias_at_, outputs_) : torch::Tensor();
  parts_.set_matrix(like_, precise_, weight, bias);
}

void LinearObjective::add_penalty(const torch::Tensor& vector, const torch::Tensor& result) const {
  if (loss_.l2_strength == 0.0) return;
  const int64_t numbers = outputs_ * features_;
  result.narrow(0, weight_at_, numbers)
      .add_(vector.narrow(0, weight_at_, numbers), 2.0 * loss_.l2_strength);
}

void LinearObjective::remove_idle(const torch::Tensor& vector) const {
  levin::remove_idle(loss_,
                     vector.narrow(0, weight_at_, outputs_ * features_).view({outputs_, features_}),
                     has_bias() ? vector.narrow(0, bias_at_, outputs_) : torch::Tensor());
}

void LinearObjective::settle(const torch::Tensor& point) const {
  const bool has_ties = loss_.kind == LinearLoss::Kind::softmax && loss_.l1_strength > 0.0;
  if (!has_ties || loss_.l2_strength > 0.0) return;
  const auto weight = point.narrow(0, weight_at_, outputs_ * features_).view({outputs_, features_});
  // The sum of |w + shift| is least while 0 lies between the middle ones.
  const auto sorted = std::get<0>(weight.sort(0));
  const auto least = sorted[outputs_ / 2].neg();
  const auto most = sorted[(outputs_ - 1) / 2].neg();
  weight.add_(weight.mean(0).neg_().clamp_(least, most));
}

double LinearObjective::evaluate(const torch::Tensor& point, const torch::Tensor& gradient) {
  if (!has_met_rows_) meet_rows();
  has_met_rows_ = true;
  begin_pass(point);
  const bool is_squared = loss_.kind == LinearLoss::Kind::squared;
  double* all_outputs = nullptr;
  if (problem_) {
    problem_->last_outputs = at::empty({problem_->rows() * outputs_}, at::kDouble);
    all_outputs = data_of(problem_->last_outputs);
  }
  pass([&](const Block& block) {
    PassPart& part = block.part;
    const int64_t count = block.rows.size();
    part.products->outputs(block.rows, part.outputs.data());
    if (all_outputs != nullptr) {
      std::copy_n(part.outputs.data(), count * outputs_,
                  all_outputs + (block.kept.first_row + block.first) * outputs_);
    }
    const double* weights = data_of(block.kept.weights) + block.first;
    part.loss += row_losses(
        loss_.kind,
        {.outputs = part.outputs.data(),
         .rows = count,
         .count = outputs_,
         .targets = data_of(block.kept.targets) + block.first * (is_squared ? outputs_ : 1),
         .weights = weights,
         .output_weights = output_weights_.defined() ? data_of(output_weights_) : nullptr},
        part.gradient.data(), data_of(block.kept.curvature) + block.first * outputs_);
    for (int64_t i = 0; i < count; ++i) part.weight += weights[i];
    part.products->add_gradients(block.rows, part.gradient.data(), part.sums());
  });
  const auto sums = end_pass();
  total_weight_ = data_of(sums)[1];
  gradient.copy_(joined(sums.slice(0, 2)).div_(total_weight_));
  remove_idle(gradient);  // rounding errors, which Newton's method would divide by no curvature
  add_penalty(point, gradient);
  kronecker_.reset();
  diagonal_.reset();
  const auto weight = point.narrow(0, weight_at_, outputs_ * features_);
  return data_of(sums)[0] / total_weight_ + loss_.l2_strength * weight.dot(weight).item<double>();
}

torch::Tensor LinearObjective::hessian_product(const torch::Tensor& vector) {
  begin_pass(vector);
  pass([&](const Block& block) {
    PassPart& part = block.part;
    part.products->outputs(block.rows, part.outputs.data());
    curvature_product(loss_.kind, data_of(block.kept.curvature) + block.first * outputs_,
                      data_of(block.kept.weights) + block.first, block.rows.size(), outputs_,
                      part.outputs.data());
    part.products->add_gradients(block.rows, part.outputs.data(), part.sums());
  });
  auto product = joined(end_pass().slice(0, 2)).div_(total_weight_);
  remove_idle(product);
  add_penalty(vector, product);
  return product;
}

LinearProblem* LinearObjective::linear(std::string& reason, int64_t most_products) {
  if (problem_) return problem_.get();
  reason = rows_.reason_against_copies();
  if (!reason.empty()) return nullptr;
  if (kept_.empty()) pass([](const Block& /*block*/) {});
  auto products = zeros({1});
  if (loss_.kind == LinearLoss::Kind::softmax) {
    products.fill_(own_rows_ * static_cast<double>(features_ * outputs_));
  } else {  // sparse rows have far fewer
    rows_.pass([&](const Batch& batch) {
      products.add_(RowProducts::multiplications(batch.input_rows(), outputs_));
    });
  }
  rows_.sum(products);
  if (data_of(products)[0] > static_cast<double>(most_products)) {
    reason = "training rows that are too many to be copied";
    return nullptr;
  }
  std::vector<torch::Tensor> targets{zeros({0})};  // this rank may have no rows
  std::vector<torch::Tensor> weights{zeros({0})};
  for (const auto& kept : kept_) {
    targets.push_back(kept.targets.flatten());
    weights.push_back(kept.weights);
  }
  auto problem = std::make_unique<LinearProblem>(loss_, rows_, at::cat(targets), at::cat(weights));
  problem->weight_at = weight_at_;
  problem->bias_at = bias_at_;
  problem->set_rows(read_row_entries(rows_, features_));
  problem_ = std::move(problem);
  return problem_.get();
}

bool LinearObjective::raise_precision() {
  if (precise_) return false;
  precise_ = true;
  parts_.forget_products();
  return true;
}

}  // namespace levin
