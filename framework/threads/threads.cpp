#include <levin/framework/threads/threads.h>

#include <ATen/Parallel.h>

#include <levin/framework/core/files.h>
#include <levin/framework/threads/thread_trial.h>

namespace levin {

ThreadScope::ThreadScope() : before_(at::get_num_threads()) {}

ThreadScope::~ThreadScope() { set({.threads = before_}); }

void ThreadScope::set(ThreadSetting setting) {
  if (at::get_num_threads() != setting.threads) at::set_num_threads(setting.threads);
  if (!setting.short_waits) {
    short_waits_.reset();
  } else if (!short_waits_) {
    short_waits_ = std::make_unique<ShortWaits>();
  }
}

ThreadSetting ThreadScope::setting() const {
  return {.threads = at::get_num_threads(), .short_waits = short_waits_ != nullptr};
}

int fixed_threads(const CountOrName& threads) {
  const auto* count = std::get_if<int64_t>(&threads.value);
  return count != nullptr ? static_cast<int>(*count) : 0;
}

bool wants_thread_trial(const CountOrName& threads) {
  const auto* name = std::get_if<std::string>(&threads.value);
  return name != nullptr && *name == "auto";
}

bool AutoThreads::has_choice() { return at::get_num_threads() > 1; }

std::string AutoThreads::find(const std::function<void()>& step, double steps_left) {
  const bool may_wait_shortly = ShortWaits::are_an_option();
  const auto candidates = thread_candidates(at::get_num_threads(), may_wait_shortly);
  ThreadTrialOptions options{.steps = steps_left};
  options.set = [this](ThreadSetting setting) { scope_.set(setting); };
  const ThreadTrial trial = time_threads(candidates, step, options);
  const auto best = trial.best(options.margin);
  setting_ = best.setting;
  if (may_wait_shortly && setting_.threads > 1 && !setting_.short_waits) {
    crowd_.start(best.median());
  }
  return trial.summary();
}

void AutoThreads::take(int threads) { setting_ = {.threads = threads, .short_waits = threads > 1}; }

void AutoThreads::apply() {
  if (setting_.threads == 0) setting_.threads = at::get_num_threads();
  scope_.set(setting_);
}

double AutoThreads::now() { return files::monotonic_seconds(); }

void AutoThreads::note_step(double seconds) {
  if (!crowd_.is_crowded_after(seconds)) return;
  setting_.short_waits = true;
  scope_.set(setting_);
}

}  // namespace levin
