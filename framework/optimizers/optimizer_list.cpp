#include <levin/framework/optimizers/optimizer_list.h>

#include <levin/framework/optimizers/adagrad.h>
#include <levin/framework/optimizers/adam.h>
#include <levin/framework/optimizers/adamw.h>
#include <levin/framework/optimizers/lbfgs.h>
#include <levin/framework/optimizers/plateau.h>
#include <levin/framework/optimizers/rmsprop.h>
#include <levin/framework/optimizers/schedulers.h>
#include <levin/framework/optimizers/sgd.h>

namespace levin {

const OptimizerList& shipped_optimizers() {
  static const OptimizerList optimizers = [] {
    OptimizerList list;
    list.add<SGD>("SGD", "gradient descent, with momentum if asked for");
    list.add<Adam>("Adam", "by running means of the gradient and its square");
    list.add<AdamW>("AdamW", "Adam with decoupled weight decay");
    list.add<Adagrad>("Adagrad", "by the sum of squared gradients; for sparse ones");
    list.add<RMSprop>("RMSprop", "by a running mean of squared gradients");
    list.add<LBFGS>("LBFGS", "quasi-Newton; for whole-batch training");
    return list;
  }();
  return optimizers;
}

const SchedulerList& shipped_schedulers() {
  static const SchedulerList schedulers = [] {
    SchedulerList list;
    list.add<StepLR>("StepLR", "drops every step_size");
    list.add<MultiStepLR>("MultiStepLR", "drops at milestones");
    list.add<ExponentialLR>("ExponentialLR", "drops by a factor each time");
    list.add<CosineAnnealingLR>("CosineAnnealingLR", "down half a cosine");
    list.add<LinearLR>("LinearLR", "linearly from one factor to another: warm-up");
    list.add<WarmupLR>("WarmupLR", "another name of LinearLR");
    list.add<OneCycleLR>("OneCycleLR", "up to a peak, and down further than it began");
    list.add<ReduceLROnPlateau>("ReduceLROnPlateau", "drops when a metric ceases to improve");
    return list;
  }();
  return schedulers;
}

}  // namespace levin
