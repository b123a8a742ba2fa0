#pragma once

#include <levin/framework/core/value.h>

namespace levin::test {

/// A trainer's program as users write them, told by `settings` what to train and where to leave its
/// results: {"out": "...", "trainer": {"devices": 2, ...}, "batch_size": 8, ...}. The distributed
/// tests run it as one process or as many, under any launcher.
///
/// Every rank writes <out>/rank-<r>.ckpt: the module's state, and what fit, validate, test and
/// predict gave as values. Returns the status to exit with.
int work_as_rank(const Value& settings);

}  // namespace levin::test
