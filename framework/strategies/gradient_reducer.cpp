#include <levin/framework/strategies/gradient_reducer.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <levin/framework/collectives/host_sum.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>
#include <levin/framework/strategies/packing_hook.h>
#include <levin/framework/strategies/sparse_gradients.h>
#include <levin/framework/strategies/sum_hook.h>

namespace levin {
namespace {

/// Makes the sum in shared memory, for gradients on the CPU that keep their type. Null if there is
/// none; the process group then sums.
std::shared_ptr<HostSum> host_sum_for(ProcessGroup& group,
                                      const std::vector<torch::Tensor>& parameters,
                                      const std::vector<bool>& sparse) {
  size_t bytes = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].is_cpu()) return nullptr;
    if (!sparse[i]) bytes += HostSum::padded(parameters[i].nbytes());
  }
  return group.host_sum(bytes);
}

}  // namespace

/// The type of the riders: that of the gradients, so that the riders share the gradients' bucket.
/// If gradients are compressed, which would change numbers of rows, it is another type, and the
/// riders get a bucket of their own.
at::ScalarType type_of_riders(at::ScalarType gradients, bool are_compressed) {
  if (gradients != at::kFloat && gradients != at::kDouble) return at::kFloat;
  if (!are_compressed) return gradients;
  return gradients == at::kFloat ? at::kDouble : at::kFloat;
}

class GradientReducer::Implementation {
 public:
  Implementation(ProcessGroup& group, std::vector<std::string> names,
                 std::vector<torch::Tensor> parameters, const GradientReducerOptions& options,
                 std::shared_ptr<CommunicationLog> log, std::vector<bool> sparse);
  ~Implementation();
  void begin(const torch::Tensor& loss, const torch::Tensor& riders);
  torch::Tensor finish(bool has_loss);
  int64_t bytes() const { return bytes_; }
  StateDict state_dict() const { return packed_ ? packed_->state_dict() : StateDict{}; }
  void load_state_dict(const StateDict& state) {
    if (packed_) packed_->load_state_dict(state);
  }

 private:
  void build();
  void settle();
  void watch();
  void complete(bool has_loss);

  ProcessGroup& group_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_;  // the riders first
  GradientReducerOptions options_;
  std::optional<at::ScalarType> sent_as_;
  std::shared_ptr<PackedBuckets> packed_;  // null if gradients aren't packed
  std::atomic<int64_t> bytes_{0};
  std::shared_ptr<CommunicationLog> log_;
  std::vector<bool> sparse_;
  std::shared_ptr<HostSum> host_sum_;
  std::vector<char> seen_;  // whether autograd has said that a gradient is complete
  std::vector<std::pair<std::shared_ptr<torch::autograd::Node>, uintptr_t>> watched_;
  std::shared_ptr<c10d::Reducer> reducer_;
};

GradientReducer::Implementation::Implementation(ProcessGroup& group, std::vector<std::string> names,
                                                std::vector<torch::Tensor> parameters,
                                                const GradientReducerOptions& options,
                                                std::shared_ptr<CommunicationLog> log,
                                                std::vector<bool> sparse)
    : group_(group),
      names_(std::move(names)),
      parameters_(std::move(parameters)),
      options_(options),
      sent_as_(sent_type(options.compression)),
      log_(std::move(log)),
      sparse_(std::move(sparse)) {
  const at::NoGradGuard no_grad;
  if (packs_gradients(options_.compression)) {
    packed_ =
        std::make_shared<PackedBuckets>(options_.compression, group_.rank(), names_, parameters_);
  }
  const bool are_compressed = sent_as_ || packed_;
  const auto& like = parameters_.front();
  auto riders = at::zeros({static_cast<int64_t>(kRiders)},
                          like.options().dtype(type_of_riders(like.scalar_type(), are_compressed)));
  riders.requires_grad_();
  riders.mutable_grad() = at::zeros_like(riders);
  parameters_.insert(parameters_.begin(), riders);
  names_.insert(names_.begin(), "riders");
  seen_.assign(parameters_.size(), 0);
  sparse_.insert(sparse_.begin(), false);
  sparse_.resize(parameters_.size(), false);
  if (!are_compressed) host_sum_ = host_sum_for(group_, parameters_, sparse_);
  watch();
  build();
  settle();
  if (packed_) packed_->begin();  // the buckets are as they stay
}

/// Adds a hook to each parameter that notes that its gradient is complete. These hooks run before
/// the Reducer's own, which are added later.
void GradientReducer::Implementation::watch() {
  for (size_t i = 1; i < parameters_.size(); ++i) {
    auto node = torch::autograd::impl::grad_accumulator(parameters_[i]);
    const auto key = node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [this, i](const torch::autograd::variable_list& outputs,
                  const torch::autograd::variable_list&) {
          seen_[i] = 1;
          return outputs;
        }));
    watched_.emplace_back(std::move(node), key);
  }
}

