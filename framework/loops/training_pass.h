#pragma once

#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// Lets hooks read the training data once more (Run::visit_training_batches) while this object
/// exists. The fit loop has one around on_train_end.
///
///     const TrainingPass pass(parts, &data);
///     parts.hooks.call(&Hooks::on_train_end, run);
class TrainingPass {
 public:
  /// Keeps both; `data` is null if there are no training batches to read.
  TrainingPass(const LoopParts& parts, TrainingData* data);
  ~TrainingPass() { run_.set_training_pass({}); }
  TrainingPass(const TrainingPass&) = delete;
  TrainingPass& operator=(const TrainingPass&) = delete;

 private:
  RunControl& run_;
};

}  // namespace levin
