#include <levin/models/mlp.h>

#include <memory>
#include <typeinfo>
#include <utility>

#include <ATen/ops/dropout.h>
#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>

#include <levin/framework/core/error.h>
#include <levin/framework/pipeline/pipeline.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/models/linear.h>

namespace levin {
namespace {

void require_size(const std::string& option, int64_t size) {
  if (size < 1) {
    throw ConfigError::invalid_value(option, std::to_string(size), "must be at least 1");
  }
}

/// A layer of the net as a pipeline passes rows through it: with the activation and the dropout
/// that follow, which the last layer hasn't.
class LayerOfChainImpl : public torch::nn::Module {
 public:
  LayerOfChainImpl(torch::nn::Linear linear, const Activation* activation, double dropout)
      : linear_(register_module("linear", std::move(linear))),
        activation_(activation),
        dropout_(dropout) {}
  torch::Tensor forward(const torch::Tensor& input) {
    const auto x = linear(flatten_for(linear_->weight, input), linear_->weight, linear_->bias);
    if (activation_ == nullptr) return x;
    const auto units = activation_->function(x);
    return dropout_ > 0.0 ? at::dropout(units, dropout_, linear_->is_training()) : units;
  }

 private:
  torch::nn::Linear linear_;
  const Activation* activation_;
  double dropout_;
};
TORCH_MODULE(LayerOfChain);

}  // namespace

Fields describe(MLPOptions& o) {
  return fields_of<MLPOptions>({
      model_option("in_features", &o.in_features),
      model_option("num_classes", &o.num_classes),
      {"hidden_sizes", &o.hidden_sizes, "units of each hidden layer"},
      {"activation", &o.activation, "relu, tanh, sigmoid, gelu, leaky_relu, elu, silu or identity"},
      {"dropout", &o.dropout, "share of hidden units left out in training"},
      {"bias", &o.bias, "whether each unit has a bias"},
      model_option("learning_rate", &o.learning_rate),
      model_option("optimizer", &o.optimizer),
      model_option("l1_strength", &o.l1_strength),
      model_option("l2_strength", &o.l2_strength),
      model_option("class_weight", &o.class_weight),
      model_option("metrics", &o.metrics),
  });
}

MLP::MLP(MLPOptions options, const OptimizerList& optimizers)
    : Classifier({.num_classes = options.num_classes,
                  .learning_rate = options.learning_rate,
                  .optimizer = options.optimizer,
                  .l1_strength = options.l1_strength,
                  .l2_strength = options.l2_strength,
                  .class_weight = options.class_weight,
                  .metrics = options.metrics},
                 optimizers),
      options_(std::move(options)),
      in_features_("in_features", options_.in_features),
      activation_(find_activation(options_.activation)),
      chain_loss_(activation_) {
  if (!(options_.dropout >= 0.0 && options_.dropout < 1.0)) {
    throw ConfigError::invalid_value("dropout", std::to_string(options_.dropout),
                                     "must be at least 0 and less than 1");
  }
  for (const int64_t size : options_.hidden_sizes) require_size("hidden_sizes", size);
  make_layers();
}

/// Makes the layers, unless they are there or their sizes aren't known.
void MLP::make_layers() {
  options_.in_features = in_features_.value();
  options_.num_classes = num_classes();
  if (!layers_.empty() || !in_features_.is_known() || num_classes() == 0) return;
  auto sizes = options_.hidden_sizes;
  sizes.push_back(options_.num_classes);
  int64_t in = options_.in_features;
  for (const int64_t out : sizes) {
    const auto name = "layer" + std::to_string(layers_.size());
    layers_.push_back(register_module(
        name, torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(options_.bias))));
    layers_.back()->to(parameter_type());
    in = out;
  }
}

void MLP::prepare(const TrainingSet& train) {
  Classifier::prepare(train);
  if (!in_features_.is_given()) {
    in_features_.find(train.features().value_or(0), "set in_features to the features of a row");
  }
  make_layers();
}

void MLP::prepare_like(const Value& settings) {
  Classifier::prepare_like(settings);
  in_features_.take(settings);
  make_layers();
}

torch::Tensor MLP::forward(const torch::Tensor& input) {
  if (layers_.empty()) refuse_without_sizes("in_features and num_classes");
  if (const auto spread = pipeline()) return spread->forward(Batch({{"input", input}}));
  if (!shards().empty()) return divided_forward(input);
  auto x = flatten_for(layers_.front()->weight, input);
  for (size_t i = 0; i + 1 < layers_.size(); ++i) {
    x = activation_.function(linear(x, layers_[i]->weight, layers_[i]->bias));
    if (options_.dropout > 0.0) x = at::dropout(x, options_.dropout, is_training());
  }
  return linear(x, layers_.back()->weight, layers_.back()->bias);
}

/// Throws if ranks can't have parts of this model.
void MLP::refuse_parts(const char* ranks, const char* option) const {
  if (layers_.empty()) refuse_without_sizes("in_features and num_classes");
  if (l1_strength() != 0.0 || l2_strength() != 0.0) {
    throw ConfigError::conflict(fmt::format("l1_strength or l2_strength with {}", ranks),
                                "penalties are sums over the weights of all layers: set both to 0, "
                                "or let the optimizer decay the weights (weight_decay)");
  }
  if (typeid(*this) != typeid(MLP)) {
    throw ModuleError::contract(
        class_name(), "is a subclass of MLP, whose forward may be another",
        fmt::format("override {} for {}, too, or set {} = 1",
                    option == std::string_view("pipeline_size") ? "layers()" : "shards_of()", ranks,
                    option));
  }
}

torch::nn::Sequential MLP::layers() {
  refuse_parts("a pipeline", "pipeline_size");
  torch::nn::Sequential chain;
  for (const auto& layer : layers_) {
    const bool is_last = &layer == &layers_.back();
    chain->push_back(LayerOfChain(layer, is_last ? nullptr : &activation_, options_.dropout));
  }
  return chain;
}

bool MLP::has_closed_form() const { return typeid(*this) == typeid(MLP); }

const std::vector<ChainLayer>& MLP::chain() const {
  chain_.resize(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) chain_[i] = {layers_[i]->weight, layers_[i]->bias};
  return chain_;
}

bool MLP::uses_closed_form() const {
  return !layers_.empty() && !is_spread() && shards().empty() && has_closed_form() &&
         options_.dropout == 0.0 && !is_divided(layers_.front()->weight);
}

bool MLP::capturable() const { return typeid(*this) == typeid(MLP); }

bool MLP::reads_rows_in_place() const {
  return uses_closed_form() && !class_weights().defined() &&
         ChainLoss::reads_rows_in_place(chain());
}

torch::Tensor MLP::batch_loss(const Batch& batch, const torch::Tensor& targets) {
  if (const auto spread = pipeline()) {
    const auto mean = [this](const torch::Tensor& logits, const Batch& part) {
      return training_loss(logits, part);
    };
    const auto rows = [](const Batch& part) { return part.rows(); };
    return spread->train(batch, mean, rows, /*with_outputs=*/false).loss;
  }
  if (uses_closed_form() && !has_weights(batch)) {
    const auto& rows = batch.input_rows();
    if (ChainLoss::can_learn(rows, targets, chain())) return chain_loss_(rows, targets, chain_);
  }
  return Classifier::batch_loss(batch, targets);
}

void MLP::backward(const torch::Tensor& loss) {
  if (!chain_loss_.backward(loss)) Classifier::backward(loss);
}

Value MLP::hyper_parameters() const {
  auto options = options_;
  options.learning_rate = learning_rate();
  return to_value(describe(options));
}

}  // namespace levin
