#pragma once

#include <string_view>
#include <vector>

#include <levin/framework/config/job.h>

namespace levin {

/// Whether jobs that are trained together may differ in this setting, as in "model.learning_rate":
/// the learning rate, the strengths of the penalties, the weight decay and seed_everything.
bool may_jobs_differ_in(std::string_view setting);

/// Throws ConfigError, which says why, if the jobs can't be trained together, as far as that is
/// known before their models are made. They must be fits of LogisticRegression, LinearRegression or
/// MLP that differ only in settings of `may_jobs_differ_in`, in default_root_dir, callbacks and
/// loggers; in one process, with a validation at the end of epochs if there is one; and their
/// callbacks may be EarlyStopping and ModelCheckpoint.
void require_batchable(const std::vector<Job>& jobs);

}  // namespace levin
