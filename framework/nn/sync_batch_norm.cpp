#include <levin/framework/nn/sync_batch_norm.h>

#include <algorithm>

#include <ATen/Functions.h>
#include <ATen/OpMathType.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>
#include <torch/nn/modules/batchnorm.h>

#include <levin/framework/collectives/recorded.h>
#include <levin/framework/core/error.h>

namespace levin {

/// One forward pass of one SyncBatchNorm, from the forward to the backward pass.
struct SyncBatchNormPass : torch::CustomClassHolder {
  std::shared_ptr<ProcessGroup> group;
  bool waits = true;

  /// The sums over ranks of `own`, [channels, ...].
  torch::Tensor sum(const torch::Tensor& own) {
    waits = false;
    auto sums = own.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true);
    recorded_all_reduce(*group, sums, ExchangeKind::batch_norms);
    return sums;
  }
};

namespace {

/// All dimensions of `input` except that of the channels.
std::vector<int64_t> reduced(const torch::Tensor& input) {
  std::vector<int64_t> dimensions{0};
  for (int64_t i = 2; i < input.dim(); ++i) dimensions.push_back(i);
  return dimensions;
}

/// Reshapes `channels`, [channels], and converts it to the precision of `input`, to combine the
/// two.
torch::Tensor like(const torch::Tensor& channels, const torch::Tensor& input) {
  std::vector<int64_t> sizes(static_cast<size_t>(input.dim()), 1);
  sizes[1] = -1;
  return channels.to(at::toOpMathType(input.scalar_type())).view(sizes);
}

torch::Tensor precise(const torch::Tensor& tensor) {
  return tensor.to(at::toOpMathType(tensor.scalar_type()));
}

/// The normalisation, given the statistics over all ranks.
///
/// Let xhat = (x - mean) / sqrt(var + eps), n the number of values in a channel over all ranks, L
/// the sum of all ranks' weighted losses, and dy = dL/dy, which each rank has for its own rows.
/// Then:
///
///   dx = weight / sqrt(var + eps) * (dy - sum(dy) / n - xhat * sum(dy * xhat) / n)
class Normalise : public torch::autograd::Function<Normalise> {
 public:
  using Context = torch::autograd::AutogradContext;
  using Tensors = torch::autograd::variable_list;

  static torch::Tensor forward(Context* context, const torch::Tensor& input,
                               const torch::Tensor& weight, const torch::Tensor& bias,
                               const torch::Tensor& mean, const torch::Tensor& inverse_deviation,
                               const torch::Tensor& count,
                               const c10::intrusive_ptr<SyncBatchNormPass>& pass) {
    context->save_for_backward({input, weight, mean, inverse_deviation, count});
    context->saved_data["pass"] = c10::IValue::make_capsule(pass);
    auto result = (precise(input) - like(mean, input)) * like(inverse_deviation, input);
    return result.mul_(like(weight, input)).add_(like(bias, input)).to(input.scalar_type());
  }

  static Tensors backward(Context* context, const Tensors& gradients) {
    const auto saved = context->get_saved_variables();
    const auto& [input, weight, mean, inverse_deviation, count] =
        std::tie(saved[0], saved[1], saved[2], saved[3], saved[4]);
    const auto capsule = context->saved_data["pass"].toCapsule();
    auto& pass = static_cast<SyncBatchNormPass&>(*capsule);
    const auto gradient = precise(gradients[0]);
    const auto normed = (precise(input) - like(mean, input)) * like(inverse_deviation, input);
    const auto own =
        at::stack({gradient.sum(reduced(input)), (gradient * normed).sum(reduced(input))});
    const auto means = pass.sum(own) / count;
    const auto input_gradient =
        (gradient - like(means[0], input) - normed * like(means[1], input)) *
        like(inverse_deviation, input) * like(weight, input);
    const auto type = weight.scalar_type();
    return {
        input_gradient.to(input.scalar_type()), own[1].to(type), own[0].to(type), {}, {}, {}, {}};
  }
};

/// Zeros of that shape on the device of the layer.
torch::Tensor nothing(const SyncBatchNormImpl& norm, std::vector<int64_t> sizes) {
  const auto device = norm.weight.defined()         ? norm.weight.device()
                      : norm.running_mean.defined() ? norm.running_mean.device()
                                                    : at::Device(at::kCPU);
  return at::zeros(sizes, at::TensorOptions(at::kDouble).device(device));
}

}  // namespace

/// The statistics of a batch over all ranks, as doubles.
struct SyncBatchNormImpl::Moments {
  torch::Tensor count;     // of values in a channel, a scalar
  torch::Tensor mean;      // [channels]
  torch::Tensor variance;  // [channels], divided by count
};

