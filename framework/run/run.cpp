#include <levin/framework/run/run.h>

#include <algorithm>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/core/repeated_warnings.h>
#include <levin/framework/data/loaders_datamodule.h>
#include <levin/framework/run/step.h>

namespace levin {
namespace {

[[noreturn]] void refuse_log(std::string_view name, Stage stage) {
  throw ModuleError::contract(fmt::format("log(\"{}\")", name),
                              fmt::format("this hook of {} is outside an epoch", stage_name(stage)),
                              "log in the hooks between on_*_epoch_start and on_*_epoch_end");
}

/// Puts `other` into `sofar`, elementwise.
void combine_into(torch::Tensor& sofar, const torch::Tensor& other, Reduce how) {
  if (how == Reduce::min) {
    sofar = at::minimum(sofar, other);
  } else if (how == Reduce::max) {
    sofar = at::maximum(sofar, other);
  } else {
    sofar.add_(other);
  }
}

const StageLoaders& or_none(const std::shared_ptr<const StageLoaders>& loaders) {
  static const StageLoaders none;
  return loaders ? *loaders : none;
}

}  // namespace

const DataLoaders& Run::train_dataloader() const { return or_none(loaders_).train; }
const DataLoaders& Run::val_dataloaders() const { return or_none(loaders_).val; }
const DataLoaders& Run::test_dataloaders() const { return or_none(loaders_).test; }
const DataLoaders& Run::predict_dataloaders() const { return or_none(loaders_).predict; }

const MetricMap& Run::metrics() {
  if (active_ == nullptr) return metrics_;
  std::vector<std::string> fresh;
  for (const auto& [name, value] : active_->step_values(LoggedValues::For::callbacks, &fresh)) {
    metrics_[name] = value;
  }
  for (const auto& name : fresh) note_update(name);
  return metrics_;
}

int64_t Run::updates_of(std::string_view metric) {
  metrics();
  const auto found = updates_.find(metric);
  return found == updates_.end() ? 0 : found->second;
}

const MetricMap& Run::progress_bar_metrics() {
  if (active_ == nullptr) return progress_bar_;
  for (const auto& [name, value] : active_->step_values(LoggedValues::For::progress_bar)) {
    progress_bar_[name] = value;
  }
  return progress_bar_;
}

void Run::keep_step_values() {
  metrics();
  progress_bar_metrics();
}

void Run::log(std::string_view name, double value, LogOptions options) {
  if (active_ == nullptr) refuse_log(name, stage());
  active_->log_epoch(name, value, options);
}

void Run::log(std::string_view name, const torch::Tensor& value, LogOptions options) {
  if (active_ == nullptr) refuse_log(name, stage());
  active_->log_epoch(name, value, options);
}

void Run::log_dict(std::initializer_list<NamedValue> values, const LogOptions& options) {
  struct Take {
    Run& run;
    std::string_view name;
    const LogOptions& options;
    void operator()(double value) const { run.log(name, value, options); }
    void operator()(const torch::Tensor& value) const { run.log(name, value, options); }
    void operator()(Metric& /*metric*/) const {
      throw ModuleError::contract(fmt::format("log_dict(\"{}\")", name),
                                  "a metric with a state is logged for the rows of batches",
                                  "log it through the Step of the batches, by which it is updated");
    }
  };
  for (const auto& [name, value] : values) value.visit(Take{*this, name, options});
}

torch::Tensor Run::reduce(const torch::Tensor& own, Reduce how) {
  if (!own.defined()) {
    throw ModuleError::contract("reduce", "the tensor is undefined", "give every rank's tensor");
  }
  const at::NoGradGuard no_grad;
  const bool widens = how == Reduce::mean && !own.is_floating_point() && !own.is_complex();
  StateDict packed;
  packed.values["counts"] = place_.model_rank == 0;
  packed.tensors["own"] = own.detach().to(at::kCPU, widens ? at::kDouble : own.scalar_type());
  const auto all = ranks_->gather(checkpoint_bytes(packed));
  torch::Tensor result;
  int64_t count = 0;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const StateDict given = checkpoint_from_bytes(all[rank]);
    const torch::Tensor other = given.tensor("own");
    const bool counts = given.values.at("counts").as_bool();
    count += counts ? 1 : 0;
    if (!result.defined()) {  // rank 0, which counts
      result = other.clone();
      continue;
    }
    if (other.sizes() != result.sizes() || other.scalar_type() != result.scalar_type()) {
      throw DistributedError(fmt::format(
          "Run::reduce: rank 0 gave a tensor {} of {}, and rank {} one {} of {}; give "
          "tensors of the same shape and type on every rank",
          fmt::join(result.sizes().vec(), " x "), c10::toString(result.scalar_type()), rank,
          fmt::join(other.sizes().vec(), " x "), c10::toString(other.scalar_type())));
    }
    if (counts) combine_into(result, other, how);
  }
  if (how == Reduce::mean) result.div_(static_cast<double>(count));
  return result.to(own.device());
}

