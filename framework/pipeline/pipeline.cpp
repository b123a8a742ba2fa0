#include <levin/framework/pipeline/pipeline.h>

#include <algorithm>
#include <memory>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/profiling/communication_log.h>

namespace levin {
namespace {

namespace autograd = torch::autograd;

/// The node of a loss whose gradients are known already, so that it only scales them.
class PipelineBackward : public autograd::Node {
 public:
  explicit PipelineBackward(std::vector<torch::Tensor> gradients)
      : gradients_(std::move(gradients)) {}
  std::string name() const override { return "PipelineBackward"; }
  autograd::variable_list apply(autograd::variable_list&& outer) override {
    autograd::variable_list result(gradients_.size());
    if (!outer[0].defined()) return result;
    for (size_t i = 0; i < result.size(); ++i) {
      if (gradients_[i].defined()) result[i] = gradients_[i].mul(outer[0]);
    }
    return result;
  }

 private:
  std::vector<torch::Tensor> gradients_;
};

/// The `count` rows of a batch from row `first` on.
Batch rows_of_batch(const Batch& batch, int64_t first, int64_t count) {
  Batch part;
  for (const auto& [name, rows] : batch.entries()) {
    part.entries().emplace_back(name, rows.narrow(first, count));
  }
  if (!batch.row_ids().empty()) {
    const auto begin = batch.row_ids().begin() + first;
    part.row_ids().assign(begin, begin + count);
  }
  part.set_loader_index(batch.loader_index());
  return part;
}

at::Device device_of_chain(const torch::nn::Sequential& layers) {
  const auto parameters = layers->parameters();
  return parameters.empty() ? at::Device(at::kCPU) : parameters.front().device();
}

}  // namespace

Pipeline::Pipeline(ProcessGroup& group, torch::nn::Sequential layers,
                   const PipelineOptions& options, Heartbeat* heartbeat, Profiler* profiler,
                   torch::nn::Module* owner)
    : group_(group),
      device_(device_of_chain(layers)),
      schedule_(options.schedule, {.ranks = group.world_size(),
                                   .chunks = options.chunks,
                                   .micro_batches = options.micro_batches}),
      layers_(std::move(layers), schedule_.stages(), owner),
      messages_(group, heartbeat),
      profiler_(profiler) {
  layers_.keep([&](int64_t stage) { return schedule_.rank_of(stage) == group_.rank(); });
  if (profiler_ != nullptr) batch_.scheduled_bubble = schedule_.cost().bubble;
}

Pipeline::Figures Pipeline::figures() const {
  Figures result = figures_;
  result.messages = messages_.figures().messages;
  result.bytes = messages_.figures().bytes;
  return result;
}

void Pipeline::restore() {
  layers_.restore([&](const torch::Tensor& tensor, int64_t stage) {
    const at::NoGradGuard no_grad;
    messages_.broadcast(tensor, schedule_.rank_of(stage));
  });
}

size_t Pipeline::chunk_of(int64_t stage) const {
  return static_cast<size_t>(stage / schedule_.sizes().ranks);
}

int64_t Pipeline::rows_of(const PipelineAction& action) const {
  return parts_[static_cast<size_t>(action.micro_batch)].rows();
}

Pipeline::Trained Pipeline::train(const Batch& batch, const Loss& loss, const Count& count,
                                  bool with_outputs) {
  const double start = files::monotonic_seconds();
  const auto before = messages_.figures();
  begin(batch, /*trains=*/true);
  loss_ = &loss;
  keeps_outputs_ = with_outputs;
  double total = 0.0;
  for (const auto& part : parts_) {
    weights_.push_back(part.rows() > 0 ? static_cast<double>(count(part)) : 0.0);
    total += weights_.back();
  }
  for (auto& weight : weights_) weight /= total;
  run(schedule_.actions(group_.rank()));
  Trained trained;
  trained.loss = ready_loss();
  if (with_outputs) trained.outputs = outputs_everywhere(batch.rows());
  parts_.clear();
  outputs_.clear();
  ++figures_.batches;
  const double end = files::monotonic_seconds();
  const auto& after = messages_.figures();
  figures_.seconds += end - start;
  figures_.waiting += after.waiting - before.waiting;
  if (profiler_ != nullptr) {
    batch_.begin = start;
    batch_.end = end;
    batch_.waiting = after.waiting - before.waiting;
    batch_.messages = after.messages - before.messages;
    batch_.bytes = after.bytes - before.bytes;
    profiler_->pipelined(batch_);
  }
  return trained;
}

torch::Tensor Pipeline::forward(const Batch& batch) {
  const at::NoGradGuard no_grad;
  begin(batch, /*trains=*/false);
  keeps_outputs_ = true;
  auto actions = schedule_.actions(group_.rank());
  std::erase_if(actions, [](const PipelineAction& action) {
    return action.kind == PipelineAction::Kind::backward;
  });
  const int64_t before = messages_.figures().bytes;
  run(actions);
  const double ready = files::monotonic_seconds();
  auto outputs = outputs_everywhere(batch.rows());
  const double end = files::monotonic_seconds();
  group_.exchanges().add({.kind = ExchangeKind::outputs,
                          .begin = ready,
                          .end = end,
                          .waiting = end - ready,
                          .bytes = messages_.figures().bytes - before});
  parts_.clear();
  outputs_.clear();
  return outputs;
}

void Pipeline::begin(const Batch& batch, bool trains) {
  trains_ = trains;
  batch_.passes.clear();
  batch_.for_outputs = batch_.for_gradients = 0.0;
  const int64_t count = schedule_.sizes().micro_batches;
  const int64_t rows = batch.rows();
  parts_.clear();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = rows * i / count;
    parts_.push_back(rows_of_batch(batch, first, rows * (i + 1) / count - first));
  }
  weights_.clear();
  outputs_.assign(parts_.size(), {});
  loss_sum_.reset();
  held_.clear();
  parameters_.clear();
  gradients_.clear();
  if (!trains) return;
  for (int64_t stage = group_.rank(); stage < schedule_.stages();
       stage += schedule_.sizes().ranks) {
    parameters_.push_back(layers_.trained_parameters(stage));
    gradients_.emplace_back(parameters_.back().size());
  }
}

