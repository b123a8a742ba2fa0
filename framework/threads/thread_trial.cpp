#include <levin/framework/threads/thread_trial.h>

#include <sys/resource.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

constexpr size_t kRounds = 9;
constexpr size_t kLeastRounds = 2;      // are run, however long they take
constexpr size_t kAgreeing = 3;         // rounds in a row that make a trial end early
constexpr int kFirstSteps = 3;          // before a candidate counts as hopeless
constexpr double kLeastTrial = 0.02;    // seconds: shorter ones are noise
constexpr double kFarBehind = 1.5;      // times the best one's time, over rounds
constexpr double kHopeless = 4.0;       // times the best one's time, in the first steps
constexpr double kSlowStep = 0.02;      // seconds: such steps need no warm-up before a round
constexpr double kToTellACrowd = 0.01;  // seconds: a busy system takes a core away every few ms

int64_t involuntary_switches() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

/// Makes one trial.
class Rounds {
 public:
  Rounds(const std::vector<ThreadSetting>& candidates, const std::function<void()>& step,
         ThreadTrialOptions options)
      : step_(step), options_(std::move(options)) {
    if (!options_.clock) options_.clock = files::monotonic_seconds;
    if (!options_.lost_cores) options_.lost_cores = involuntary_switches;
    for (const auto& setting : candidates) timings_.push_back({.setting = setting});
    share_ = options_.seconds / static_cast<double>(timings_.size());
  }

  ThreadTrial run() {
    started_ = options_.clock();
    warm_up();
    for (size_t round = 0; round < kRounds && racing_.size() > 1; ++round) {
      if (round >= kLeastRounds && options_.clock() - started_ >= seconds_) break;
      for (const size_t i : racing_) time(timings_[i]);
      std::reverse(racing_.begin(), racing_.end());  // so that a drift favours no candidate
      note_winner();
      if (round + 1 >= kLeastRounds) drop_far_behind();
      if (agreeing_ >= kAgreeing) break;
    }
    if (racing_.size() == 1 && timings_[racing_[0]].seconds_a_step.empty()) {
      timings_[racing_[0]].seconds_a_step.push_back(quickest_);
    }
    return {std::move(timings_)};
  }

 private:
  /// Runs the first steps of each candidate. Their times don't count, because LibTorch starts
  /// threads and chooses kernels in them. Candidates that aren't hopelessly slow take part in the
  /// rounds.
  void warm_up() {
    quickest_ = std::numeric_limits<double>::infinity();
    std::vector<double> firsts(timings_.size(), quickest_);
    const auto warm_up_one = [&](size_t i) {
      options_.set(timings_[i].setting);
      timings_[i].tried = true;
      firsts[i] = first_steps();
      quickest_ = std::min(quickest_, firsts[i]);
      if (i == 0) plan(firsts[i]);
    };
    const int64_t lost_before = options_.lost_cores();
    for (size_t i = 0; i < timings_.size(); ++i) {
      if (!may_spin(i)) warm_up_one(i);
    }
    if (!timings_.empty() && may_spin(timings_.size() - 1) && !is_crowded(lost_before)) {
      for (size_t i = 0; i < timings_.size(); ++i) {
        if (may_spin(i)) warm_up_one(i);
      }
    }
    for (size_t i = 0; i < timings_.size(); ++i) {
      if (firsts[i] <= kHopeless * quickest_) racing_.push_back(i);
    }
    slow_ = quickest_ >= kSlowStep;
  }

  /// Whether candidate `i` lets threads keep their cores while they wait: the one before it has the
  /// same number of threads with short waits.
  bool may_spin(size_t i) const {
    return i > 0 && timings_[i - 1].setting.short_waits && !timings_[i].setting.short_waits;
  }

  /// Whether other programs have wanted the cores since the trial began. Runs steps until enough
  /// time has passed to tell.
  bool is_crowded(int64_t lost_before) {
    while (options_.clock() - started_ < kToTellACrowd) step_();
    const double seconds = options_.clock() - started_;
    return static_cast<double>(options_.lost_cores() - lost_before) * kToTellACrowd >= seconds;
  }

