#pragma once

#include <cstdint>

#include <levin/framework/core/value.h>

#include "distributed/pipeline_rows.h"

namespace levin::test {

/// Settings of a run on pipeline x data x tensor ranks, whose gradients are clipped in each step.
inline Value mesh_of(int64_t pipeline, int64_t data, int64_t tensor, int64_t epochs = 2) {
  auto settings = pipeline_of(pipeline, "1f1b", pipeline > 1 ? 3 : 0, epochs, data);
  settings["trainer"]["tensor_size"] = tensor;
  settings["trainer"]["gradient_clip_val"] = 0.1;  // below the norm of each step
  return settings;
}

}  // namespace levin::test
