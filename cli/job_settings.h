#pragma once

#include <levin/framework/config/job.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/core/value.h>

namespace levin {

/// Returns the settings of a job as a list of groups, of the Trainer and of each class that it
/// names:
///
///     [{"name": "trainer", "settings": [{"name": "max_epochs", "value": 20, "default": null},
///     ...]},
///      {"name": "model", "class": "MLP", "settings": [...]}, ...]
///
/// Only a setting that differs from its default has a "default".
Value job_settings(const Job& job, const Registry& registry);

/// Returns the settings in `fields` in the same form, without what belongs to a class. `defaults`
/// describes the same options as they are when nobody has changed them.
Value::Array settings_beside_defaults(const Fields& fields, const Fields& defaults);

}  // namespace levin
