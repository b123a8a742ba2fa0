#include <levin/framework/loggers/module_graph.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>
#include <levin/framework/run/evaluation_scope.h>
#include <levin/framework/run/module.h>

namespace levin {
namespace {

namespace jit = torch::jit;
namespace prim = c10::prim;

using LayerPath = std::vector<std::string>;  // the names of a layer and those around it
using OutputShape = std::optional<std::vector<int64_t>>;

/// A tensor that exists before the traced operations.
struct GivenTensor {
  std::string name;
  std::string kind;  // input, parameter or buffer
  at::Tensor tensor;
};

/// What the tracer saw.
struct PredictTrace {
  std::shared_ptr<jit::Graph> graph;
  std::vector<std::string> outputs;  // the names of those of the graph
  std::vector<std::string> unseen;   // the names of those that it couldn't follow
};

/// The tensors of a batch, of which the first row stands for all if rows are sparse.
std::vector<GivenTensor> input_tensors(const Batch& batch) {
  const auto& entries = batch.entries();
  const bool is_sparse = std::any_of(entries.begin(), entries.end(),
                                     [](const auto& entry) { return entry.second.is_sparse(); });
  std::vector<GivenTensor> given;
  for (const auto& [name, rows] : entries) {
    if (!rows.is_defined()) continue;
    const Rows used = is_sparse ? rows.narrow(0, std::min<int64_t>(rows.size(), 1)) : rows;
    given.push_back({name, "input", used.is_sparse() ? to_dense(used) : used.tensor()});
  }
  return given;
}

/// Lets the module predict `batch`, whose tensors are those of `given` that are inputs, and returns
/// what LibTorch's tracer saw of it.
PredictTrace trace_predict(Module& module, const Batch& batch,
                           const std::vector<GivenTensor>& given) {
  PredictTrace result;
  const auto predict = [&](const jit::Stack& traced) {
    const jit::tracer::NoWarn without_warnings;
    NamedTensors tensors;
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i].kind == "input") tensors.emplace_back(given[i].name, traced[i].toTensor());
    }
    Batch input(std::move(tensors));
    input.set_loader_index(batch.loader_index());
    jit::Stack seen;
    for (const auto& [name, output] : module.predict(input)) {
      const bool is_seen = output.defined() && jit::tracer::getTracingState()->hasValue(output);
      (is_seen ? result.outputs : result.unseen).push_back(name);
      if (is_seen) seen.emplace_back(output);
    }
    return seen;
  };
  jit::Stack inputs;
  for (const GivenTensor& one : given) inputs.emplace_back(one.tensor);
  const auto no_names = [](const at::Tensor& /*tensor*/) { return std::string(); };
  result.graph = jit::tracer::trace(std::move(inputs), predict, no_names).first->graph;
  return result;
}

/// A node of the graph in the making.
struct GraphItem {
  /// Output `output` of the item `item`.
  struct Source {
    size_t item = 0;
    size_t output = 0;
  };
  std::string name;  // without its groups
  std::string op;
  std::vector<Source> sources{};
  std::vector<OutputShape> shapes{};
  std::vector<std::pair<std::string, std::string>> attributes{};
  bool is_parameter = false;              // or a buffer
  bool is_end = false;                    // an input or output of the graph, which is in no layer
  std::optional<LayerPath> parameters{};  // the layer whose parameters it is, or is made of
  std::optional<LayerPath> group{};
};

/// The innermost layer that both are below; the other one if one of them isn't known.
std::optional<LayerPath> innermost_common(const std::optional<LayerPath>& a,
                                          const std::optional<LayerPath>& b) {
  if (!a || !b) return a ? a : b;
  const auto end = std::mismatch(a->begin(), a->end(), b->begin(), b->end()).first;
  return LayerPath(a->begin(), end);
}

/// A name as TensorBoard takes it.
std::string clean_node_name(std::string_view name) {
  std::string result(name.empty() ? "unnamed" : name);
  for (char& c : result) {
    const bool is_fine = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' ||
                         c == '/' || c == '-';
    if (!is_fine) c = '_';
  }
  return result;
}

LayerPath split_layer_name(std::string_view name) {
  LayerPath path;
  std::istringstream stream{std::string(name)};
  for (std::string part; std::getline(stream, part, '.');) path.push_back(clean_node_name(part));
  return path;
}

OutputShape traced_shape(const jit::Value* value) {
  const auto type = value->type()->cast<c10::TensorType>();
  return type ? type->sizes().concrete_sizes() : std::nullopt;
}

