#pragma once

#include <levin/framework/core/class_list.h>
#include <levin/framework/optimizers/scheduler.h>

namespace levin {

/// Learning-rate scheduler classes by name; a scheduler is made from its settings alone.
using SchedulerList = ClassList<Scheduler>;

/// The learning-rate schedulers that Levin ships and a name can stand for. This list is the only
/// place that names them. LambdaLR, which is made from a function, isn't one of them.
const SchedulerList& shipped_schedulers();

}  // namespace levin