const std::vector<Logger*>& Run::loggers() const {
  static const std::vector<Logger*> kNone;
  return loggers_ != nullptr ? *loggers_ : kNone;
}

void Run::visit_training_batches(const std::function<void(const Batch&, Step&)>& visit) {
  if (!training_pass_) {
    throw ModuleError::contract(
        "visit_training_batches", "there are no training batches to read now",
        "call it in on_train_end, of a fit whose optimizer trains on batches");
  }
  training_pass_(visit);
}

void Run::stop(std::string reason) { requests_.stops.push_back({.text = std::move(reason)}); }

void Run::stop_while(std::function<std::string()> reason) {
  requests_.stops.push_back({.reason_now = std::move(reason)});
}

void Run::warn(const std::string& text, const std::string& fact) {
  if (!is_global_zero() || !warnings_.insert(fact.empty() ? text : fact).second) return;
  if (!RepeatedWarningsAreLeftOut::is_new(text)) return;
  diagnostics::print_line(stderr, fmt::format("warning: {}", text));
}

void Run::print(std::string_view text) const {
  if (is_global_zero()) diagnostics::print_line(stdout, text);
}

void Run::save(std::filesystem::path path, SaveOptions options) {
  path = expand_home(path.string(), "path");
  if (path.is_relative()) path = log_dir() / path;
  requests_.saves.push_back({std::move(path), std::move(options)});
}

bool Run::save_requested(const std::filesystem::path& path) const {
  return std::any_of(requests_.saves.begin(), requests_.saves.end(),
                     [&](const Requests::Save& save) { return save.path == path; });
}

void Run::load_weights(StateDict weights) { requests_.weights = std::move(weights); }

void Run::load_weights(const std::filesystem::path& checkpoint) {
  wait_for_saves();
  const StateDict state = load_checkpoint(checkpoint);
  naming_checkpoint(checkpoint, [&] { load_weights(module_weights(state)); });
}

void Run::accumulate(int64_t n) {
  if (n < 1) {
    throw ConfigError::invalid_value("accumulate", std::to_string(n), "must be at least 1");
  }
  requests_.accumulate = n;
}

const std::filesystem::path& Run::log_dir() {
  if (log_dir_.empty()) {
    log_dir_ = ranks_->from_rank_zero(
        "Run/log_dir", [this] { return files::create_version_folder(runs_folder_).string(); });
  }
  return log_dir_;
}

void Step::set_batch_size(int64_t size) {
  if (size < 1) {
    throw ModuleError::contract(
        fmt::format("set_batch_size({})", size), "the number isn't positive",
        "if a batch has nothing to learn from, return an undefined tensor from training_step");
  }
  batch_size_ = size;
  metrics_.set_batch_size(size);
}

void Step::refuse(std::string_view name) {
  throw ModuleError::contract(fmt::format("log(\"{}\")", name), "predict collects no metrics",
                              "return what you need from predict_step");
}

void Step::refuse_manual(const char* function) {
  throw ModuleError::contract(
      fmt::format("Step::{}", function), "the module doesn't optimize by hand",
      "override automatic_optimization to return false, and call it in training_step only");
}

torch::Tensor Step::gradient_norm() const {
  const bool is_known = gradient_norm_ != nullptr && gradient_norm_->defined();
  return is_known ? gradient_norm_->clone() : torch::Tensor();
}

std::optional<int64_t> Run::estimated_stepping_batches() const {
  return estimated_steps(progress_);
}

std::optional<int64_t> estimated_steps(const Progress& progress) {
  std::optional<int64_t> steps;
  if (progress.num_batches && progress.max_epochs) {
    const int64_t an_epoch =
        (*progress.num_batches + progress.accumulate - 1) / progress.accumulate;
    steps = an_epoch * *progress.max_epochs;
  }
  if (!progress.max_steps) return steps;
  return std::min(*progress.max_steps, steps.value_or(*progress.max_steps));
}

}  // namespace levin