void GradientReducer::Implementation::build() {
  const auto cap = static_cast<size_t>(options_.bucket_cap_mb * 1024.0 * 1024.0);
  // A small first bucket is sent early. Packed gradients are few bytes, and their packets each cost
  // the time of a message.
  const auto first =
      packed_ ? cap : std::min(static_cast<size_t>(c10d::kDefaultFirstBucketBytes), cap);
  auto buckets =
      std::get<0>(c10d::compute_bucket_assignment_by_size(parameters_, {first, cap}, sparse_));
  std::reverse(buckets.begin(), buckets.end());
  std::unordered_map<size_t, std::string> names;
  for (size_t i = 0; i < names_.size(); ++i) names[i] = names_[i];
  reducer_ = std::make_shared<c10d::Reducer>(
      parameters_, std::move(buckets), group_.c10d_group(), sparse_, static_cast<int64_t>(cap),
      options_.find_unused_parameters, options_.gradient_as_bucket_view, std::move(names),
      static_cast<int64_t>(first), /*skip_all_reduce_unused_params=*/false,
      /*use_python_reducer=*/false, std::vector<int64_t>{});
  const SumHookOptions options{
      .sent_as = sent_as_, .riders = parameters_[0], .host_sum = host_sum_, .log = log_};
  reducer_->register_comm_hook(packed_ ? make_packing_hook(group_, options, packed_, bytes_)
                                       : make_sum_hook(group_, options, bytes_));
}

/// Makes the Reducer rebuild its buckets now. It does so after the first reduction, in the order in
/// which gradients became complete. A first reduction of zeros makes that the reverse order of the
/// parameters in every run, so that sums have the same bits whether a run was resumed or not.
void GradientReducer::Implementation::settle() {
  if (!reducer_->should_rebuild_buckets()) return;
  std::vector<at::Tensor> gradients;
  for (auto& parameter : parameters_) {
    gradients.push_back(std::exchange(parameter.mutable_grad(), at::Tensor()));
  }
  parameters_[0].mutable_grad() = gradients[0];
  begin({}, gradients[0]);
  finish(/*has_loss=*/false);
  reducer_->rebuild_buckets();
  for (size_t i = 1; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = gradients[i];
}

GradientReducer::Implementation::~Implementation() {
  for (const auto& [node, key] : watched_) node->del_post_hook(key);
}

void GradientReducer::Implementation::begin(const torch::Tensor& loss,
                                            const torch::Tensor& riders) {
  std::fill(seen_.begin(), seen_.end(), 0);
  if (!loss.defined() || options_.find_unused_parameters) {  // the Reducer needs a sparse gradient
    for (size_t i = 0; i < parameters_.size(); ++i) {
      auto& gradient = parameters_[i].mutable_grad();
      if (sparse_[i] && !gradient.defined()) gradient = no_sparse_gradient(parameters_[i]);
    }
  }
  reducer_->prepare_for_forward();
  if (reducer_->should_rebuild_buckets()) reducer_->rebuild_buckets();
  std::vector<at::Tensor> outputs;
  if (options_.find_unused_parameters) {  // otherwise the Reducer expects a gradient of each
    const at::AutoGradMode with_gradients(true);
    outputs.push_back(parameters_[0].sum());
    if (loss.defined()) outputs.push_back(loss);
  }
  reducer_->prepare_for_backward(outputs);
  const at::NoGradGuard no_grad;
  parameters_[0].mutable_grad().copy_(riders);
  if (!loss.defined()) return;
  seen_[0] = 1;
  reducer_->autograd_hook(0);
}

/// Hands the Reducer the gradients of which no hook has told it: those that a module wrote without
/// autograd, and the zeros of a rank that has no loss. The Reducer has to learn of them within a
/// backward pass, so this runs a small one.
void GradientReducer::Implementation::complete(bool has_loss) {
  std::vector<size_t> missing;
  // With find_unused_parameters the Reducer has gone through the graph itself, and only the riders
  // can be missing.
  if (!seen_[0]) missing.push_back(0);
  const size_t count = options_.find_unused_parameters ? 1 : parameters_.size();
  for (size_t i = count - 1; i > 0; --i) {
    if (!seen_[i]) missing.push_back(i);
  }
  if (missing.empty()) return;
  for (const size_t i : missing) {
    auto& parameter = parameters_[i];
    if (parameter.grad().defined()) continue;
    if (has_loss) {
      throw ModuleError::contract(
          "backward", fmt::format("left parameter '{}' without a gradient", names_[i]),
          "set find_unused_parameters = true, or let the loss depend on it");
    }
    parameter.mutable_grad() = at::zeros_like(parameter.detach());
  }
  auto trigger = at::zeros({}, parameters_[0].options()).requires_grad_();
  auto node = torch::autograd::impl::grad_accumulator(trigger);
  node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
      [&](const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) {
        for (const size_t i : missing) reducer_->autograd_hook(i);
        return outputs;
      }));
  const at::AutoGradMode with_gradients(true);
  torch::autograd::backward({trigger * 1.0}, {});
}

torch::Tensor GradientReducer::Implementation::finish(bool has_loss) {
  complete(has_loss);
  return parameters_[0].grad().to(at::kDouble);
}

GradientReducer::GradientReducer(ProcessGroup& group, std::vector<std::string> names,
                                 std::vector<torch::Tensor> parameters,
                                 const GradientReducerOptions& options,
                                 std::shared_ptr<CommunicationLog> log, std::vector<bool> sparse)
    : implementation_(std::make_unique<Implementation>(group, std::move(names),
                                                       std::move(parameters), options,
                                                       std::move(log), std::move(sparse))) {}
GradientReducer::~GradientReducer() = default;
void GradientReducer::begin(const torch::Tensor& loss, const torch::Tensor& riders) {
  implementation_->begin(loss, riders);
}
torch::Tensor GradientReducer::finish(bool has_loss) { return implementation_->finish(has_loss); }
int64_t GradientReducer::bytes() const { return implementation_->bytes(); }
StateDict GradientReducer::state_dict() const { return implementation_->state_dict(); }
void GradientReducer::load_state_dict(const StateDict& state) {
  implementation_->load_state_dict(state);
}

}  // namespace levin
