#include <levin/framework/data/dataset.h>

#include <c10/core/InferenceMode.h>
#include <c10/core/Layout.h>
#include <c10/util/StringUtil.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/sparse_rows.h>

#include <algorithm>
#include <string>
#include <typeinfo>
#include <utility>

namespace levin {
namespace {

// Gives `out` as many entries as `like`, with the same names. An entry whose name changes loses
// its rows; the others keep theirs, so that their memory can be written again.
void take_names(const NamedRows& like, NamedRows& out) {
  out.resize(like.size());
  for (size_t i = 0; i < like.size(); ++i) {
    if (out[i].first != like[i].first) out[i] = {like[i].first, Rows()};
  }
}

// Returns whether a kernel that reads these rows in place is faster than copying them first, which
// holds for sparse rows, whose entries are read once, and for others of 256 bytes and more.
bool is_worth_selecting(const Rows& rows) {
  if (rows.is_sparse()) return true;
  constexpr size_t kLeastRowBytes = 256;
  return rows.source().nbytes() >= kLeastRowBytes * static_cast<size_t>(rows.size()) &&
         (rows.view() || rows.device_view());
}

Rows prepared(const std::string& name, const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.dim() == 0) {
    throw DataError("tensor '" + name + "' is " +
                    (tensor.defined() ? "a single number" : "undefined") +
                    "; the shape of a data set's tensor must be [rows, ...]");
  }
  const auto plain = tensor.detach();
  if (plain.layout() == at::kStrided) return plain.resolve_conj().resolve_neg().contiguous();
  Rows rows = plain;
  const bool is_compressed = plain.layout() != at::kSparse && plain.layout() != at::kMkldnn;
  if (is_compressed && !rows.is_sparse()) {
    throw DataError::bad_value(
        "its layout and type", c10::str(plain.layout(), " ", plain.scalar_type()),
        "tensor '" + name + "'",
        "sparse rows must be a sparse CSR tensor [rows, columns] of float32 numbers, with fewer "
        "than 2^31 columns: convert it by to_sparse_csr() and to(at::kFloat)");
  }
  return rows;
}

/// The rows as a data set keeps them, checked.
Rows prepared(const std::string& name, const Rows& given) {
  Rows rows = given.together(/*pinned=*/false);
  if (!rows.is_sparse() && !rows.scale()) rows = prepared(name, rows.source());
  if (rows.is_sparse() && !rows.is_sealed()) require_valid_entries(rows, "tensor '" + name + "'");
  return rows;
}

}  // namespace

Batch Dataset::get(int64_t row) const {
  Batch batch;
  get_batch({&row, 1}, batch);
  if (batch.row_ids().empty() && batch.rows() == 1) batch.row_ids().push_back(row);
  return batch;
}

void TensorDataset::add(const std::string& name, const Rows& rows) {
  entries_.emplace_back(name, prepared(name, rows)).second.seal();
  const auto& [first_name, first] = entries_.front();
  const int64_t size = entries_.back().second.size();
  if (size != first.size()) throw DataError::rows_differ(first_name, first.size(), name, size);
  rows_ = size;
}

TensorDataset::TensorDataset(NamedTensors tensors) {
  if (tensors.empty()) throw DataError::empty("the data set", "give it at least one tensor");
  for (const auto& [name, tensor] : tensors) {
    add(name, tensor.defined() ? tensor.detach() : tensor);
  }
}

TensorDataset TensorDataset::of_rows(NamedRows rows) {
  if (rows.empty()) throw DataError::empty("the data set", "give it at least one tensor");
  TensorDataset result;
  for (const auto& [name, own] : rows) result.add(name, own);
  return result;
}

TensorDataset::TensorDataset(torch::Tensor input, torch::Tensor target)
    : TensorDataset(NamedTensors{{"input", std::move(input)}, {"target", std::move(target)}}) {}

void TensorDataset::set_scale(std::string_view name, ByteScale scale) {
  std::vector<std::string> names;
  for (auto& entry : entries_) {
    names.push_back(entry.first);
    if (entry.first != name) continue;
    const auto& bytes = entry.second.source();
    if (bytes.scalar_type() != at::kByte) {
      throw DataError::bad_value("its type", c10::toString(entry.second.dtype()),
                                 "tensor '" + entry.first + "'",
                                 "it must be Byte (uint8) to have a scale");
    }
    elsewhere_ = {};
    entry.second = Rows(bytes, scale);
    entry.second.seal();
    return;
  }
  throw DataError::no_such_tensor(name, names);
}

