#pragma once

#include <levin/framework/run/run.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

// How a fit begins if ranks share a model, by their places in Strategy::mesh.

/// Prints which ranks have which part of the model and which rows, and on which host each of them
/// is, unless there is only one pipeline. Warns if ranks that share layers are on several hosts. A
/// collective.
void show_mesh(Run& run, Strategy& strategy);

/// Gives each rank random numbers of its own, except that ranks that share layers draw the same
/// ones. A collective if there are such ranks.
void draw_by_place(Strategy& strategy);

}  // namespace levin
