#include <levin/framework/data/training_set.h>

#include <algorithm>
#include <iterator>

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>

namespace levin {
namespace {

/// The rows called `name`; "input" is the first of them if none has that name.
const Rows* named_rows(const NamedRows& entries, std::string_view name) {
  for (const auto& [own_name, rows] : entries) {
    if (own_name == name) return &rows;
  }
  return name == "input" && !entries.empty() ? &entries.front().second : nullptr;
}

/// The values of one loader's data set [rows, ...]; undefined if they aren't in memory.
torch::Tensor values_of(const DataLoader& loader, std::string_view name) {
  const auto found = find_in_memory(loader.shared_dataset());
  if (!found.tensors || loader.options().transform) return {};
  const Rows* all = named_rows(found.tensors->entries(), name);
  if (all == nullptr) return {};
  const auto tensor = all->tensor().cpu();
  const auto count = loader.dataset().size();
  if (found.rows.empty() && count == tensor.size(0)) return tensor;
  auto rows = found.rows;
  return tensor.index_select(
      0, at::from_blob(rows.data(), {static_cast<int64_t>(rows.size())}, at::kLong));
}

}  // namespace

size_t TrainingSet::count() const {
  return loaders_.mode() == LoaderMode::sequential ? loaders_.size() : 1;
}

std::optional<int64_t> TrainingSet::rows() const {
  int64_t total = 0;
  for (size_t i = 0; i < count(); ++i) {
    const auto size = loaders_[i].dataset().size();
    if (!size) return {};
    total += *size;
  }
  return total;
}

std::optional<std::vector<int64_t>> TrainingSet::row_shape(std::string_view name) const {
  if (loaders_.empty()) return {};
  const auto& loader = loaders_.front();
  const auto in_memory = find_in_memory(loader.shared_dataset());
  if (in_memory.tensors && !loader.options().transform) {
    const Rows* rows = named_rows(in_memory.tensors->entries(), name);
    return rows == nullptr ? std::nullopt : std::optional(rows->row_shape().vec());
  }
  auto reader = loader.without_shuffle().with_global_batch_size(1).open();
  Batch first;
  if (!reader.next(first)) return {};
  const Rows* rows = named_rows(first.entries(), name);
  return rows == nullptr ? std::nullopt : std::optional(rows->row_shape().vec());
}

std::optional<int64_t> TrainingSet::features() const {
  const auto shape = row_shape("input");
  if (!shape) return {};
  int64_t count = 1;
  for (const int64_t size : *shape) count *= size;
  return count;
}

torch::Tensor TrainingSet::values(std::string_view name) const {
  std::vector<torch::Tensor> parts;
  for (size_t i = 0; i < count(); ++i) {
    parts.push_back(values_of(loaders_[i], name));
    if (!parts.back().defined()) return {};
  }
  if (parts.empty()) return {};
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

int64_t TrainingSet::num_classes() const {
  if (num_classes_ > 0) return num_classes_;
  const auto labels = values("target");
  if (!labels.defined() || labels.numel() == 0) return 0;
  if (!c10::isIntegralType(labels.scalar_type(), /*includeBool=*/true)) return 0;
  return std::max<int64_t>(labels.to(at::kLong).max().item<int64_t>() + 1, 0);
}

int64_t TrainingSet::num_groups() const {
  return groups_ != nullptr ? std::ssize(groups_->group_names()) : 0;
}

std::optional<double> TrainingSet::mean_weight() const {
  return sums_ != nullptr ? sums_->mean_weight() : std::nullopt;
}

std::vector<double> TrainingSet::class_sums() const {
  return sums_ != nullptr ? sums_->class_sums() : std::vector<double>();
}

}  // namespace levin
