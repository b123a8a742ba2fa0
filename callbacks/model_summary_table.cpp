#include <levin/callbacks/model_summary.h>

#include <fmt/format.h>
#include <levin/callbacks/layer_rows.h>
#include <levin/callbacks/parameter_counts.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
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

std::string table(const std::vector<LayerRow>& layers) {
  if (layers.empty()) return {};
  std::vector<Row> rows = {{"Name", "Type", "Parameters", "Trainable", "In", "Out"}};
  for (const auto& each : layers) {
    rows.push_back(
        {each.name, each.type, grouped(each.parameters), each.trainable, each.in, each.out});
  }
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
  const ParameterCounts counts = count_parameters(module);
  const double megabytes = static_cast<double>(counts.bytes) * 1e-6;
  const auto size =
      megabytes < 100.0 ? fmt::format("{:.3g}", megabytes) : fmt::format("{:.0f}", megabytes);
  return table(layer_rows(module, max_depth, sizes)) +
         fmt::format("{} parameters ({} trainable), {} MB\n", grouped(counts.elements),
                     grouped(counts.trainable), size);
}

}  // namespace levin
