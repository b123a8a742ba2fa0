#pragma once

#include <levin/framework/config/registry.h>

namespace levin {

/// The switch, among the Trainer's settings, of the report that `levin fit` writes.
inline constexpr const char* kReportSwitch = "enable_report";

/// Returns a registry of every model, data module, callback, logger, optimizer and scheduler that
/// Levin ships; optimizers and schedulers are those of framework/solvers/optimizer_list.h. A
/// program adds its own classes to it:
///
///     auto registry = levin::shipped_classes();
///     registry.models.add<MyModel>("MyModel", "what it does");
Registry shipped_classes();

}  // namespace levin
