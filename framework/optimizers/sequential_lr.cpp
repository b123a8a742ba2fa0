#include <levin/framework/optimizers/sequential_lr.h>

#include <algorithm>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>
#include <levin/framework/optimizers/scheduler_list.h>

namespace levin {
namespace {

std::vector<std::unique_ptr<Scheduler>> made_by_name(const std::vector<NamedSettings>& choices,
                                                     const SchedulerList& known) {
  std::vector<std::unique_ptr<Scheduler>> made;
  for (const auto& choice : choices) {
    made.push_back(known.make(choice.name, choice.settings));
  }
  return made;
}

}  // namespace

Fields describe(SequentialLROptions& o) {
  return fields_of<SequentialLROptions>({
      {"milestones", &o.milestones,
       "counters at which the second schedule and those after it begin; must be given"},
      {"schedulers", &o.schedulers,
       "the schedules, such as {class_path: LinearLR, init_args: {total_iters: 5}}; must be given"},
  });
}

SequentialLR::SequentialLR(const SequentialLROptions& options)
    : SequentialLR(options, shipped_schedulers()) {}

SequentialLR::SequentialLR(const SequentialLROptions& options, const SchedulerList& known)
    : SequentialLR(options.milestones, made_by_name(options.schedulers, known)) {}

SequentialLR::SequentialLR(std::vector<int64_t> milestones,
                           std::vector<std::unique_ptr<Scheduler>> schedulers)
    : milestones_(std::move(milestones)), schedulers_(std::move(schedulers)) {
  if (schedulers_.size() != milestones_.size() + 1) {
    throw ConfigError::conflict("SequentialLR needs one milestone less than it has schedulers",
                                "give the counter at which each scheduler but the first starts");
  }
  int64_t previous = 0;
  for (const int64_t milestone : milestones_) {
    check_option(milestone > previous, "milestones", milestone, "must be above 0 and increase");
    previous = milestone;
  }
  for (const auto& scheduler : schedulers_) {
    if (scheduler == nullptr || scheduler->needs_metric()) {
      throw ConfigError::conflict("SequentialLR takes functions of the counter only",
                                  "leave out null and schedulers that watch a metric");
    }
  }
}

std::pair<const Scheduler*, int64_t> SequentialLR::at(int64_t counter) const {
  const auto passed =
      std::upper_bound(milestones_.begin(), milestones_.end(), counter) - milestones_.begin();
  const auto index = static_cast<size_t>(passed);
  return {schedulers_[index].get(), counter - (index == 0 ? 0 : milestones_[index - 1])};
}

double SequentialLR::factor(int64_t counter) const {
  const auto [scheduler, own_counter] = at(counter);
  return scheduler->factor(own_counter);
}

double SequentialLR::learning_rate(double base_learning_rate, int64_t counter) const {
  const auto [scheduler, own_counter] = at(counter);
  return scheduler->learning_rate(base_learning_rate, own_counter);
}

}  // namespace levin
