#include <levin/framework/optimizers/scheduler_list.h>

#include <levin/framework/optimizers/cyclic_schedulers.h>
#include <levin/framework/optimizers/plateau.h>
#include <levin/framework/optimizers/schedulers.h>
#include <levin/framework/optimizers/sequential_lr.h>

namespace levin {

const SchedulerList& shipped_schedulers() {
  static const SchedulerList schedulers = [] {
    SchedulerList list("scheduler");
    list.add<StepLR>("StepLR", "drops by gamma every step_size epochs or steps");
    list.add<MultiStepLR>("MultiStepLR", "drops by gamma at each of the milestones");
    list.add<ExponentialLR>("ExponentialLR", "drops by gamma every epoch or step");
    list.add<CosineAnnealingLR>("CosineAnnealingLR", "falls along half a cosine");
    list.add<CosineAnnealingWarmRestarts>("CosineAnnealingWarmRestarts",
                                          "falls along half a cosine, again and again");
    list.add<PolynomialLR>("PolynomialLR", "falls to 0 along a polynomial");
    list.add<ConstantLR>("ConstantLR", "multiplies the first epochs or steps by a factor");
    list.add<LinearLR>("LinearLR", "goes linearly from one factor to another, as for a warm-up");
    list.add<WarmupLR>("WarmupLR", "another name of LinearLR");
    list.add<OneCycleLR>("OneCycleLR", "rises to a peak, then falls below its first rate");
    list.add<CyclicLR>("CyclicLR", "rises and falls between two rates, again and again");
    list.add<SequentialLR>("SequentialLR", "one schedule after another, as after a warm-up");
    list.add<ReduceLROnPlateau>("ReduceLROnPlateau", "drops when a metric ceases to improve");
    return list;
  }();
  return schedulers;
}

}  // namespace levin
