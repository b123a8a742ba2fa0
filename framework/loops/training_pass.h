#pragma once

#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// Calls the hooks on_train_end, in which callbacks may read the training data once more
/// (Run::visit_training_batches). `data` is null if there are no training batches to read.
void call_on_train_end(const LoopParts& parts, TrainingData* data);

}  // namespace levin
