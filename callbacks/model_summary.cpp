#include <levin/callbacks/model_summary.h>

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/batch.h>
#include <levin/framework/run/module.h>
#include <levin/framework/tensor/random.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <unordered_set>
#include <vector>

namespace levin {
namespace {

struct Counts {
  int64_t elements = 0;
  int64_t trainable = 0;
  int64_t bytes = 0;
};

/// Counts the parameters of a module. A parameter with several names counts once.
Counts count(const torch::nn::Module& module) {
  Counts counts;
  std::unordered_set<const void*> seen;
  for (const auto& item : module.named_parameters()) {
    const auto& tensor = item.value();
    if (!tensor.defined() || !seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    counts.elements += tensor.numel();
    counts.trainable += tensor.requires_grad() ? tensor.numel() : 0;
    counts.bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
  }
  return counts;
}

/// Returns the number with commas between thousands, "7,850", in every locale.
std::string grouped(int64_t number) {
  std::string text = fmt::to_string(number);
  for (auto i = std::ssize(text) - 3; i > 0; i -= 3) text.insert(static_cast<size_t>(i), 1, ',');
  return text;
}

/// Returns the class name without namespaces and "Impl": "Linear" for torch::nn::LinearImpl.
std::string short_type(const torch::nn::Module& module) {
  std::string name = module.name();
  const size_t arguments = name.find('<');
  if (arguments != std::string::npos) name.resize(arguments);
  const size_t colon = name.rfind("::");
  if (colon != std::string::npos) name.erase(0, colon + 2);
  if (name.ends_with("Impl") && name.size() > 4) name.resize(name.size() - 4);
  return name;
}

std::string shape(at::IntArrayRef sizes, std::string_view before) {
  return fmt::format("[{}{}]", before, fmt::join(sizes, ", "));
}

/// Returns the shapes of input and output as far as the weight determines them, otherwise "".
std::pair<std::string, std::string> shapes(const std::string& type,
                                           const torch::nn::Module& module) {
  const auto parameters = module.named_parameters(/*recurse=*/false);
  const auto* weight = parameters.find("weight");
  if (weight == nullptr || !weight->defined()) return {"", ""};
  const auto sizes = weight->sizes();
  if (type == "Linear" && sizes.size() == 2) {
    return {shape(sizes[1], "*, "), shape(sizes[0], "*, ")};
  }
  if (type == "Embedding" && sizes.size() == 2) return {"[*]", shape(sizes[1], "*, ")};
  if (type == "LayerNorm") return {shape(sizes, "*, "), shape(sizes, "*, ")};
  if (type.starts_with("BatchNorm")) {
    return {shape(sizes[0], "*, "), shape(sizes[0], "*, ")};
  }
  if (type.starts_with("Conv") && sizes.size() >= 3) {
    // The weight is [out, in / groups, ...], or [in, out / groups, ...] for a transposed
    // convolution.
    std::string channels = fmt::format("[*, {}", sizes[0]);
    for (size_t i = 2; i < sizes.size(); ++i) channels += ", *";
    channels += "]";
    if (type.starts_with("ConvTranspose")) return {channels, ""};
    return {"", channels};
  }
  return {"", ""};
}

using Row = std::array<std::string, 6>;  // name, type, parameters, trainable, in, out
constexpr size_t kParameters = 2;        // this column is aligned to the right

Row row(std::string name, std::string type, const Counts& counts) {
  std::string trainable;
  if (counts.elements > 0) {
    trainable = counts.trainable == 0                 ? "no"
                : counts.trainable == counts.elements ? "yes"
                                                      : "partly";
  }
  return {std::move(name), std::move(type), grouped(counts.elements), std::move(trainable), "", ""};
}

/// Adds a row for each layer. One that is registered several times gets a row for its first name
/// only, and `seen` has the layers that have one.
void add_rows(const torch::nn::Module& module, const std::string& prefix, int64_t depth,
              const LayerSizes& sizes, std::unordered_set<const void*>& seen,
              std::vector<Row>& rows) {
  if (depth == 0) return;
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    if (!prefix.empty()) break;  // the row of a layer includes its own parameters
    const auto& tensor = item.value();
    if (!tensor.defined()) continue;
    Row own = row(item.key(), "parameter",
                  {tensor.numel(), tensor.requires_grad() ? tensor.numel() : 0, 0});
    own[5] = shape(tensor.sizes(), "");
    rows.push_back(std::move(own));
  }
  for (const auto& child : module.named_children()) {
    if (!seen.insert(child.value().get()).second) continue;
    const std::string type = short_type(*child.value());
    Row own = row(prefix + child.key(), type, count(*child.value()));
    std::tie(own[4], own[5]) = shapes(type, *child.value());
    if (const auto found = sizes.find(child.value().get()); found != sizes.end()) {
      own[4] = found->second.in;
      own[5] = found->second.out;
    }
    rows.push_back(std::move(own));
    add_rows(*child.value(), prefix + child.key() + ".", depth - 1, sizes, seen, rows);
  }
}

std::string table(std::vector<Row> rows) {
  if (rows.empty()) return {};
  rows.insert(rows.begin(), {"Name", "Type", "Parameters", "Trainable", "In", "Out"});
  std::array<size_t, 6> widths{};
  for (const auto& one : rows) {
    for (size_t i = 0; i < one.size(); ++i) widths[i] = std::max(widths[i], one[i].size());
  }
  const size_t numbers = fmt::to_string(rows.size() - 2).size();
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line = fmt::format("{:>{}}", r == 0 ? "" : fmt::to_string(r - 1), numbers);
    for (size_t i = 0; i < widths.size(); ++i) {
      const auto& cell = rows[r][i];
      line += i == 0 ? " " : "  ";
      line += i == kParameters ? fmt::format("{:>{}}", cell, widths[i])
                               : fmt::format("{:<{}}", cell, widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// Lets the module predict its example, in evaluation mode, and returns the sizes that layers had.
LayerSizes sizes_of_example(Module& module, NamedTensors example) {
  for (auto& [name, tensor] : example) {
    tensor = tensor.is_floating_point() ? tensor.to(module.device(), module.dtype())
                                        : tensor.to(module.device());
  }
  const StateDict random = random_state().clone();
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> modes;
  for (const auto& child : module.modules(/*include_self=*/false)) {
    modes.emplace_back(child, child->is_training());
  }
  const bool was_training = module.is_training();
  const auto put_back = [&] {
    module.train(was_training);
    for (const auto& [child, mode] : modes) child->train(mode);
    load_random_state(random);
  };
  const at::NoGradGuard no_grad;
  module.eval();
  try {
    LayerSizes sizes = watch_layers(module, [&] { module.predict(Batch(std::move(example))); });
    put_back();
    return sizes;
  } catch (...) {
    put_back();
    throw;
  }
}

}  // namespace

Fields describe(ModelSummaryOptions& o) {
  return fields_of<ModelSummaryOptions>({
      {"max_depth", &o.max_depth, "levels of sub-modules to list; -1: all, 0: only the totals"},
  });
}

std::string summarize(const torch::nn::Module& module, int64_t max_depth, const LayerSizes& sizes) {
  std::vector<Row> rows;
  std::unordered_set<const void*> seen;
  add_rows(module, "", max_depth, sizes, seen, rows);
  const Counts counts = count(module);
  const double megabytes = static_cast<double>(counts.bytes) * 1e-6;
  const auto size =
      megabytes < 100.0 ? fmt::format("{:.3g}", megabytes) : fmt::format("{:.0f}", megabytes);
  return table(std::move(rows)) + fmt::format("{} parameters ({} trainable), {} MB\n",
                                              grouped(counts.elements), grouped(counts.trainable),
                                              size);
}

ModelSummary::ModelSummary(ModelSummaryOptions options) : options_(options) {
  if (options_.max_depth < -1) {
    throw ConfigError::invalid_value("ModelSummary.max_depth", fmt::to_string(options_.max_depth),
                                     "must be at least -1");
  }
}

void ModelSummary::on_fit_start(Run& run) {
  if (!run.is_global_zero()) return;
  NamedTensors example = run.module().example_input_array();
  const LayerSizes sizes =
      example.empty() ? LayerSizes{} : sizes_of_example(run.module(), std::move(example));
  diagnostics::print(summarize(run.module(), options_.max_depth, sizes));
}

}  // namespace levin
