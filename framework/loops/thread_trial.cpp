#include <levin/framework/loops/thread_trial.h>

#include <algorithm>

#include <ATen/Parallel.h>

#include <levin/framework/core/files.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

// How much of the data a trial reads: enough that a step doesn't find its batch in a cache that
// training's wouldn't be in.
constexpr int64_t kBatches = 8;
constexpr size_t kBytes = size_t{64} << 20;
constexpr double kSeconds = 0.05;

/// Everything a step changes, put back at the end of the scope.
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
  MetricMap progress_bar_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> gradients_;
};

size_t bytes_of(const Batch& batch) {
  size_t bytes = 0;
  for (const auto& [name, tensor] : batch.tensors()) {
    if (tensor.defined()) bytes += tensor.nbytes();
  }
  return bytes;
}

std::vector<Batch> first_batches(const LoopParts& parts, const DataLoaders& train, int64_t most) {
  const double started = files::monotonic_seconds();
  Reader reader = train.front().open(0, 0, parts.strategy.rank_share());
  std::vector<Batch> batches;
  size_t bytes = 0;
  for (Batch batch; static_cast<int64_t>(batches.size()) < most && reader.next(batch);) {
    batch.set_loader_index(0);
    transfer(parts, batch);
    bytes += bytes_of(batch);
    batches.push_back(std::exchange(batch, {}));
    if (bytes > kBytes || files::monotonic_seconds() - started > kSeconds) break;
  }
  return batches;
}

}  // namespace

bool can_try_threads(const LoopParts& parts, Optimizers& optimizers) {
  if (parts.options.deterministic || !parts.strategy.device().is_cpu()) return false;
  if (parts.strategy.ranks().size() != 1 || optimizers.size() != 1) return false;
  return !optimizers.entries().front().optimizer->reevaluates_closure();
}

ThreadTrial try_threads(const LoopParts& parts, Optimizers& optimizers, const DataLoaders& train,
                        std::optional<int64_t> num_batches, ThreadTrialOptions options) {
  const auto candidates = thread_candidates(at::get_num_threads(), ShortWaits::are_an_option());
  if (candidates.size() < 2) return {{{.setting = candidates.front()}}};
  const HookList nobody;
  const LoopParts quiet{parts.module,  parts.data,    parts.strategy, nobody,  parts.callbacks,
                        parts.loggers, parts.options, parts.run,      nullptr, parts.threads};
  options.set = [&](ThreadSetting setting) { parts.threads->set(setting); };
  Snapshot before(parts, *optimizers.entries().front().optimizer);
  try {
    LoggedValues metrics;  // what training_step logs ends here
    metrics.begin_epoch();
    const LoggingScope logging(parts.run, &metrics);
    StepControl control(parts.run, metrics, /*on_step=*/true);
    const auto batches =
        first_batches(quiet, train, std::min(kBatches, num_batches.value_or(kBatches)));
    ThreadTrial result;
    if (!batches.empty()) {
      TrainingStep training_step(quiet, optimizers);
      size_t next = 0;
      const auto step = [&] {
        const Batch& batch = batches[next++ % batches.size()];
        metrics.begin_window();
        metrics.begin_batch(batch.rows(), 0, 1);
        control.begin(0, batch.loader_index());
        training_step.run(batch, control, batch.rows(), /*window_ends=*/true);
      };
      result = time_threads(candidates, step, options);
    }
    before.restore();
    return result;
  } catch (...) {
    before.restore();
    throw;
  }
}

}  // namespace levin
