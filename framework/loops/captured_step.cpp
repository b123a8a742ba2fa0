#include <levin/framework/loops/captured_step.h>

#include <algorithm>

#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr int64_t kWarmUp = 3;

Optimizer* first_of(Optimizers& optimizers) {
  return optimizers.empty() ? nullptr : optimizers.entries().front().optimizer.get();
}

/// Whether the rows may be copied over each other, as they lie in memory.
bool has_same_form(const Rows& a, const Rows& b) {
  const auto& x = a.source();
  const auto& y = b.source();
  return a.is_whole() && b.is_whole() && a.scale() == b.scale() && x.sizes() == y.sizes() &&
         x.scalar_type() == y.scalar_type() && x.device() == y.device();
}

}  // namespace

CapturedStep::CapturedStep(LoopParts parts, Optimizers& optimizers, TrainingData& data,
                           TrainingStep& training_step, LoggedValues& metrics, StepControl& step)
    : parts_(parts),
      optimizer_(first_of(optimizers)),
      data_(data),
      training_step_(training_step),
      metrics_(metrics),
      step_(step) {
  const auto found = parts_.options.cuda_graph == "off" ? "it is off" : obstacle();
  is_on_ = found.empty();
  if (!is_on_ && parts_.options.cuda_graph == "on") {
    throw ConfigError::conflict("cuda_graph = on, but " + found,
                                "set cuda_graph to auto or off, or remove what stands in its way");
  }
}

/// Why steps can't be captured; empty if nothing is known that speaks against it.
std::string CapturedStep::obstacle() const {
  if (parts_.strategy.make_graph() == nullptr) {
    return fmt::format("the device {} has no graphs with this strategy",
                       parts_.strategy.device().str());
  }
  if (!parts_.module.capturable()) return "the module doesn't say that it is capturable()";
  if (!parts_.module.automatic_optimization()) return "the module optimizes by hand";
  if (optimizer_ == nullptr || optimizer_->reevaluates_closure()) {
    return "a step has no optimizer, or one that evaluates its closure again";
  }
  if (parts_.profiler != nullptr) return "a profiler measures the parts of a step";
  if (parts_.options.accumulate_grad_batches > 1) {
    constexpr const char* kWindows = "gradients are accumulated over batches, and ";
    if (parts_.options.data_on_device == "off") {
      return fmt::format("{}data_on_device = off keeps these elsewhere", kWindows);
    }
    if (parts_.hooks.has_callback(BatchHook::train_batch_end)) {
      return fmt::format("{}a callback has a hook after each", kWindows);
    }
  }
  if (parts_.options.detect_anomaly) return "detect_anomaly looks at each operation";
  for (const auto hook :
       {BatchHook::train_batch_start, BatchHook::before_zero_grad, BatchHook::before_backward,
        BatchHook::after_backward, BatchHook::before_optimizer_step}) {
    if (parts_.hooks.has_callback(hook)) return "a callback has a hook inside the step";
  }
  return {};
}

bool CapturedStep::may_record() const {
  return is_on_ && eager_steps_ >= kWarmUp && optimizer_->is_capturable();
}

/// Whether the graphs still do what a step would do that isn't captured.
bool CapturedStep::is_up_to_date() const {
  if (!optimizer_->update_captured()) return false;
  return std::all_of(learned_.begin(), learned_.end(), [](const Parameter& parameter) {
    return parameter.tensor.const_data_ptr() == parameter.memory &&
           parameter.tensor.requires_grad() == parameter.requires_grad;
  });
}

void CapturedStep::forget() {
  single_ = {};
  many_ = {};
  learned_.clear();
  lent_.clear();
  has_gradients_ = nullptr;
}

void CapturedStep::begin_epoch() {
  if (!is_on_) return;
  std::vector<bool> modes;
  for (const auto& layer : parts_.module.modules(/*include_self=*/false)) {
    modes.push_back(layer->is_training());
  }
  modes.push_back(parts_.module.is_training());
  if (modes == modes_) return;
  modes_ = std::move(modes);
  forget();
}

bool CapturedStep::is_ready() {
  if (single_.graph != nullptr && (window_ != window() || !is_up_to_date())) forget();
  return is_on_ && training_step_.window_batches() == 0 &&
         (single_.graph != nullptr || may_record());
}

/// Whether graphs make their batches themselves.
bool CapturedStep::makes_batches() const {
  return data_.can_record() && !converts_ && leaves_batches(parts_);
}

int64_t CapturedStep::next(int64_t quiet) {
  if (!is_ready() || !makes_batches()) return 0;
  if (window() > 1 && quiet == 0) return 0;
  const int64_t full_windows = data_.full_batches_left() / window();
  if (full_windows == 0) return 0;
  const bool is_first = single_.graph == nullptr;
  const int64_t many = std::max<int64_t>(1, kMany / window());
  const int64_t steps = !is_first && std::min(quiet, full_windows) >= many ? many : 1;
  if (is_first) data_.begin_recording(batch_);
  for (int64_t i = 0; i < steps * window(); ++i) data_.next_recorded();
  Graph& graph = steps > 1 ? many_ : single_;
  if (graph.graph == nullptr) {
    record(graph, steps, data_.global_rows(), /*from_resident_data=*/true);
  }
  return steps;
}

