#include <levin/framework/threads/threads.h>

#include <algorithm>

#include <ATen/Parallel.h>

#include <levin/framework/core/files.h>
#include <levin/framework/threads/thread_trial.h>

namespace levin {
namespace {

// LibTorch's operations are shared if that takes at most this share of the time of one thread. What
// is gained must be clear: threads that share also take cores from other programs.
constexpr double kPays = 0.75;

}  // namespace

ThreadScope::ThreadScope() : before_(at::get_num_threads()) {}

ThreadScope::~ThreadScope() { set({.threads = before_, .sharing = 1}); }

void ThreadScope::set(ThreadSetting setting) {
  if (at::get_num_threads() != setting.threads) at::set_num_threads(setting.threads);
  if (!setting.short_waits) {
    short_waits_.reset();
  } else if (!short_waits_) {
    short_waits_ = std::make_unique<ShortWaits>();
  }
  const int helpers = (setting.sharing > 0 ? setting.sharing : setting.threads) - 1;
  if (helpers == (helpers_ ? helpers_->count() : 0)) return;
  helpers_.reset();
  if (helpers > 0) helpers_ = std::make_unique<HelperThreads>(helpers);
}

ThreadSetting ThreadScope::setting() const {
  const int threads = at::get_num_threads();
  const int sharing = helpers_ ? helpers_->count() + 1 : 1;
  return {.threads = threads,
          .short_waits = short_waits_ != nullptr,
          .sharing = sharing == threads ? 0 : sharing};
}

void DefaultThreads::begin() {
  const int all = scope_.most();
  is_open_ = all > 1;
  scope_.set({.threads = all, .short_waits = all > 1});
}

void DefaultThreads::take(int threads) {
  is_open_ = false;
  threads_ = threads;
  scope_.set({.threads = threads,
              .short_waits = threads > 1,
              .sharing = std::max(threads, scope_.most())});
}

void DefaultThreads::decide(const StepWork& work) {
  const int all = scope_.most();
  const bool pays = work.seconds(all) < kPays * work.seconds(1);
  take(pays ? all : 1);
}

int fixed_threads(const CountOrName& threads) {
  const auto* count = std::get_if<int64_t>(&threads.value);
  return count != nullptr ? static_cast<int>(*count) : 0;
}

bool wants_default_threads(const CountOrName& threads) {
  const auto* name = std::get_if<std::string>(&threads.value);
  return name != nullptr && name->empty();
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