/// Makes the passes. The next message is asked for before a pass begins, so that it travels
/// meanwhile. A micro-batch without rows is left out by all ranks.
void Pipeline::run(const std::vector<PipelineAction>& all) {
  auto actions = all;
  std::erase_if(actions, [&](const PipelineAction& action) { return rows_of(action) == 0; });
  for (size_t i = 0; i < actions.size(); ++i) {
    expect(actions[i], /*may_wait=*/true);
    if (i + 1 < actions.size()) expect(actions[i + 1], /*may_wait=*/false);
    if (actions[i].kind == PipelineAction::Kind::forward) {
      forward_pass(actions[i]);
    } else {
      backward_pass(actions[i]);
    }
    figures_.most_kept = std::max(figures_.most_kept, messages_.kept());
  }
  messages_.wait_for_sends();
}

void Pipeline::note_beginning(const PipelineAction& action) {
  if (profiler_ == nullptr || !trains_) return;
  batch_.passes.push_back({.begin = files::monotonic_seconds(),
                           .is_forward = action.kind == PipelineAction::Kind::forward,
                           .stage = action.stage,
                           .micro_batch = action.micro_batch});
}

void Pipeline::note_end() {
  if (profiler_ != nullptr && trains_) batch_.passes.back().end = files::monotonic_seconds();
}

void Pipeline::forward_pass(const PipelineAction& action) {
  const auto micro_batch = static_cast<size_t>(action.micro_batch);
  const Batch& part = parts_[micro_batch];
  Held held;
  held.input = action.stage == 0 ? part.input() : take(action);
  note_beginning(action);
  if (trains_ && action.stage > 0) held.input = held.input.detach().requires_grad_();
  held.output = layers_.forward(action.stage, held.input);
  if (!held.output.defined() || !held.output.is_floating_point() || held.output.dim() == 0 ||
      held.output.size(0) != part.rows()) {
    throw ModuleError::contract(
        "layers",
        fmt::format("stage {} returned {} for {} rows", action.stage,
                    held.output.defined() ? fmt::format("{} {}", c10::str(held.output.sizes()),
                                                        c10::toString(held.output.scalar_type()))
                                          : "nothing",
                    part.rows()),
        "in a pipeline, every layer returns a floating-point tensor [rows, ...]");
  }
  const auto output = held.output.detach();
  if (trains_ && is_last(action.stage)) held.output = weighted_loss(held.output, micro_batch);
  note_end();
  if (!is_last(action.stage)) {
    announce(action.stage + 1, output);
    hand_on(action, output);
  } else if (keeps_outputs_) {
    outputs_[micro_batch] = output;
  }
  if (!trains_) return;
  held_[{action.stage, action.micro_batch}] = std::move(held);
  figures_.most_held = std::max(figures_.most_held, static_cast<int64_t>(held_.size()));
}

