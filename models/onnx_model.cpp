#include <levin/models/onnx_model.h>

#include <algorithm>
#include <cmath>
#include <typeinfo>
#include <utility>

#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/formats/onnx_file.h>
#include <levin/models/linear_regression_cv.h>
#include <levin/models/logistic_regression_cv.h>
#include <levin/models/logistic_regression_path.h>
#include <levin/models/mlp.h>

namespace levin {
namespace {

constexpr size_t kLargestFile = (size_t{1} << 31) - 1;  // protobuf counts in 32 bits

/// Whether `module` is of one of these classes, and not of one derived from them.
template <class... Classes>
bool is_exactly(const Module& module) {
  return ((typeid(module) == typeid(Classes)) || ...);
}

/// Appends the operators of a model one after another. Each function takes the names of what it
/// reads and returns the name of its result.
class OnnxGraph {
 public:
  OnnxGraph(std::string_view name, onnx::Type type) : writer_(name), type_(type) {}

  onnx::FileWriter& writer() { return writer_; }
  onnx::Type type() const { return type_; }

  std::string apply(std::string_view op_type, const onnx::FileWriter::Names& inputs,
                    const std::vector<onnx::Attribute>& attributes = {}) {
    const std::string result = fmt::format("{}_of_{}", op_type, count_++);
    writer_.node(op_type, inputs, {result}, attributes);
    return result;
  }

  std::string constant(std::string name, const torch::Tensor& value, onnx::Type type) {
    const auto scalar = type == onnx::Type::float64 ? at::kDouble
                        : type == onnx::Type::int64 ? at::kLong
                                                    : at::kFloat;
    const auto plain = value.detach().cpu().to(scalar).contiguous();
    writer_.constant(name, type, plain.sizes().vec(),
                     {static_cast<const std::byte*>(plain.const_data_ptr()), plain.nbytes()});
    return name;
  }

  /// A number in the model's type.
  std::string number(double value) {
    return constant(fmt::format("number_{}", count_++), torch::Scalar(value), type_);
  }
  std::string constant(std::string name, const torch::Scalar& value, onnx::Type type) {
    return constant(std::move(name), at::scalar_tensor(value, at::kDouble), type);
  }

  std::string cast(const std::string& x, onnx::Type type) {
    return apply("Cast", {x}, {{"to", static_cast<int64_t>(type)}});
  }

  /// An operator that onnxruntime has for float32 only.
  std::string apply_in_float32(std::string_view op_type, const std::string& x,
                               const std::vector<onnx::Attribute>& attributes = {}) {
    if (type_ == onnx::Type::float32) return apply(op_type, {x}, attributes);
    return cast(apply(op_type, {cast(x, onnx::Type::float32)}, attributes), type_);
  }

  /// The only column of [batch, 1], [batch].
  std::string only_column(const std::string& x) {
    return apply("Squeeze",
                 {x, constant(fmt::format("axes_{}", count_++), at::ones({1}), onnx::Type::int64)});
  }