/// Makes the items of a graph from those of a trace.
class GraphItems {
 public:
  GraphItems(const PredictTrace& trace, const std::vector<GivenTensor>& given) {
    const auto inputs = trace.graph->inputs();
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i]->uses().empty()) add_given(given.at(i), inputs[i]);
    }
    for (const jit::Node* node : trace.graph->nodes()) add(*node);
    const auto outputs = trace.graph->outputs();
    for (size_t i = 0; i < outputs.size(); ++i) {
      add_output(trace.outputs.at(i), outputs[i]);
    }
    for (const auto& name : trace.unseen) add_output(name, nullptr);
  }
  std::vector<GraphItem> take() { return std::move(items_); }

 private:
  size_t push(GraphItem item) {
    items_.push_back(std::move(item));
    return items_.size() - 1;
  }

  void add_given(const GivenTensor& given, const jit::Value* value) {
    GraphItem item{.name = given.name, .op = given.kind, .shapes = {traced_shape(value)}};
    if (given.kind == "input") {
      item.name = "input/" + clean_node_name(given.name);
      item.is_end = true;
    } else {
      LayerPath path = split_layer_name(given.name);
      item.name = path.back();
      path.pop_back();
      item.is_parameter = true;
      item.parameters = path;
    }
    sources_[value] = {{push(std::move(item)), 0}};
  }

  void add_output(const std::string& name, const jit::Value* value) {
    GraphItem item{.name = "output/" + clean_node_name(name), .op = "output", .is_end = true};
    if (value != nullptr) {
      item.sources = sources_[value];
      item.shapes = {traced_shape(value)};
    }
    push(std::move(item));
  }

  void add(const jit::Node& node) {
    switch (node.kind()) {
      case prim::Constant:
        return add_constant(node);
      case prim::ListConstruct:
      case prim::TupleConstruct:
        return add_list(node);
      case prim::ListUnpack:
      case prim::TupleUnpack:
        return take_apart(node);
      default:
        return add_operation(node);
    }
  }

  /// A tensor is a node of its own; other constants are attributes of the operations that get them.
  void add_constant(const jit::Node& node) {
    const jit::Value* value = node.output();
    const auto constant = jit::toIValue(value);
    if (value->type()->cast<c10::TensorType>()) {
      GraphItem item{.name = "constant", .op = "constant", .shapes = {traced_shape(value)}};
      sources_[value] = {{push(std::move(item)), 0}};
    } else if (constant && !constant->isNone()) {
      std::ostringstream text;
      text << *constant;
      texts_[value] = text.str();
    }
  }

  void add_list(const jit::Node& node) {
    std::vector<std::string> texts;
    for (const jit::Value* input : node.inputs()) {
      const auto& sources = sources_[input];
      sources_[node.output()].insert(sources_[node.output()].end(), sources.begin(), sources.end());
      if (texts_.contains(input)) texts.push_back(texts_[input]);
    }
    if (sources_[node.output()].empty()) {
      texts_[node.output()] = fmt::format("[{}]", fmt::join(texts, ", "));
    }
  }

  void take_apart(const jit::Node& node) {
    const auto sources = sources_[node.input()];
    const auto outputs = node.outputs();
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (sources.size() == outputs.size()) {
        sources_[outputs[i]] = {sources[i]};
      } else if (sources.size() == 1) {
        sources_[outputs[i]] = {{sources[0].item, i}};
      }
      if (sources.size() != 1) continue;
      auto& shapes = items_[sources[0].item].shapes;
      shapes.resize(std::max(shapes.size(), i + 1));
      shapes[i] = traced_shape(outputs[i]);
    }
  }

  void add_operation(const jit::Node& node) {
    GraphItem item{.name = clean_node_name(node.kind().toUnqualString()),
                   .op = node.kind().toQualString()};
    const c10::FunctionSchema* schema = node.maybeSchema();
    const auto inputs = node.inputs();
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto& sources = sources_[inputs[i]];
      item.sources.insert(item.sources.end(), sources.begin(), sources.end());
      const auto text = texts_.find(inputs[i]);
      if (text == texts_.end()) continue;
      const bool has_name = schema != nullptr && i < schema->arguments().size();
      item.attributes.emplace_back(
          has_name ? schema->arguments()[i].name() : fmt::format("argument{}", i), text->second);
    }
    for (const jit::Value* output : node.outputs()) item.shapes.push_back(traced_shape(output));
    const size_t index = push(std::move(item));
    const auto outputs = node.outputs();
    for (size_t i = 0; i < outputs.size(); ++i) sources_[outputs[i]] = {{index, i}};
  }

  std::vector<GraphItem> items_;
  std::unordered_map<const jit::Value*, std::vector<GraphItem::Source>> sources_;
  std::unordered_map<const jit::Value*, std::string> texts_;  // of constants that aren't tensors
};

