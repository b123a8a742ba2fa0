#include <levin/framework/strategies/local_steps.h>

#include <array>
#include <span>
#include <unordered_set>
#include <utility>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/module.h>

namespace levin {
namespace {

/// The type in which tensors of type `type` are averaged. Whole numbers travel as float64.
at::ScalarType type_of_mean(at::ScalarType type) {
  return at::isFloatingType(type) && type != at::kDouble ? at::kFloat : at::kDouble;
}

void require_same_shape(const std::string& name, const torch::Tensor& saved,
                        const torch::Tensor& own) {
  if (saved.sizes() == own.sizes()) return;
  throw CheckpointError::mismatch("the weights of this rank",
                                  {fmt::format("'{}' has another shape", name)});
}

}  // namespace

struct LocalSteps::Entry {
  std::string name;
  torch::Tensor tensor;  // the module's
  bool is_buffer = false;
  torch::Tensor last{};      // after the last meeting, if the rule needs it
  torch::Tensor own{};       // this rank's, while the mean is shown
  int64_t version = 0;       // of the tensor when the mean was shown, or when the ranks met
  bool was_trained = false;  // since the last meeting, also if it is frozen now

  bool is_averaged() const {
    if (is_buffer) return !tensor.is_complex();
    return tensor.is_floating_point() && (tensor.requires_grad() || was_trained);
  }
  bool is_changed() const { return tensor._version() != version; }
  void show(const torch::Tensor& shown) {
    own = tensor.detach().clone();
    tensor.copy_(shown);
    version = tensor._version();
  }
};

LocalSteps::LocalSteps(GroupRanks& ranks, std::unique_ptr<ModelAveraging> averaging,
                       LocalStepsOptions options)
    : ranks_(ranks), averaging_(std::move(averaging)), options_(options) {}

LocalSteps::~LocalSteps() = default;

void LocalSteps::begin(Module& module) {
  entries_.clear();
  std::unordered_set<const void*> seen;  // a tied parameter has several names
  const auto add = [&](const auto& items, bool is_buffer) {
    for (const auto& item : items) {
      if (!seen.insert(item.value().unsafeGetTensorImpl()).second) continue;
      if (!is_buffer && item.value().is_complex() && item.value().requires_grad()) {
        throw ModuleError::contract("model_averaging",
                                    fmt::format("has no mean of complex numbers: '{}'", item.key()),
                                    "leave model_averaging out, or give its two parts as floats");
      }
      entries_.push_back({.name = item.key(), .tensor = item.value(), .is_buffer = is_buffer});
    }
  };
  add(module.named_parameters(), false);
  if (options_.averages_buffers) add(module.named_buffers(), true);
  averaging_->load_state_dict({});
  is_local_ = averaging_->start() == 0;
  have_begun_ = is_shown_ = is_in_step_ = false;
  steps_ = bytes_ = 0;
  rows_ = 0.0;
}

void LocalSteps::begin_step(int64_t step) {
  is_local_ = step >= averaging_->start();
  if (!is_local_ && have_begun_) {
    throw ConfigError::invalid_value(
        "start", fmt::to_string(averaging_->start()),
        fmt::format("the ranks of the checkpoint already train by themselves at step {}", step));
  }
  if (!is_local_) return;
  have_begun_ = is_in_step_ = true;
  for (auto& entry : entries_) {
    entry.was_trained = entry.was_trained || entry.tensor.requires_grad();
    // What was changed since the ranks met, such as by loaded weights, is where they start from.
    if (steps_ == 0 && entry.last.defined() && entry.is_changed()) entry.last.copy_(entry.tensor);
  }
  remember_last();  // also those of parameters that are trained only from now on
}

void LocalSteps::remember_last() {
  if (!averaging_->needs_last()) return;
  for (auto& entry : entries_) {
    if (entry.is_buffer || entry.last.defined() || !entry.is_averaged()) continue;
    const auto& tensor = entry.tensor;
    entry.last = tensor.detach().to(type_of_mean(tensor.scalar_type()), false, /*copy=*/true);
  }
}

void LocalSteps::end_step() {
  if (!is_local_) return;
  is_in_step_ = false;
  ++steps_;
  if (steps_ >= averaging_->period()) {
    recorded([this] { meet(); });
  } else if (ranks_.size() == 1 || steps_ % averaging_->flags_every() == 0) {
    recorded([this] { exchange_rows(); });
  }
}

/// Tells the profiler, if there is one, what `exchange` sends.
template <class Exchange>
void LocalSteps::recorded(const Exchange& exchange) {
  if (profiler_ == nullptr || ranks_.size() == 1) return exchange();
  // Gradients are complete, so nothing of the exchange is hidden behind backward.
  exchange_.collectives.clear();
  exchange_.ready = files::monotonic_seconds();
  exchange();
  exchange_.end = files::monotonic_seconds();
  profiler_->reduced(exchange_);
}

/// Calls `sum`, which sums `bytes` over the ranks, and counts what this rank sends.
void LocalSteps::send(int64_t bytes, const std::function<void()>& sum) {
  const int64_t sent = CommunicationLog::ring_bytes(bytes, ranks_.size());
  bytes_ += sent;
  if (profiler_ == nullptr || ranks_.size() == 1) return sum();
  const double begin = files::monotonic_seconds();
  sum();
  exchange_.collectives.push_back({begin, files::monotonic_seconds(), sent});
}

std::vector<LocalSteps::Entry*> LocalSteps::averaged() {
  std::vector<Entry*> all;
  for (auto& entry : entries_) {
    if (entry.is_averaged()) all.push_back(&entry);
  }
  return all;
}

/// Exchanges flags, and returns what this rank counts in a mean: its share of the rows.
double LocalSteps::exchange_rows() {
  std::array<double, 1> rows{rows_};
  const auto bytes = static_cast<int64_t>(sizeof(double) * (StepFlags::kNumbers + rows.size()));
  send(bytes, [&] { ranks_.exchange_flags(rows); });
  return rows[0] > 0.0 ? rows_ / rows[0] : 1.0 / static_cast<double>(ranks_.size());
}

/// Calls `visit` with the mean over ranks of each tensor that is averaged; of whole numbers, with
/// those of rank 0.
void LocalSteps::average(const Visit& visit) {
  const at::NoGradGuard no_grad;
  const double weight = exchange_rows();
  const bool is_alone = ranks_.size() == 1;
  const auto entries = averaged();
  for (size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
    const auto& first = entries[begin]->tensor;
    const auto type = type_of_mean(first.scalar_type());
    const bool is_mean = first.is_floating_point();
    std::vector<torch::Tensor> parts;
    for (size_t bytes = 0; end < entries.size() && bytes < options_.bucket_bytes; ++end) {
      const auto& tensor = entries[end]->tensor;
      if (type_of_mean(tensor.scalar_type()) != type || tensor.device() != first.device()) break;
      if (tensor.is_floating_point() != is_mean) break;
      parts.push_back(tensor.detach().reshape(-1).to(type));
      bytes += parts.back().nbytes();
    }
    auto flat = at::cat(parts);
    if (!is_alone) {
      flat.mul_(is_mean ? weight : ranks_.is_zero() ? 1.0 : 0.0);
      send(static_cast<int64_t>(flat.nbytes()), [&] { ranks_.sum_tensor(flat); });
    }
    int64_t place = 0;
    for (size_t i = begin; i < end; ++i) {
      const int64_t count = entries[i]->tensor.numel();
      visit(*entries[i], flat.narrow(0, place, count).view(entries[i]->tensor.sizes()));
      place += count;
    }
  }
}

/// All ranks go on from what the rule makes of the mean.
void LocalSteps::meet() {
  average([&](Entry& entry, const torch::Tensor& mean) {
    if (entry.is_buffer) return void(entry.tensor.copy_(mean));
    const auto next = averaging_->next(entry.name, entry.last, mean);
    entry.tensor.copy_(next);
    entry.version = entry.tensor._version();
    entry.was_trained = false;
    if (entry.last.defined()) entry.last.copy_(next);
  });
  steps_ = 0;
  rows_ = 0.0;
}

void LocalSteps::show_mean() {
  if (is_shown_ || steps_ == 0 || ranks_.size() == 1) return;
  recorded([this] { average([](Entry& entry, const torch::Tensor& mean) { entry.show(mean); }); });
  is_shown_ = true;
}

void LocalSteps::own_weights() {
  if (!std::exchange(is_shown_, false)) return;
  const at::NoGradGuard no_grad;
  for (auto& entry : entries_) {
    const auto own = std::exchange(entry.own, torch::Tensor());
    if (own.defined() && !entry.is_changed()) {
      entry.tensor.copy_(own);
    } else if (own.defined() && entry.last.defined()) {
      entry.last.copy_(entry.tensor);
    }
  }
}

StateDict LocalSteps::state_dict() const {
  StateDict state;
  if (!have_begun_) return state;
  state.values["steps"] = steps_;
  state.values["rows"] = rows_;
  StateDict own;
  StateDict last;
  for (const auto& entry : entries_) {
    const bool is_kept = steps_ > 0 && ranks_.size() > 1 &&
                         !(is_shown_ && (!entry.own.defined() || entry.is_changed()));
    if (is_kept) own.tensors[entry.name] = is_shown_ ? entry.own : entry.tensor.detach();
    if (!entry.last.defined() || ranks_.rank() != 0) continue;
    // What was changed meanwhile, such as by loaded weights, is where the ranks go on from.
    const bool has_met = steps_ == 0 && !is_in_step_;
    const bool begins_anew = entry.is_changed() && (is_shown_ ? entry.own.defined() : has_met);
    last.tensors[entry.name] =
        begins_anew ? entry.tensor.detach().to(entry.last.scalar_type()) : entry.last;
  }
  if (!own.empty()) state.add("own", std::move(own));
  if (!last.empty()) state.add("last", std::move(last));
  if (ranks_.rank() == 0) state.add("averaging", averaging_->state_dict());
  return state;
}

void LocalSteps::load_state_dict(const std::vector<StateDict>& ranks) {
  if (ranks.empty() || !ranks.front().values.contains("steps")) return;
  const at::NoGradGuard no_grad;
  const StateDict& shared = ranks.front();
  const bool are_as_many = static_cast<int64_t>(ranks.size()) == ranks_.size();
  const StateDict& mine = are_as_many ? ranks[static_cast<size_t>(ranks_.rank())] : shared;
  have_begun_ = true;
  steps_ = shared.values.at("steps").as_int();
  rows_ = are_as_many ? mine.values.at("rows").as_double() : 0.0;
  averaging_->load_state_dict(shared.child("averaging"));
  const StateDict last = shared.child("last");
  const StateDict own = are_as_many ? mine.child("own") : StateDict{};
  for (auto& entry : entries_) {
    const auto found = last.tensors.find(entry.name);
    if (averaging_->needs_last() && found != last.tensors.end()) {
      require_same_shape(entry.name, found->second, entry.tensor);
      const auto type = type_of_mean(entry.tensor.scalar_type());
      entry.last = found->second.to(entry.tensor.device(), type, false, /*copy=*/true);
      entry.version = entry.tensor._version();
    }
    const auto weights = own.tensors.find(entry.name);
    if (weights == own.tensors.end()) continue;
    require_same_shape(entry.name, weights->second, entry.tensor);
    entry.own = weights->second.to(entry.tensor.options(), false, /*copy=*/true);
    entry.version = entry.tensor._version();
    is_shown_ = true;
  }
  remember_last();
}

}  // namespace levin
