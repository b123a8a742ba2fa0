#include <algorithm>
#include <limits>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <levin/framework/core/files.h>
#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/loops/thread_trial.h>

// What `threads = "auto"` does in a fit: a trial before the first step, its choice kept in
// checkpoints, and a look at whether the machine stays as it was.

namespace levin {

void FitLoop::choose_threads() {
  if (!wants_thread_trial(parts_.options.threads)) return;
  // Among several ranks each has its share of the cores already (OMP_NUM_THREADS).
  const bool alone = parts_.strategy.ranks().size() == 1;
  if (alone && threads_.threads == 0 && can_try_threads(parts_, optimizers_)) {
    const ThreadTrialOptions options{.steps = steps_left()};
    const ThreadTrial trial = try_threads(parts_, optimizers_, train_, num_batches_, options);
    const auto best = trial.best(options.margin);
    threads_ = best.setting;
    if (ShortWaits::are_an_option() && threads_.threads > 1 && !threads_.short_waits) {
      crowd_.start(best.median());
    }
    if (parts_.run.is_global_zero()) {
      fmt::print(stderr, "threads: {} (a step with {})\n", threads_.threads, trial.summary());
    }
  }
  if (threads_.threads == 0) threads_.threads = at::get_num_threads();
  parts_.threads->set(threads_);
}

/// Threads that keep their cores while they wait are for a machine of one's own, as the trial found
/// it. How they wait changes no bits: it may change at any step.
bool FitLoop::run_watched(const Batch& batch, bool window_ends) {
  const double before = files::monotonic_seconds();
  const bool stepped = training_step_.run(batch, step_, data_.global_rows(), window_ends);
  if (crowd_.is_crowded_after(files::monotonic_seconds() - before)) {
    threads_.short_waits = true;
    parts_.threads->set(threads_);
  }
  return stepped;
}

double FitLoop::steps_left() const {
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
