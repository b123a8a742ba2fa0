#pragma once

#include <memory>
#include <string_view>

#include <levin/framework/core/class_list.h>
#include <levin/framework/optimizers/scheduler.h>

namespace levin {

class SchedulerList;

/// Learning-rate scheduler classes by name. A scheduler is made from its settings and, if it is
/// made of others as SequentialLR, from the list that has these, which is the second argument of
/// its constructor.
class SchedulerList : public ClassList<Scheduler, const SchedulerList&> {
 public:
  using ClassList::ClassList;
  /// ClassList::make, with schedulers inside the new one made from this list.
  std::unique_ptr<Scheduler> make(std::string_view class_path, const Value& init_args) const {
    return ClassList::make(class_path, init_args, *this);
  }
};

/// The learning-rate schedulers that Levin ships and a name can stand for. This list is the only
/// place that names them. LambdaLR, which is made from a function, isn't one of them.
const SchedulerList& shipped_schedulers();

}  // namespace levin
