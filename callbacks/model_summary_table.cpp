#include <levin/callbacks/model_summary.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <levin/callbacks/layer_shapes.h>
#include <levin/callbacks/parameter_counts.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace levin {
namespace {

/// Returns the number with commas between thousands, "7,850", in every locale.
std::string grouped(int64_t number) {
  std::string text = fmt::to_string(number);
  for (auto i = std::ssize(text) - 3; i > 0; i -= 3) text.insert(static_cast<size_t>(i), 1, ',');
  return text;
}

using Row = std::array<std::string, 6>;  // name, type, parameters, trainable, in, out
constexpr size_t kParameters = 2;        // this column is aligned to the right

Row row(std::string name, std::string type, const ParameterCounts& counts) {
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
    own[5] = fmt::format("[{}]", fmt::join(tensor.sizes(), ", "));
    rows.push_back(std::move(own));
  }
  for (const auto& child : module.named_children()) {
    if (!seen.insert(child.value().get()).second) continue;
    const std::string type = layer_type(*child.value());
    Row own = row(prefix + child.key(), type, count_parameters(*child.value()));
    const auto found = sizes.find(child.value().get());
    const LayerSize size = found != sizes.end() ? found->second : layer_shapes(*child.value());
    own[4] = size.in;
    own[5] = size.out;
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

}  // namespace

std::string summarize(const torch::nn::Module& module, int64_t max_depth, const LayerSizes& sizes) {
  std::vector<Row> rows;
  std::unordered_set<const void*> seen;
  add_rows(module, "", max_depth, sizes, seen, rows);
  const ParameterCounts counts = count_parameters(module);
  const double megabytes = static_cast<double>(counts.bytes) * 1e-6;
  const auto size =
      megabytes < 100.0 ? fmt::format("{:.3g}", megabytes) : fmt::format("{:.0f}", megabytes);
  return table(std::move(rows)) + fmt::format("{} parameters ({} trainable), {} MB\n",
                                              grouped(counts.elements), grouped(counts.trainable),
                                              size);
}

}  // namespace levin