  /// Runs the first steps of a candidate and returns the time of the quickest. There are two, and a
  /// third one if both were hopelessly slow; there is only one if it used up the candidate's share
  /// of the time.
  double first_steps() {
    const double before = options_.clock();
    double quickest = std::numeric_limits<double>::infinity();
    double spent = 0.0;
    for (int i = 0; i < kFirstSteps && (i == 0 || spent < share_); ++i) {
      step_();
      const double now = options_.clock() - before;
      quickest = std::min(quickest, now - spent);
      spent = now;
      if (i > 0 && quickest <= kHopeless * quickest_) break;
    }
    return quickest;
  }

  /// Decides how long the trial may take, from the time of the first candidate's step.
  void plan(double step) {
    const double of_run = options_.share_of_run * step * options_.steps;
    seconds_ = std::min(std::max(of_run, kLeastTrial), options_.seconds);
    share_ = seconds_ / static_cast<double>(timings_.size());
  }

  void time(ThreadTrial::Timing& timing) {
    options_.set(timing.setting);
    if (!slow_) step_();  // LibTorch makes or ends threads here
    const double started = options_.clock();
    double spent = 0.0;
    int64_t steps = 0;
    do {
      step_();
      ++steps;
      spent = options_.clock() - started;
    } while (spent < share_ / kRounds);
    timing.seconds_a_step.push_back(spent / static_cast<double>(steps));
  }

  /// Counts how many rounds in a row, each judged by itself, had the same winner.
  void note_winner() {
    ThreadTrial last;
    for (size_t i = 0; i < timings_.size(); ++i) {
      if (std::find(racing_.begin(), racing_.end(), i) == racing_.end()) continue;
      last.timings.push_back({timings_[i].setting, {timings_[i].seconds_a_step.back()}});
    }
    const ThreadSetting winner = last.best(options_.margin).setting;
    agreeing_ = agreeing_ > 0 && winner == winner_ ? agreeing_ + 1 : 1;
    winner_ = winner;
  }

  void drop_far_behind() {
    double best = timings_[racing_.front()].median();
    for (const size_t i : racing_) best = std::min(best, timings_[i].median());
    std::erase_if(racing_, [&](size_t i) { return timings_[i].median() > kFarBehind * best; });
  }

  const std::function<void()>& step_;
  ThreadTrialOptions options_;
  std::vector<ThreadTrial::Timing> timings_;
  std::vector<size_t> racing_;  // candidates not dropped
  bool slow_ = false;
  double started_ = 0.0;
  double seconds_ = 0.0;   // for the whole trial
  double share_ = 0.0;     // for one candidate
  double quickest_ = 0.0;  // of all first steps
  ThreadSetting winner_{};
  size_t agreeing_ = 0;
};

}  // namespace

std::vector<ThreadSetting> thread_candidates(int most, bool short_waits) {
  std::vector<ThreadSetting> result{{.threads = 1}};
  for (int threads = 2; threads / 2 < most; threads *= 2) {
    const int count = std::min(threads, most);
    if (short_waits) result.push_back({.threads = count, .short_waits = true});
    result.push_back({.threads = count});
  }
  return result;
}

double ThreadTrial::Timing::median() const {
  std::vector<double> sorted = seconds_a_step;
  if (sorted.empty()) return std::numeric_limits<double>::infinity();
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : 0.5 * (sorted[middle - 1] + sorted[middle]);
}

ThreadTrial::Timing ThreadTrial::best(double margin) const {
  if (timings.empty()) return {};
  const Timing* best = &timings.front();
  for (const auto& timing : timings) {
    if (timing.median() < (1.0 - margin) * best->median()) best = &timing;
  }
  return *best;
}

std::string ThreadTrial::summary() const {
  const bool told_apart = std::any_of(timings.begin(), timings.end(), [](const Timing& timing) {
    return timing.setting.short_waits;
  });
  std::string text;
  for (const auto& timing : timings) {
    const auto& [threads, short_waits, sharing] = timing.setting;
    text +=
        fmt::format("{}{}{}: ", text.empty() ? "" : ", ", counted(threads, "thread"),
                    told_apart && threads > 1 && !short_waits ? " that spin while they wait" : "");
    if (timing.seconds_a_step.empty()) {
      text += timing.tried ? fmt::format("more than {:g} times as long as the fastest", kHopeless)
                           : std::string("not tried because other programs use the cores");
    } else {
      text += fmt::format("{:.1f} us", 1e6 * timing.median());
    }
  }
  return text;
}

ThreadTrial time_threads(const std::vector<ThreadSetting>& candidates,
                         const std::function<void()>& step, ThreadTrialOptions options) {
  return Rounds(candidates, step, std::move(options)).run();
}

}  // namespace levin
