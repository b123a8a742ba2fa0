#pragma once

#include <levin/framework/config/job.h>
#include <levin/framework/core/error.h>

namespace levin {

/// Throws the error again, with the file and line, or "command line", of the setting that its
/// message begins with: `batch_size = 0: must be at least 1`. Settings of the trainer, the model
/// and the data are looked for. If none of them, or more than one, has that name, the error is
/// thrown as it is. Use it for what is checked only when a run begins, by classes that know nothing
/// of files.
[[noreturn]] void throw_with_place(const ConfigError& error, const Job& job);

}  // namespace levin
