#include <levin/framework/dataset.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <levin/framework/error.h>

#include <cstring>
#include <string>
#include <utility>

namespace levin {
namespace {

bool is_plain_cpu(const torch::Tensor& tensor) {
  return tensor.is_cpu() && tensor.layout() == at::kStrided;
}

void check_rows(std::span<const int64_t> rows, int64_t size) {
  // Negative numbers are above every size when read as unsigned.
  for (const int64_t row : rows) {
    if (static_cast<uint64_t>(row) < static_cast<uint64_t>(size)) continue;
    throw DataError::bad_value("a row number", std::to_string(row), "a batch or subset",
                               "the data set has rows 0 to " + std::to_string(size - 1));
  }
}

bool are_consecutive(std::span<const int64_t> rows) {
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i] != rows[i - 1] + 1) return false;
  }
  return true;
}

template <class Word>
void gather_words(const void* from, std::span<const int64_t> rows, void* to) {
  const auto* source = static_cast<const Word*>(from);
  auto* target = static_cast<Word*>(to);
  for (const int64_t row : rows) *target++ = source[row];
}

// Rows of a few values, in multiples of 16 bytes: cheaper than a call of memcpy each.
void gather_chunks(const char* from, size_t row_bytes, std::span<const int64_t> rows, char* to) {
  constexpr size_t kChunk = 16;
  for (const int64_t row : rows) {
    const char* source = from + static_cast<size_t>(row) * row_bytes;
    for (size_t done = 0; done < row_bytes; done += kChunk) {
      std::memcpy(to + done, source + done, kChunk);
    }
    to += row_bytes;
  }
}

void gather_bytes(const char* from, size_t row_bytes, std::span<const int64_t> rows, char* to) {
  constexpr size_t kAhead = 8;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + kAhead < rows.size()) {
      __builtin_prefetch(from + static_cast<size_t>(rows[i + kAhead]) * row_bytes);
    }
    std::memcpy(to + i * row_bytes, from + static_cast<size_t>(rows[i]) * row_bytes, row_bytes);
  }
}

// By plain copies on the calling thread: LibTorch's index_select would start a team of threads
// under each loader's worker.
void gather(const torch::Tensor& source, std::span<const int64_t> rows, bool consecutive,
            torch::Tensor& target) {
  if (rows.empty() || source.numel() == 0) return;
  const auto row_bytes = source.nbytes() / static_cast<size_t>(source.size(0));
  const auto* from = static_cast<const char*>(source.const_data_ptr());
  auto* to = static_cast<char*>(target.mutable_data_ptr());
  if (consecutive) {
    std::memcpy(to, from + static_cast<size_t>(rows[0]) * row_bytes, rows.size() * row_bytes);
  } else if (row_bytes == 8) {
    gather_words<uint64_t>(from, rows, to);
  } else if (row_bytes == 4) {
    gather_words<uint32_t>(from, rows, to);
  } else if (row_bytes == 1) {
    gather_words<uint8_t>(from, rows, to);
  } else if (row_bytes % 16 == 0 && row_bytes <= 128) {
    gather_chunks(from, row_bytes, rows, to);
  } else {
    gather_bytes(from, row_bytes, rows, to);
  }
}

// Where the names differ, `out` gets those of `like`, without tensors.
void take_names(const NamedTensors& like, NamedTensors& out) {
  out.resize(like.size());
  for (size_t i = 0; i < like.size(); ++i) {
    if (out[i].first != like[i].first) out[i] = {like[i].first, torch::Tensor()};
  }
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
}

TensorDataset::TensorDataset(torch::Tensor input, torch::Tensor target)
    : TensorDataset(NamedTensors{{"input", std::move(input)}, {"target", std::move(target)}}) {}

void TensorDataset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  check_rows(rows, rows_);
  const auto count = static_cast<int64_t>(rows.size());
  const bool consecutive = are_consecutive(rows);
  take_names(tensors_, out.tensors());
  torch::Tensor index;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto& source = tensors_[i].second;
    auto& target = out.tensors()[i].second;
    if (is_plain_cpu(source)) {
      target = reuse_or_allocate(std::move(target), count, source.sizes().slice(1),
                                 source.scalar_type());
      gather(source, rows, consecutive, target);
    } else if (consecutive && count > 0) {
      target = source.narrow(0, rows[0], count).clone();
    } else {
      if (!index.defined() || index.device() != source.device()) {
        auto* data = const_cast<int64_t*>(rows.data());
        index = at::from_blob(data, {count}, at::kLong).to(source.device(), at::kLong, true, true);
      }
      target = source.index_select(0, index);
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

bool is_unshared(const torch::Tensor& tensor) {
  // Memory that LibTorch didn't allocate may belong to anybody: it isn't resizable.
  return tensor.defined() && tensor.use_count() == 1 && tensor.has_storage() &&
         tensor.storage().use_count() == 1 && tensor.storage().resizable() &&
         !tensor.requires_grad();
}

torch::Tensor reuse_or_allocate(torch::Tensor tensor, int64_t rows, at::IntArrayRef row_shape,
                                at::ScalarType dtype) {
  if (is_unshared(tensor) && is_plain_cpu(tensor) && tensor.scalar_type() == dtype &&
      tensor.dim() == static_cast<int64_t>(row_shape.size()) + 1 &&
      tensor.sizes().slice(1) == row_shape && tensor.is_contiguous() &&
      tensor.storage_offset() == 0 && !tensor.is_inference()) {
    if (tensor.size(0) == rows) return tensor;
    const auto values = static_cast<size_t>(c10::multiply_integers(row_shape) * rows);
    if (values * tensor.dtype().itemsize() <= tensor.storage().nbytes()) {
      at::DimVector shape(tensor.sizes());
      shape[0] = rows;
      tensor.unsafeGetTensorImpl()->set_sizes_contiguous(shape);  // resize_ allocates
      return tensor;
    }
  }
  at::DimVector shape{rows};
  shape.append(row_shape.begin(), row_shape.end());
  return at::empty(shape, at::TensorOptions(dtype));
}

}  // namespace levin