bool CapturedStep::takes(const Batch& batch) {
  const bool is_full = batch.rows() > 0 && batch.rows() == data_.global_rows();
  if (!is_ready() || window() > 1 || !is_full) return false;
  if (makes_batches()) return false;
  const auto& entries = batch.entries();
  for (const auto& [name, rows] : entries) {
    if (rows.is_sparse()) return false;  // each batch has another number of entries
  }
  if (single_.graph == nullptr) {
    batch_ = Batch();
    for (const auto& [name, rows] : entries) {
      batch_.entries().emplace_back(name, rows.like());
    }
  }
  auto& own = batch_.entries();
  if (own.size() != entries.size()) return false;
  for (size_t i = 0; i < own.size(); ++i) {
    const bool fits =
        own[i].first == entries[i].first && has_same_form(own[i].second, entries[i].second);
    if (!fits) return false;
  }
  for (size_t i = 0; i < own.size(); ++i) {
    own[i].second.source().copy_(entries[i].second.source(), /*non_blocking=*/true);
  }
  batch_.row_ids() = batch.row_ids();
  batch_.set_loader_index(batch.loader_index());
  if (single_.graph == nullptr) record(single_, 1, batch.rows(), /*from_resident_data=*/false);
  return true;
}

void CapturedStep::record(Graph& graph, int64_t steps, int64_t rows, bool from_resident_data) {
  graph.graph = parts_.strategy.make_graph();
  window_ = window();
  const auto work = [this, &graph, steps, rows, from_resident_data] {
    training_step_.set_recorded(true);
    for (int64_t i = 0; i < steps * window_; ++i) {
      const bool window_ends = (i + 1) % window_ == 0;
      if (from_resident_data) data_.record(batch_);
      metrics_.begin_recorded(rows, /*is_first=*/i % window_ == 0);
      training_step_.run(batch_, step_, rows, window_ends);
      if (window_ends) metrics_.end_recorded();
    }
    graph.loss = training_step_.loss();
    graph.gradient_norm = training_step_.gradient_norm();
    training_step_.set_recorded(false);
  };
  metrics_.begin_window();
  metrics_.begin_recording(parts_.strategy.device());
  try {
    graph.graph->record(work);
  } catch (const Error&) {
    metrics_.drop_recorded();
    throw;
  } catch (const c10::Error& error) {
    metrics_.drop_recorded();
    throw ModuleError::contract(
        "capturable",
        fmt::format("is true, but the step can't be captured in a CUDA graph: {}",
                    plain_message(error)),
        "let no step read a number from the GPU (item, a condition on a tensor), return false, or "
        "set cuda_graph = off");
  }
  if (learned_.empty()) {
    for (const auto& parameter : parts_.module.parameters()) {
      learned_.push_back({parameter, parameter.const_data_ptr(), parameter.requires_grad()});
    }
  }
  for (const auto& parameter : optimizer_->stepped()) {
    if (parameter.grad().defined()) graph.gradients.emplace_back(parameter, parameter.grad());
  }
  has_gradients_ = &graph;
}

int64_t CapturedStep::run(int64_t steps) {
  metrics_.prepare_recorded();
  last_ = steps > 1 ? &many_ : &single_;
  last_->graph->replay();
  if (last_->gradient_norm.defined()) training_step_.set_gradient_norm(last_->gradient_norm);
  if (has_gradients_ != last_) use_gradients_of(*last_);
  return steps - training_step_.take_skipped(steps);
}

void CapturedStep::use_gradients_of(const Graph& graph) {
  for (const auto& [parameter, gradient] : graph.gradients) parameter.mutable_grad() = gradient;
  has_gradients_ = &graph;
}

void CapturedStep::note_eager_step(bool stepped) {
  eager_steps_ += stepped ? 1 : 0;
  has_gradients_ = nullptr;
}

void CapturedStep::lend() {
  lent_.clear();
  if (loss().defined()) lent_.push_back({loss()});
  for (const auto& [name, entry] : batch_.entries()) {
    if (entry.is_whole()) lent_.push_back({entry.source()});
  }
  for (auto& lent : lent_) {
    lent.references = lent.tensor.use_count();
    lent.memory_references = lent.tensor.storage().use_count();
  }
}

void CapturedStep::check_kept() {
  for (const auto& lent : lent_) {
    if (lent.tensor.use_count() <= lent.references &&
        lent.tensor.storage().use_count() <= lent.memory_references) {
      continue;
    }
    if (parts_.options.cuda_graph == "on") {
      throw ModuleError::contract(
          "on_train_batch_end",
          "keeps a tensor of the batch or the loss, which the next captured "
          "step writes again",
          "keep a clone() of it, or set cuda_graph to auto or off");
    }
    is_on_ = false;
    forget();
    return;
  }
}

}  // namespace levin