 private:
  onnx::FileWriter writer_;
  onnx::Type type_;
  int64_t count_ = 0;
};

std::string standardized_input(OnnxGraph& graph, std::string x, const OnnxOptions& options) {
  if (!options.deviation.defined()) return x;
  const bool is_double = graph.type() == onnx::Type::float64;
  const auto row = [&](const torch::Tensor& statistic) { return statistic.reshape({1, -1}); };
  if (!is_double) x = graph.cast(x, onnx::Type::float64);
  if (options.mean.defined()) {
    x = graph.apply("Sub", {x, graph.constant("mean", row(options.mean), onnx::Type::float64)});
  }
  x = graph.apply("Div",
                  {x, graph.constant("deviation", row(options.deviation), onnx::Type::float64)});
  return is_double ? x : graph.cast(x, onnx::Type::float32);
}

/// A layer with the weights `<name>.weight` and, if there is one, `<name>.bias`.
std::string linear_layer(OnnxGraph& graph, const std::string& x, const StateDict& weights,
                         const std::string& name) {
  const std::string weight = name + ".weight", bias = name + ".bias";
  std::vector<std::string> inputs = {x,
                                     graph.constant(weight, weights.tensor(weight), graph.type())};
  if (weights.tensors.contains(bias)) {
    inputs.push_back(graph.constant(bias, weights.tensor(bias), graph.type()));
  }
  return graph.apply("Gemm", inputs, {{"transB", 1}});
}

std::string activated(OnnxGraph& graph, const std::string& x, const std::string& activation) {
  if (activation == "relu") return graph.apply("Relu", {x});
  if (activation == "tanh") return graph.apply("Tanh", {x});
  if (activation == "sigmoid") return graph.apply("Sigmoid", {x});
  if (activation == "leaky_relu") return graph.apply("LeakyRelu", {x}, {{"alpha", 0.01F}});
  if (activation == "elu") return graph.apply_in_float32("Elu", x, {{"alpha", 1.0F}});
  if (activation == "silu") return graph.apply("Mul", {x, graph.apply("Sigmoid", {x})});
  if (activation == "identity") return x;
  if (activation == "gelu") {  // x / 2 (1 + erf(x / sqrt 2)); Gelu came with version 20
    const auto scaled = graph.apply("Mul", {x, graph.number(std::sqrt(0.5))});
    const auto sum = graph.apply("Add", {graph.apply_in_float32("Erf", scaled), graph.number(1.0)});
    return graph.apply("Mul", {graph.apply("Mul", {x, graph.number(0.5)}), sum});
  }
  throw ConfigError::invalid_value("activation", activation, "has no ONNX operators here");
}

void class_outputs(OnnxGraph& graph, const std::string& logits, int64_t columns, bool is_ovr) {
  auto& writer = graph.writer();
  if (columns == 1) {
    const auto is_one = graph.apply("Greater", {graph.only_column(logits), graph.number(0.0)});
    writer.node("Cast", {is_one}, {"class"}, {{"to", static_cast<int64_t>(onnx::Type::int64)}});
    const auto zero = graph.apply("Sigmoid", {graph.apply("Neg", {logits})});
    writer.node("Concat", {zero, graph.apply("Sigmoid", {logits})}, {"probability"}, {{"axis", 1}});
  } else {
    writer.node("ArgMax", {logits}, {"class"}, {{"axis", 1}, {"keepdims", 0}});
    auto scores = logits;
    if (is_ovr) {  // log sigmoid(z) = -softplus(-z)
      const auto negative = graph.apply("Neg", {logits});
      scores = graph.apply("Neg", {graph.apply_in_float32("Softplus", negative)});
    }
    writer.node("Softmax", {scores}, {"probability"}, {{"axis", 1}});
  }
  writer.output("class", onnx::Type::int64, {onnx::kBatch});
  writer.output("probability", graph.type(), {onnx::kBatch, std::max<int64_t>(columns, 2)});
}

void value_outputs(OnnxGraph& graph, const std::string& values, int64_t columns) {
  if (columns == 1) {
    const auto column = graph.only_column(values);
    graph.writer().node("Identity", {column}, {"value"});
    graph.writer().output("value", graph.type(), {onnx::kBatch});
  } else {
    graph.writer().node("Identity", {values}, {"value"});
    graph.writer().output("value", graph.type(), {onnx::kBatch, columns});
  }
}

/// The names of the model's layers, in their order.
std::vector<std::string> layer_names(const Module& module, const StateDict& weights) {
  if (!is_exactly<MLP>(module)) return {"linear"};
  std::vector<std::string> names;
  while (true) {
    const auto name = fmt::format("layer{}", names.size());
    if (!weights.tensors.contains(name + ".weight")) return names;
    names.push_back(name);
  }
}

void require_known_class(const Module& module) {
  const bool is_known = is_exactly<LogisticRegression, LogisticRegressionPath, LogisticRegressionCV,
                                   LinearRegression, LinearRegressionCV, MLP>(module);
  if (is_known) return;
  throw ModuleError::contract(
      "onnx_model", fmt::format("how a {} computes isn't known", module.class_name()),
      "ONNX files can be written of LogisticRegression, LogisticRegressionPath, "
      "LogisticRegressionCV, LinearRegression, LinearRegressionCV and MLP; save the weights of "
      "others as .pt or .safetensors");
}

/// Names the input, flattens and standardises it.
std::string model_input(OnnxGraph& graph, int64_t features, const OnnxOptions& options) {
  auto shape = options.row_shape;
  if (shape.empty()) shape = {features};
  int64_t numbers = 1;
  for (const int64_t size : shape) numbers *= size;
  for (const auto* statistic : {&options.mean, &options.deviation}) {
    if (statistic->defined() && statistic->numel() != features) numbers = -1;
  }
  if (numbers != features) {
    throw ConfigError::conflict(
        fmt::format("the rows or their statistics have other sizes than the model's {} features",
                    features),
        "give those of the data that the model was trained on");
  }
  const bool is_flat = shape.size() == 1;
  shape.insert(shape.begin(), onnx::kBatch);
  graph.writer().input("input", graph.type(), shape);
  const auto rows =
      is_flat ? std::string("input") : graph.apply("Flatten", {"input"}, {{"axis", 1}});
  return standardized_input(graph, rows, options);
}

}  // namespace

std::string onnx_model(const Module& module, const OnnxOptions& options) {
  require_known_class(module);
  const StateDict weights = module.state_dict();
  const auto layers = layer_names(module, weights);
  if (layers.empty() || !weights.tensors.contains(layers.front() + ".weight")) {
    throw ModuleError::contract("onnx_model", "the module's layers aren't made yet",
                                "train it, load its weights or give its sizes");
  }
  const Value settings = module.hyper_parameters();
  const auto& first = weights.tensor(layers.front() + ".weight");
  const int64_t columns = weights.tensor(layers.back() + ".weight").size(0);
  OnnxGraph graph(module.class_name(),
                  first.scalar_type() == at::kDouble ? onnx::Type::float64 : onnx::Type::float32);
  auto x = model_input(graph, first.size(1), options);
  for (const auto& layer : layers) {
    x = linear_layer(graph, x, weights, layer);
    if (layer != layers.back()) x = activated(graph, x, settings.at("activation").as_string());
  }
  if (dynamic_cast<const Classifier*>(&module) != nullptr) {
    const bool is_ovr =
        settings.contains("multi_class") && settings.at("multi_class") == Value("ovr");
    class_outputs(graph, x, columns, is_ovr);
  } else {
    value_outputs(graph, x, columns);
  }
  graph.writer().metadata("class", module.class_name());
  graph.writer().metadata("settings", settings.to_json());
  if (!options.class_names.empty()) {
    const Value::Array names(options.class_names.begin(), options.class_names.end());
    graph.writer().metadata("class_names", Value(names).to_json());
  }
  auto file = std::move(graph.writer()).finish();
  if (file.size() > kLargestFile) {
    throw ModuleError::contract("onnx_model", "the file would be larger than 2 GB",
                                "ONNX has no such files; save the weights as .safetensors");
  }
  return file;
}

}  // namespace levin
