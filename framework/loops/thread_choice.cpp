#include <levin/framework/loops/thread_choice.h>

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>
#include <levin/framework/data/training_data.h>
#include <levin/framework/tensor/divided_memory.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

// A trial reads enough data that its steps don't find their batches in a CPU cache: the batches of
// the training won't be in one either.
constexpr int64_t kBatches = 8;
constexpr size_t kBytes = size_t{64} << 20;
constexpr double kSeconds = 0.05;

/// The state that a training step changes, kept to be put back.
class Snapshot {
 public:
  Snapshot(const LoopParts& parts, Optimizer& optimizer)
      : module_(parts.module),
        optimizer_(optimizer),
        run_(parts.run),
        random_(random_state().clone()),
        weights_(parts.module.state_dict().clone()),
        optimizer_state_(optimizer.state_dict().clone()),
        requests_(parts.run.requests()),
        metrics_(parts.run.known_metrics()),
        updates_(parts.run.update_counts()),
        update_epochs_(parts.run.update_epochs()),
        progress_bar_(parts.run.known_progress_bar()) {
    for (auto& parameter : module_.parameters()) {
      gradients_.emplace_back(parameter, parameter.grad());
      parameter.mutable_grad().reset();
    }
  }
  void restore() {
    module_.load_state_dict(weights_);
    optimizer_.load_state_dict(optimizer_state_);
    for (auto& [parameter, gradient] : gradients_) parameter.mutable_grad() = gradient;
    run_.requests() = requests_;
    run_.known_metrics() = metrics_;
    run_.update_counts() = updates_;
    run_.update_epochs() = update_epochs_;
    run_.known_progress_bar() = progress_bar_;
    load_random_state(random_);
  }

 private:
  Module& module_;
  Optimizer& optimizer_;
  RunControl& run_;
  StateDict random_;
  StateDict weights_;
  StateDict optimizer_state_;
  Requests requests_;
  MetricMap metrics_;
  UpdateCounts updates_;
  UpdateCounts update_epochs_;
  MetricMap progress_bar_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> gradients_;
};

size_t bytes_of(const Batch& batch) {
  size_t bytes = 0;
  for (const auto& [name, rows] : batch.entries()) bytes += rows.nbytes();
  return bytes;
}

}  // namespace

ThreadChoice::ThreadChoice(LoopParts parts, Optimizers& optimizers, DataLoaders train,
                           std::optional<int64_t> num_batches)
    : parts_(parts),
      optimizers_(optimizers),
      train_(std::move(train)),
      num_batches_(num_batches),
      threads_(*parts.threads),
      default_(*parts.threads) {}

void ThreadChoice::choose() {
  if (wants_default_threads(parts_.options.threads)) {
    if (!parts_.strategy.device().is_cpu()) return;
    return taken_ > 0 ? default_.take(taken_) : default_.begin();
  }
  if (!wants_thread_trial(parts_.options.threads)) return;
  if (taken_ > 0) {
    threads_.take(taken_);
  } else if (can_try()) {
    try_threads();
  }
  threads_.apply();
}

void ThreadChoice::take(int threads) {
  if (fixed_threads(parts_.options.threads) == 0) taken_ = threads;
}

int ThreadChoice::threads() const {
  return std::max({taken_, threads_.setting().threads, default_.threads()});
}

ThreadSetting ThreadChoice::setting() const {
  return threads() > 0 ? parts_.threads->setting() : ThreadSetting{.threads = 0};
}

bool ThreadChoice::can_try() const {
  if (!AutoThreads::has_choice()) return false;
  if (parts_.options.deterministic.is_on() || !parts_.strategy.device().is_cpu()) return false;
  if (parts_.strategy.ranks().size() != 1 || optimizers_.size() != 1) return false;
  if (parts_.strategy.local_steps() != nullptr) return false;  // the trial's steps would count
  for (const auto& parameter : parts_.module.parameters()) {
    if (is_divided(parameter)) return false;  // the trial would put back values that aren't there
  }
  if (!parts_.module.automatic_optimization()) return false;
  return !optimizers_.entries().front().optimizer->reevaluates_closure();
}

void ThreadChoice::try_threads() {
  const HookList nobody;
  const LoopParts quiet{parts_.module,  parts_.data,    parts_.strategy, nobody,  parts_.callbacks,
                        parts_.loggers, parts_.options, parts_.run,      nullptr, parts_.threads};
  Snapshot before(parts_, *optimizers_.entries().front().optimizer);
  try {
    LoggedValues metrics;  // what training_step logs here is dropped
    metrics.begin_epoch();
    const LoggingScope logging(parts_.run, &metrics);
    StepControl control(parts_.run, metrics, /*on_step=*/true);
    const auto batches = first_batches(quiet);
    if (!batches.empty()) {
      TrainingStep training_step(quiet, optimizers_);
      size_t next = 0;
      const auto step = [&] {
        const Batch& batch = batches[next++ % batches.size()];
        metrics.begin_window();
        metrics.begin_batch(batch.rows(), 0, 1);
        control.begin(0, batch.loader_index());
        training_step.run(batch, control, batch.rows(), /*window_ends=*/true);
      };
      const std::string timings = threads_.find(step, steps_left());
      diagnostics::print(fmt::format("threads = auto: took {}; the times of a step were {}\n",
                                     counted(threads_.setting().threads, "thread"), timings));
    }
    before.restore();
  } catch (...) {
    before.restore();
    throw;
  }
}

std::vector<Batch> ThreadChoice::first_batches(const LoopParts& quiet) const {
  const int64_t most = std::min(kBatches, num_batches_.value_or(kBatches));
  const double started = files::monotonic_seconds();
  TrainingData data(train_, parts_.strategy.rank_share(), {});
  data.leave_rows_in_place(parts_.module.reads_rows_in_place());
  data.seek(0, 0);
  std::vector<Batch> batches;
  size_t bytes = 0;
  for (Batch batch; static_cast<int64_t>(batches.size()) < most && data.next(batch);) {
    transfer(quiet, batch);
    bytes += bytes_of(batch);
    batches.push_back(std::exchange(batch, {}));
    if (bytes > kBytes || files::monotonic_seconds() - started > kSeconds) break;
  }
  return batches;
}

double ThreadChoice::steps_left() const {
  const Progress& progress = parts_.run.progress();
  double steps = std::numeric_limits<double>::infinity();
  if (progress.max_steps) steps = static_cast<double>(*progress.max_steps - progress.global_step);
  if (progress.max_epochs && num_batches_) {
    const auto batches =
        static_cast<double>((*progress.max_epochs - progress.epoch) * *num_batches_);
    steps = std::min(steps, batches / static_cast<double>(progress.accumulate));
  }
  return std::max(steps, 0.0);
}

}  // namespace levin