NamedTensors TensorDataset::tensors() const {
  NamedTensors tensors;
  for (const auto& [name, rows] : entries_) {
    tensors.emplace_back(name, rows.is_sparse() ? rows.tensor() : rows.source());
  }
  return tensors;
}

void TensorDataset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  put_batch(rows, /*in_place=*/false, out);
}

void TensorDataset::select_batch(std::span<const int64_t> rows, Batch& out) const {
  put_batch(rows, /*in_place=*/!rows.empty(), out);
}

void TensorDataset::put_batch(std::span<const int64_t> rows, bool in_place, Batch& out) const {
  require_rows_in_range(rows, rows_);
  auto& entries = out.entries();
  take_names(entries_, entries);
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Rows& source = entries_[i].second;
    if (in_place && is_worth_selecting(source)) {
      source.select(rows, entries[i].second);
    } else {
      source.gather(rows, entries[i].second);
    }
  }
  out.row_ids().assign(rows.begin(), rows.end());
}

void TensorDataset::announce(std::span<const int64_t> rows, Batch& out) const {
  for (auto& [name, selected] : out.entries()) {
    // Kernels fetch sparse rows in a way of their own.
    if (!selected.is_whole() && !selected.is_sparse()) selected.announce(rows);
  }
}

std::shared_ptr<const TensorDataset> TensorDataset::on(at::Device device, size_t most_bytes) const {
  const std::lock_guard lock(elsewhere_.mutex);
  auto there = elsewhere_.there.lock();
  if (there && there->entries_.front().second.source().device() == device) return there;
  size_t bytes = 0;
  for (const auto& [name, rows] : entries_) {
    if (rows.is_sparse()) return nullptr;
    bytes += rows.source().nbytes();
  }
  if (bytes > most_bytes) return nullptr;
  // A prediction may copy the data first, but a training step couldn't use inference tensors.
  std::optional<c10::InferenceMode> normal_mode;
  if (c10::InferenceMode::is_enabled()) normal_mode.emplace(false);
  NamedTensors tensors;
  for (const auto& [name, rows] : entries_) {
    tensors.emplace_back(name, rows.source().to(device));
  }
  auto result = std::make_shared<TensorDataset>(std::move(tensors));
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (const auto& scale = entries_[i].second.scale()) {
      result->set_scale(entries_[i].first, *scale);
    }
  }
  elsewhere_.there = result;
  return result;
}

InMemory find_in_memory(const std::shared_ptr<const Dataset>& dataset) {
  InMemory found;
  auto next = dataset;
  while (const auto* subset = dynamic_cast<const Subset*>(next.get())) {
    if (found.rows.empty()) {
      found.rows = subset->rows();
    } else {
      for (auto& row : found.rows) row = subset->rows()[static_cast<size_t>(row)];
    }
    next = subset->shared_parent();
  }
  // A derived class may have other rows than its tensors'.
  const Dataset* const innermost = next.get();
  if (innermost != nullptr && typeid(*innermost) == typeid(TensorDataset)) {
    found.tensors = std::static_pointer_cast<const TensorDataset>(next);
  }
  return found;
}

Subset::Subset(std::shared_ptr<const Dataset> parent, std::vector<int64_t> rows)
    : parent_(std::move(parent)), rows_(std::move(rows)) {
  if (const auto size = parent_->size()) {
    require_rows_in_range(rows_, *size, "check the numbers that the subset is made of");
  }
}

void Subset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  put_batch(rows, &Dataset::get_batch, out);
}

void Subset::select_batch(std::span<const int64_t> rows, Batch& out) const {
  put_batch(rows, &Dataset::select_batch, out);
}

void Subset::announce(std::span<const int64_t> rows, Batch& out) const {
  with_translated(rows, [&](const auto& translated) { parent_->announce(translated, out); });
}

template <class Use>
void Subset::with_translated(std::span<const int64_t> rows, const Use& use) const {
  require_rows_in_range(rows, *size());
  // A buffer that each thread keeps. It is moved out while in use, because the parent may be a
  // Subset as well and then needs a buffer of its own.
  thread_local std::vector<int64_t> spare;
  std::vector<int64_t> translated = std::move(spare);
  translated.resize(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) translated[i] = rows_[static_cast<size_t>(rows[i])];
  use(translated);
  spare = std::move(translated);
}

void Subset::put_batch(std::span<const int64_t> rows, PutBatch put, Batch& out) const {
  with_translated(rows, [&](const auto& translated) {
    out.row_ids().clear();
    ((*parent_).*put)(translated, out);
    if (out.row_ids().empty()) out.row_ids().assign(translated.begin(), translated.end());
  });
}

}  // namespace levin