/// Puts operations that get parameters into the layers of these.
void group_nodes_by_parameters(std::vector<GraphItem>& items) {
  for (GraphItem& item : items) {
    if (item.is_end) continue;
    bool is_made_of_them = !item.sources.empty();
    for (const auto& source : item.sources) {
      const GraphItem& from = items[source.item];
      item.group = innermost_common(item.group, from.parameters);
      is_made_of_them = is_made_of_them && from.parameters.has_value();
    }
    if (item.is_parameter) item.group = item.parameters;
    if (is_made_of_them) item.parameters = item.group;
  }
}

/// Puts the other operations into the innermost layer around all of their neighbours that are in
/// one.
void group_nodes_by_neighbours(std::vector<GraphItem>& items) {
  const auto place = [&](const GraphItem& item, const std::optional<LayerPath>& beyond) {
    if (item.is_end) return std::optional(LayerPath());
    return item.group ? item.group : beyond;
  };
  std::vector<std::optional<LayerPath>> before(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    for (const auto& source : items[i].sources) {
      before[i] = innermost_common(before[i], place(items[source.item], before[source.item]));
    }
  }
  std::vector<std::optional<LayerPath>> after(items.size());
  for (size_t i = items.size(); i-- > 0;) {
    for (const auto& source : items[i].sources) {
      after[source.item] = innermost_common(after[source.item], place(items[i], after[i]));
    }
  }
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].group) items[i].group = innermost_common(before[i], after[i]);
  }
}

/// Whether an output of the graph follows from an input.
bool output_follows_from_input(const std::vector<GraphItem>& items) {
  std::vector<bool> follows(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    follows[i] = items[i].op == "input";
    for (const auto& source : items[i].sources) follows[i] = follows[i] || follows[source.item];
    if (items[i].op == "output" && follows[i]) return true;
  }
  return false;
}

/// The nodes, whose names begin with those of their layers. No node gets a name that is `taken`.
std::vector<events::GraphNode> name_nodes(const std::vector<GraphItem>& items,
                                          std::set<std::string> taken) {
  std::vector<events::GraphNode> nodes;
  for (const GraphItem& item : items) {
    std::string name = item.name;
    if (item.group && !item.group->empty() && !item.is_end) {
      name = fmt::format("{}/{}", fmt::join(*item.group, "/"), name);
    }
    const std::string first = name;
    for (int i = 1; !taken.insert(name).second; ++i) name = fmt::format("{}_{}", first, i);
    events::GraphNode node{name, item.op, {}, item.shapes, item.attributes};
    for (const auto& source : item.sources) {
      const std::string& from = nodes[source.item].name;
      const auto input = source.output == 0 ? from : fmt::format("{}:{}", from, source.output);
      node.inputs.push_back(input);
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

}  // namespace

std::vector<events::GraphNode> module_graph(Module& module, const Batch& input) {
  auto given = input_tensors(input);
  for (const auto& parameter : module.named_parameters()) {
    if (!parameter.value().defined()) continue;
    given.push_back({parameter.key(), "parameter", parameter.value()});
  }
  for (const auto& buffer : module.named_buffers()) {
    if (!buffer.value().defined()) continue;
    given.push_back({buffer.key(), "buffer", buffer.value()});
  }
  const EvaluationScope evaluation(module);
  auto items = GraphItems(trace_predict(module, input, given), given).take();
  if (!output_follows_from_input(items)) {
    throw ModuleError::contract(
        "predict", "none of its outputs follows from its input by operations of LibTorch",
        "its graph can't be drawn; compute the outputs by LibTorch's operations to see one");
  }
  group_nodes_by_parameters(items);
  group_nodes_by_neighbours(items);
  std::set<std::string> layers{"input", "output"};
  for (const auto& layer : module.named_modules(std::string(), /*include_self=*/false)) {
    layers.insert(fmt::format("{}", fmt::join(split_layer_name(layer.key()), "/")));
  }
  return name_nodes(items, std::move(layers));
}

}  // namespace levin
