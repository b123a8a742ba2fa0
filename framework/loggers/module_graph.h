#pragma once

#include <vector>

#include <levin/framework/data/batch.h>
#include <levin/framework/formats/tensorboard_events.h>

namespace levin {

class Module;

/// Returns the graph of LibTorch's operations by which `module` predicts `input`, for a logger that
/// keeps graphs. Lightning: the graph that TensorBoardLogger.log_graph writes.
///
///     for (const auto& node : module_graph(module, input)) std::puts(node.name.c_str());
///
/// LibTorch's tracer watches `Module::predict`, in evaluation mode and without gradients. The
/// module, its layers' modes and the random generators are afterwards what they were before, unless
/// `predict` itself changes the module. The nodes are, in this order:
///
///  - "input/NAME", of the kind "input", for each tensor of the batch that is used. Of sparse rows,
///    which the tracer can't follow, the first one is predicted, as a dense one.
///  - each parameter and buffer that is used, as "layer0/weight", of the kind "parameter" or
///    "buffer". One that several layers share has the name of the first of them.
///  - each operation, as "layer0/linear", of the kind "aten::linear". Lists that are only made or
///    taken apart are left out. Numbers and texts that an operation gets are its attributes. A
///    tensor that the operations before it haven't made is of the kind "constant".
///  - "output/NAME", of the kind "output", for each tensor that predict returns. One that the
///    tracer can't follow has no input.
///
/// The groups are the layers. C++ doesn't tell which layer calls an operation, so an operation that
/// gets parameters is in the layer whose parameters they are or, if they belong to several layers,
/// in the innermost one around these. An operation without parameters, such as a ReLU, is in the
/// innermost layer around the operations with parameters that come before and after it; if an input
/// or output is among its neighbours, it is in no layer.
///
/// Throws ModuleError if no output follows from the input by operations that the tracer sees, and
/// what `predict` throws.
std::vector<events::GraphNode> module_graph(Module& module, const Batch& input);

}  // namespace levin
