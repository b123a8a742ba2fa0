#include <levin/framework/data/dataset.h>

#include <ATen/ops/from_blob.h>
#include <levin/framework/core/error.h>

#include <algorithm>
#include <string>
#include <utility>

namespace levin {
namespace {

void check_rows(std::span<const int64_t> rows, int64_t size) {
  // Negative numbers are above every size when read as unsigned.
  for (const int64_t row : rows) {
    if (static_cast<uint64_t>(row) < static_cast<uint64_t>(size)) continue;
    throw DataError::bad_value("a row number", std::to_string(row), "a batch or subset",
                               "the data set has rows 0 to " + std::to_string(size - 1));
  }
}

// Where the names differ, `out` gets those of `like`, without tensors.
void take_names(const NamedTensors& like, NamedTensors& out) {
  out.resize(like.size());
  for (size_t i = 0; i < like.size(); ++i) {
    if (out[i].first != like[i].first) out[i] = {like[i].first, torch::Tensor()};
  }
}

// For tensors that aren't plain memory of this process.
torch::Tensor select_rows(const torch::Tensor& source, const std::optional<ByteScale>& scale,
                          std::span<const int64_t> rows) {
  auto* numbers = const_cast<int64_t*>(rows.data());
  const auto index = at::from_blob(numbers, {static_cast<int64_t>(rows.size())}, at::kLong);
  const auto selected = source.index_select(0, index.to(source.device(), at::kLong, true, true));
  return scale ? selected.to(at::kFloat).sub_(scale->zero_point).mul_(scale->scale) : selected;
}

torch::Tensor prepared(const std::string& name, const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.dim() == 0) {
    throw DataError::empty("tensor '" + name + "'", "a data set's tensors are [rows, ...]");
  }
  const auto plain = tensor.detach();
  return plain.layout() == at::kStrided ? plain.resolve_conj().resolve_neg().contiguous() : plain;
}

}  // namespace

Batch Dataset::get(int64_t row) const {
  Batch batch;
  get_batch({&row, 1}, batch);
  if (batch.row_ids().empty() && batch.rows() == 1) batch.row_ids().push_back(row);
  return batch;
}

TensorDataset::TensorDataset(NamedTensors tensors) : tensors_(std::move(tensors)) {
  if (tensors_.empty()) throw DataError::empty("the data set", "give it at least one tensor");
  for (auto& [name, tensor] : tensors_) {
    tensor = prepared(name, tensor);
    const auto& first = tensors_.front();
    if (tensor.size(0) != first.second.size(0)) {
      throw DataError::rows_differ(first.first, first.second.size(0), name, tensor.size(0));
    }
  }
  rows_ = tensors_.front().second.size(0);
  scales_.resize(tensors_.size());
}

TensorDataset::TensorDataset(torch::Tensor input, torch::Tensor target)
    : TensorDataset(NamedTensors{{"input", std::move(input)}, {"target", std::move(target)}}) {}

void TensorDataset::set_scale(std::string_view name, ByteScale scale) {
  std::vector<std::string> names;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    names.push_back(tensors_[i].first);
    if (tensors_[i].first != name) continue;
    const auto type = tensors_[i].second.scalar_type();
    if (type != at::kByte) {
      throw DataError::bad_value("the type of tensor '" + names.back() + "'", c10::toString(type),
                                 "every row", "only uint8 has a scale");
    }
    scales_[i] = scale;
    return;
  }
  throw DataError::no_such_tensor(name, names);
}

void TensorDataset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  constexpr size_t kWorthDeferring = 256;  // bytes a row
  check_rows(rows, rows_);
  auto& buffers = out.buffers();
  take_names(tensors_, buffers);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto& source = tensors_[i].second;
    auto& target = buffers[i].second;
    if (!source.is_cpu() || source.layout() != at::kStrided) {
      target = select_rows(source, scales_[i], rows);
    } else if (out.may_defer() && !rows.empty() &&
               source.nbytes() >= kWorthDeferring * static_cast<size_t>(rows_)) {
      out.defer(i, {source, scales_[i]}, rows);
    } else {
      target = gather({source, scales_[i]}, rows, std::move(target));
    }
  }
  out.row_ids().assign(rows.begin(), rows.end());
}

Subset::Subset(std::shared_ptr<const Dataset> parent, std::vector<int64_t> rows)
    : parent_(std::move(parent)), rows_(std::move(rows)) {
  if (const auto size = parent_->size()) check_rows(rows_, *size);
}

void Subset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  check_rows(rows, *size());
  // Taken out of its place while the parent, perhaps a subset too, may want the same one.
  thread_local std::vector<int64_t> spare;
  std::vector<int64_t> translated = std::move(spare);
  translated.resize(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) translated[i] = rows_[static_cast<size_t>(rows[i])];
  out.row_ids().clear();
  parent_->get_batch(translated, out);
  if (out.row_ids().empty()) out.row_ids().assign(translated.begin(), translated.end());
  spare = std::move(translated);
}

}  // namespace levin