/// The loss of a micro-batch times its share of the batch.
torch::Tensor Pipeline::weighted_loss(const torch::Tensor& outputs, size_t micro_batch) {
  const auto loss = (*loss_)(outputs, parts_[micro_batch]);
  if (!loss.defined() || loss.numel() != 1 || !loss.requires_grad()) {
    throw ModuleError::contract("the loss of a pipeline",
                                !loss.defined()     ? "is undefined"
                                : loss.numel() != 1 ? fmt::format("has {} elements", loss.numel())
                                                    : std::string("has no graph"),
                                "return the mean over the rows of the outputs that it is given");
  }
  const auto weighted = loss.reshape({}) * weights_[micro_batch];
  const auto value = weighted.detach().to(at::kDouble);
  loss_sum_ = loss_sum_.defined() ? loss_sum_ + value : value;
  return weighted;
}

void Pipeline::backward_pass(const PipelineAction& action) {
  const Held held = held_.extract({action.stage, action.micro_batch}).mapped();
  const auto outer = is_last(action.stage) ? at::ones_like(held.output.detach()) : take(action);
  note_beginning(action);
  const size_t chunk = chunk_of(action.stage);
  const bool sends = action.stage > 0;
  autograd::variable_list inputs;
  if (sends) inputs.push_back(held.input);
  const auto& parameters = parameters_[chunk];
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  autograd::variable_list found(inputs.size());
  if (held.output.requires_grad() && !inputs.empty()) {
    found = autograd::grad({held.output}, inputs, {outer}, /*retain_graph=*/false,
                           /*create_graph=*/false, /*allow_unused=*/true);
  }
  note_end();
  const at::NoGradGuard no_grad;
  if (sends) {
    hand_on(action, found[0].defined() ? found[0].to(held.input.scalar_type())
                                       : at::zeros_like(held.input.detach()));
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& gradient = found[i + (sends ? 1 : 0)];
    if (!gradient.defined()) continue;
    auto& sum = gradients_[chunk][i];
    sum = sum.defined() ? sum + gradient : gradient;
  }
}

/// The loss of the batch on all ranks, whose node in the graph has this rank's gradients.
torch::Tensor Pipeline::ready_loss() {
  const bool has_it = loss_sum_.defined();
  auto loss = has_it ? loss_sum_ : at::empty({}, at::TensorOptions(device_).dtype(at::kDouble));
  {
    const at::NoGradGuard no_grad;
    messages_.broadcast(loss, schedule_.rank_of(schedule_.stages() - 1));
  }
  std::vector<torch::Tensor> gradients;
  autograd::edge_list edges;
  for (size_t chunk = 0; chunk < parameters_.size(); ++chunk) {
    for (size_t i = 0; i < parameters_[chunk].size(); ++i) {
      edges.push_back(autograd::impl::gradient_edge(parameters_[chunk][i]));
      gradients.push_back(std::move(gradients_[chunk][i]));
    }
  }
  const auto node = std::make_shared<PipelineBackward>(std::move(gradients));
  node->set_next_edges(std::move(edges));
  autograd::set_history(loss, node);
  return loss;
}

/// The outputs of all micro-batches, [rows, ...], on every rank.
torch::Tensor Pipeline::outputs_everywhere(int64_t rows) {
  const at::NoGradGuard no_grad;
  const int64_t stages = schedule_.stages();
  torch::Tensor all;
  if (schedule_.rank_of(stages - 1) == group_.rank()) {
    std::erase_if(outputs_, [](const torch::Tensor& one) { return !one.defined(); });
    all = at::cat(outputs_);
    announce(stages, all);
  } else {
    const Layout* layout = layout_into(stages, /*may_wait=*/true);
    std::vector<int64_t> sizes{rows};
    sizes.insert(sizes.end(), layout->row.begin(), layout->row.end());
    all = at::empty(sizes, at::TensorOptions(device_).dtype(layout->type));
  }
  messages_.broadcast(all, schedule_.rank_of(stages - 1));
  return all;
}

}  // namespace levin