struct SyncBatchNormImpl::Link {
  struct Call {
    SyncBatchNormImpl* norm;
    bool has_backward;
    c10::intrusive_ptr<SyncBatchNormPass> pass;  // null if this rank ran no forward pass
  };
  std::shared_ptr<ProcessGroup> group;
  std::vector<Call> calls;     // of this batch
  std::vector<Call> expected;  // calls of the last batch, without their passes

  /// Exchanges for the passes of a batch that this rank hasn't run, and adds them to those `done`.
  void take_part_in_rest(std::vector<Call>& done) const {
    for (size_t i = done.size(); i < expected.size(); ++i) {
      auto& norm = *expected[i].norm;
      norm.exchange(nothing(norm, {1 + 2 * norm.options.num_features}));
      done.push_back(expected[i]);
    }
  }
};

SyncBatchNormImpl::SyncBatchNormImpl(SyncBatchNormOptions options_) : options(options_) {
  if (options.num_features < 1) {
    throw ConfigError::invalid_value("num_features", std::to_string(options.num_features),
                                     "must be at least 1");
  }
  reset();
}

SyncBatchNormImpl::SyncBatchNormImpl(int64_t num_features)
    : SyncBatchNormImpl(SyncBatchNormOptions{.num_features = num_features}) {}

void SyncBatchNormImpl::reset() {
  link_.reset();  // a clone isn't joined
  momentum_ = &options.momentum;
  const std::vector<int64_t> sizes{options.num_features};
  weight = register_parameter("weight", options.affine ? at::ones(sizes) : torch::Tensor(),
                              options.affine);
  bias = register_parameter("bias", options.affine ? at::zeros(sizes) : torch::Tensor(),
                            options.affine);
  if (!options.track_running_stats) return;
  running_mean = register_buffer("running_mean", at::zeros(sizes));
  running_var = register_buffer("running_var", at::ones(sizes));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

/// Counts a batch, and returns its weight in the running statistics.
double SyncBatchNormImpl::next_factor() {
  if (!options.track_running_stats) return 0.0;
  num_batches_tracked += 1;
  return *momentum_ ? **momentum_ : 1.0 / num_batches_tracked.item<double>();
}

torch::Tensor SyncBatchNormImpl::forward(const torch::Tensor& input) {
  if (input.dim() < 2 || input.size(1) != options.num_features) {
    throw ModuleError::contract("SyncBatchNorm.forward",
                                fmt::format("was given [{}] for [rows, {}, ...]",
                                            fmt::join(input.sizes(), ", "), options.num_features),
                                "set num_features to the number of channels");
  }
  const bool learns = is_training();
  if (learns && link_ != nullptr) return joined_forward(input);
  if (learns && input.numel() == options.num_features) {
    throw ModuleError::contract("SyncBatchNorm.forward",
                                "was given a single value for each channel, which has no variance",
                                "train on batches of at least two rows");
  }
  const double factor = learns ? next_factor() : 0.0;
  return at::batch_norm(input, weight, bias, running_mean, running_var,
                        learns || !options.track_running_stats, factor, options.eps,
                        /*cudnn_enabled=*/true);
}

/// `factor` is the weight of the batch in the running statistics, if the caller has counted it.
torch::Tensor SyncBatchNormImpl::joined_forward(const torch::Tensor& input,
                                                std::optional<double> factor) {
  const auto channels = options.num_features;
  Moments moments;
  {
    const at::NoGradGuard no_grad;
    auto own = at::zeros({1 + 2 * channels}, input.options().dtype(at::kDouble));
    if (input.numel() > 0) {
      const auto count = static_cast<double>(input.numel() / channels);
      const auto [variance, mean] = at::var_mean(precise(input), reduced(input), /*correction=*/0);
      own[0] = count;
      own.narrow(0, 1, channels).copy_(mean);
      own.narrow(0, 1 + channels, channels).copy_(variance * count);
    }
    moments = exchange(own, factor);
  }
  auto pass = c10::make_intrusive<SyncBatchNormPass>();
  pass->group = link_->group;
  const bool affine = options.affine;
  const auto result =
      Normalise::apply(input, affine ? weight : at::ones_like(moments.mean),
                       affine ? bias : at::zeros_like(moments.mean), moments.mean,
                       (moments.variance + options.eps).rsqrt(), moments.count, pass);
  link_->calls.push_back({this, result.requires_grad(), pass});
  return result;
}

/// Combines each rank's count, mean and sum of squared deviations, `own`, [1 + 2 channels], and
/// updates the running statistics. Chan et al., doi 10.1080/00031305.1983.10483115.
SyncBatchNormImpl::Moments SyncBatchNormImpl::exchange(const torch::Tensor& own,
                                                       std::optional<double> factor) {
  const at::NoGradGuard no_grad;
  const auto channels = options.num_features;
  const auto all = recorded_all_gather(*link_->group, own, ExchangeKind::batch_norms);
  const auto counts = all.narrow(1, 0, 1);
  const auto means = all.narrow(1, 1, channels);
  const auto count = counts.sum();
  if (count.is_cpu() && count.item<double>() < 2.0) {  // on a GPU this would wait for it
    throw ModuleError::contract("SyncBatchNorm.forward",
                                "was given fewer than two values for each channel, over all ranks",
                                "train on batches of at least two rows");
  }
  const auto mean = (counts * means).sum(0) / count;
  const auto squares = all.narrow(1, 1 + channels, channels) + counts * (means - mean).square();
  const auto sum = squares.sum(0);
  if (options.track_running_stats) {
    const double weight_of_batch = factor ? *factor : next_factor();
    running_mean.lerp_(mean.to(running_mean.scalar_type()), weight_of_batch);
    running_var.lerp_((sum / (count - 1.0)).to(running_var.scalar_type()), weight_of_batch);
  }
  return {count, mean, sum / count};
}

bool has_sync_batch_norms(const torch::nn::Module& module) {
  const auto layers = module.modules(/*include_self=*/false);
  return std::any_of(layers.begin(), layers.end(), [](const auto& layer) {
    return dynamic_cast<const SyncBatchNormImpl*>(layer.get()) != nullptr;
  });
}

SyncBatchNorms::SyncBatchNorms(torch::nn::Module& module, ProcessGroup& group, bool converts) {
  std::vector<std::shared_ptr<torch::nn::Module>>
      layers;  // which are listed by each of their names
  for (auto& one : module.modules(/*include_self=*/false)) {
    if (std::find(layers.begin(), layers.end(), one) == layers.end()) layers.push_back(one);
  }
  for (const auto& layer : layers) {
    if (auto norm = std::dynamic_pointer_cast<SyncBatchNormImpl>(layer)) {
      norms_.push_back(std::move(norm));
    }
    if (!converts || group.world_size() == 1) continue;
    convert<torch::nn::BatchNorm1dImpl>(layer);
    convert<torch::nn::BatchNorm2dImpl>(layer);
    convert<torch::nn::BatchNorm3dImpl>(layer);
  }
  if (norms_.empty() || group.world_size() == 1) return;
  link_ = std::make_shared<SyncBatchNormImpl::Link>();
  link_->group = std::make_shared<ProcessGroup>(group, "sync_batch_norms");
  for (const auto& norm : norms_) {
    norm->link_ = link_;
    link_->expected.push_back({norm.get(), true, nullptr});
  }
}

/// If `layer` is a Norm, lets a SyncBatchNorm with the same tensors compute in its place.
template <class Norm>
void SyncBatchNorms::convert(const std::shared_ptr<torch::nn::Module>& layer) {
  auto* theirs = dynamic_cast<Norm*>(layer.get());
  if (theirs == nullptr) return;
  if (!theirs->weight.defined() && !theirs->running_mean.defined()) {
    throw ConfigError::conflict(
        "sync_batchnorm with a batch norm that has neither a weight nor running statistics",
        "make it a levin::SyncBatchNorm");
  }
  auto ours = std::make_shared<SyncBatchNormImpl>(
      SyncBatchNormOptions{.num_features = theirs->options.num_features(),
                           .eps = theirs->options.eps(),
                           .momentum = {},
                           .affine = theirs->options.affine(),
                           .track_running_stats = theirs->options.track_running_stats()});
  ours->weight = theirs->weight;
  ours->bias = theirs->bias;
  ours->running_mean = theirs->running_mean;
  ours->running_var = theirs->running_var;
  ours->num_batches_tracked = theirs->num_batches_tracked;
  ours->momentum_ = &theirs->options.momentum();  // which may change
  diverted_.add(layer, theirs->weight.defined() ? theirs->weight : theirs->running_mean,
                [norm = ours.get()](const torch::Tensor& input, double momentum) {
                  return norm->joined_forward(input, momentum);
                });
  norms_.push_back(std::move(ours));
}

SyncBatchNorms::~SyncBatchNorms() {
  for (const auto& norm : norms_) norm->link_.reset();
}

void SyncBatchNorms::end_batch(bool took_part) {
  if (link_ == nullptr) return;
  auto calls = std::move(link_->calls);
  link_->calls.clear();
  if (took_part) {
    for (auto& call : calls) call.pass.reset();
    if (!calls.empty()) link_->expected = std::move(calls);
    return;
  }
  link_->take_part_in_rest(calls);
  for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
    if (!call->has_backward || (call->pass != nullptr && !call->pass->waits)) continue;
    recorded_all_reduce(*link_->group, nothing(*call->norm, {2, call->norm->options.num_features}),
                        ExchangeKind::batch_norms);
  }
}

void SyncBatchNorms::end_forward() {
  if (link_ == nullptr) return;
  auto calls = std::move(link_->calls);
  link_->calls.clear();
  link_->take_part_in_rest(calls);
}

}  // namespace levin
