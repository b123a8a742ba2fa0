#pragma once

#include <vector>

#include <levin/framework/core/class_list.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/optimizers/scheduler_list.h>

namespace levin {

/// Optimizer classes by name. An optimizer is made from the parameters and its settings:
///
///     auto optimizer = levin::shipped_optimizers().make(
///         "SGD", levin::Value::Object{{"learning_rate", 0.1}}, model.parameters());
///
/// To let a name stand for a class of your own, copy the list and add to it. A `Registry` starts
/// with such a copy, so that what a program adds there works in YAML and as a model's `optimizer`.
using OptimizerList = ClassList<Optimizer, std::vector<torch::Tensor>>;

/// The optimizers that Levin ships. This list and shipped_schedulers()
/// (scheduler_list.h) are the only places that name them.
const OptimizerList& shipped_optimizers();
/// Whether the class is a solver, which trains on all rows at once: it has the settings of
/// SolverOptions, and no learning rate.
bool is_solver(const OptimizerList::Entry& optimizer);

}  // namespace levin
