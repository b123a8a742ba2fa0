#include <levin/datamodules/sampling.h>

#include <algorithm>
#include <span>
#include <vector>

#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

const std::vector<std::string>& sampling_names() {
  static const std::vector<std::string> kNames = {"stratified", "balanced", "weighted"};
  return kNames;
}

/// The tensor of that name of the data set's rows, [rows], on the CPU.
torch::Tensor sampled_column(const InMemory& memory, const std::string& name,
                             const std::string& sampling) {
  for (const auto& [own_name, values] : memory.tensors->entries()) {
    if (own_name != name || values.is_sparse()) continue;
    auto column = values.tensor().cpu();
    if (column.dim() != 1) break;
    if (memory.rows.empty()) return column;
    auto rows = memory.rows;  // from_blob takes no const memory
    return column.index_select(
        0, at::from_blob(rows.data(), {static_cast<int64_t>(rows.size())}, at::kLong));
  }
  throw ConfigError::conflict(
      fmt::format("sampling = {} of training rows without the tensor \"{}\" of one number a row",
                  sampling, name),
      name == "weight" ? "give the rows weights, or choose another sampling"
                       : "it needs targets that are classes; choose another sampling");
}

template <class T>
std::span<const T> span_of(const torch::Tensor& column) {
  return {column.const_data_ptr<T>(), static_cast<size_t>(column.numel())};
}

/// The same rows without that tensor.
std::shared_ptr<const Dataset> without_column(const InMemory& memory, const std::string& name) {
  NamedRows kept;
  for (const auto& entry : memory.tensors->entries()) {
    if (entry.first != name) kept.push_back(entry);
  }
  auto all = std::make_shared<TensorDataset>(TensorDataset::of_rows(std::move(kept)));
  if (memory.rows.empty()) return all;
  return std::make_shared<Subset>(std::move(all), memory.rows);
}

}  // namespace

void check_sampling(const std::string& sampling) {
  const auto& names = sampling_names();
  if (sampling.empty() || std::find(names.begin(), names.end(), sampling) != names.end()) return;
  throw ConfigError::unknown_name("sampling", sampling, names);
}

SampledRows sampled(std::shared_ptr<const Dataset> rows, const std::string& sampling) {
  if (sampling.empty()) return {std::move(rows), nullptr};
  const auto memory = find_in_memory(rows);
  if (memory.tensors == nullptr) {
    throw ConfigError::conflict(
        fmt::format("sampling = {} of training rows that aren't in memory", sampling),
        "leave it out, or give the loader a Sampler of your own");
  }
  if (sampling == "weighted") {
    const auto weights = sampled_column(memory, "weight", sampling).to(at::kDouble).contiguous();
    const auto values = span_of<double>(weights);
    return {without_column(memory, "weight"),
            std::make_shared<WeightedSampler>(std::vector<double>(values.begin(), values.end()),
                                              weights.numel())};
  }
  const auto target = sampled_column(memory, "target", sampling);
  if (!c10::isIntegralType(target.scalar_type(), /*includeBool=*/true)) {
    throw ConfigError::conflict(
        fmt::format("sampling = {} of rows whose targets are values", sampling),
        "it needs targets that are classes; choose another sampling");
  }
  const auto labels = target.to(at::kLong).contiguous();
  const auto classes = span_of<int64_t>(labels);
  if (sampling == "stratified") {
    return {std::move(rows), std::make_shared<StratifiedSampler>(classes)};
  }
  return {std::move(rows),
          std::make_shared<WeightedSampler>(WeightedSampler::balancing(classes), labels.numel())};
}

}  // namespace levin
