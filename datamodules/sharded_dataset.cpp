#include <levin/datamodules/sharded_dataset.h>

#include <c10/util/Half.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include <levin/framework/error.h>
#include <levin/framework/kernels/kernels.h>

namespace levin {
namespace {

using readers::DType;

bool is_floating(DType dtype) {
  return dtype == DType::float16 || dtype == DType::float32 || dtype == DType::float64;
}

template <class From, class To>
void convert_values(const std::byte* from, size_t count, To* to) {
  for (size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof(From), sizeof(From));  // rows needn't be aligned
    to[i] = static_cast<To>(value);
  }
}

/// Numbers of any type as float or int64.
template <class To>
void convert_numbers(DType dtype, const std::byte* from, size_t count, To* to) {
  switch (dtype) {
    case DType::bool_:
    case DType::uint8:
      return convert_values<uint8_t>(from, count, to);
    case DType::int8:
      return convert_values<int8_t>(from, count, to);
    case DType::uint16:
      return convert_values<uint16_t>(from, count, to);
    case DType::int16:
      return convert_values<int16_t>(from, count, to);
    case DType::uint32:
      return convert_values<uint32_t>(from, count, to);
    case DType::int32:
      return convert_values<int32_t>(from, count, to);
    case DType::uint64:
      return convert_values<uint64_t>(from, count, to);
    case DType::int64:
      return convert_values<int64_t>(from, count, to);
    case DType::float16:
      return convert_values<c10::Half>(from, count, to);
    case DType::float32:
      return convert_values<float>(from, count, to);
    case DType::float64:
      return convert_values<double>(from, count, to);
  }
}

at::ScalarType output_type(const readers::Column& column, const ShardedDatasetOptions& options) {
  if (column.name == "target") {
    const bool classes =
        options.target_kind == readers::TargetKind::classes ||
        (options.target_kind == readers::TargetKind::automatic && !is_floating(column.dtype));
    return classes ? at::kLong : at::kFloat;
  }
  return column.dtype == DType::uint8 && options.scale == 0.0 ? at::kByte : at::kFloat;
}

bool is_of_type(DType dtype, at::ScalarType type) {
  return (dtype == DType::uint8 && type == at::kByte) ||
         (dtype == DType::float32 && type == at::kFloat) ||
         (dtype == DType::int64 && type == at::kLong);
}

bool fits_in_half_of_memory(uint64_t bytes) {
  const auto pages = ::sysconf(_SC_PHYS_PAGES);
  const auto page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 &&
         bytes <= static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) / 2;
}

}  // namespace

/// Finds rows in memory, keeping the blocks they lie in as long as it lives.
class ShardedDataset::Gatherer {
 public:
  explicit Gatherer(const ShardedDataset& dataset)
      : dataset_(dataset), row_(dataset.outputs_.size()) {}

  /// Where each column of `row` lies, until the next call or, in a block, longer.
  std::span<const std::byte* const> find(int64_t row) {
    const auto at = dataset_.table_->find(row);
    Slot& slot = slots_[static_cast<size_t>(at.block) % slots_.size()];
    if (slot.number != at.block) {
      slot = {at.block, dataset_.cache_->find(at.block)};
      if (slot.block) kept_.push_back(slot.block);
    }
    if (!slot.block) return read(at);
    for (size_t i = 0; i < row_.size(); ++i) {
      const auto& column = slot.block->columns[i];
      row_[i] = column.data + static_cast<size_t>(at.offset) * column.stride;
    }
    return row_;
  }

 private:
  struct Slot {
    int64_t number = -1;
    BlockCache::BlockPointer block;
  };

  std::span<const std::byte* const> read(const BlockTable::Row& at) {
    const auto place = dataset_.table_->place_of(at.block);
    buffers_.resize(row_.size());
    std::vector<std::byte*> out;
    for (size_t i = 0; i < row_.size(); ++i) {
      buffers_[i].resize(dataset_.outputs_[i].column.bytes());
      out.push_back(buffers_[i].data());
      row_[i] = buffers_[i].data();
    }
    dataset_.shards_[static_cast<size_t>(place.file)]->read_row(place.first + at.offset, out);
    return row_;
  }

  const ShardedDataset& dataset_;
  std::array<Slot, 256> slots_;
  std::vector<BlockCache::BlockPointer> kept_;
  std::vector<const std::byte*> row_;
  std::vector<readers::Bytes> buffers_;
};

ShardedDataset::ShardedDataset(readers::Shards shards, ShardedDatasetOptions options)
    : shards_(std::move(shards)), options_(options) {
  for (const auto& column : shards_.front()->columns()) {
    const auto type = output_type(column, options_);
    outputs_.push_back({column, type, is_of_type(column.dtype, type)});
  }
  std::vector<int64_t> rows;
  size_t row_bytes = 0;
  for (const auto& shard : shards_) {
    rows.push_back(shard->rows());
    row_bytes = std::max(row_bytes, shard->row_bytes());
  }
  row_bytes += sizeof(int64_t);  // its number in the order of an epoch
  table_ =
      std::make_shared<BlockTable>(rows, BlockTable::rows_for(static_cast<int64_t>(row_bytes)));
  const bool direct = !options_.page_cache.value_or(fits_in_half_of_memory(file_bytes()));
  cache_ = std::make_shared<BlockCache>(shards_, table_, direct, options_.read_threads);
}

uint64_t ShardedDataset::file_bytes() const {
  uint64_t bytes = 0;
  for (const auto& shard : shards_) bytes += shard->file_bytes();
  return bytes;
}

std::shared_ptr<const ShardSampler> ShardedDataset::sampler(ShardSamplerOptions options) const {
  return std::make_shared<ShardSampler>(table_, options, cache_);
}

std::string ShardedDataset::origin_of(int64_t row) const {
  const auto at = table_->find(row);
  const auto place = table_->place_of(at.block);
  return fmt::format("{}, row {}", shards_[static_cast<size_t>(place.file)]->name(),
                     place.first + at.offset);
}

void ShardedDataset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  const auto count = static_cast<int64_t>(rows.size());
  auto& buffers = out.buffers();
  buffers.resize(outputs_.size());
  std::vector<char*> targets;
  std::vector<size_t> row_bytes;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    auto& [name, tensor] = buffers[i];
    if (name != outputs_[i].column.name) name = outputs_[i].column.name;
    tensor =
        reuse_or_allocate(std::move(tensor), count, outputs_[i].column.shape, outputs_[i].dtype);
    targets.push_back(static_cast<char*>(tensor.mutable_data_ptr()));
    row_bytes.push_back(outputs_[i].column.values() * tensor.itemsize());
  }
  Gatherer gatherer(*this);
  for (const int64_t row : rows) {
    if (static_cast<uint64_t>(row) >= static_cast<uint64_t>(table_->rows())) {
      throw DataError::bad_value("a row number", std::to_string(row), "a batch",
                                 fmt::format("the data set has rows 0 to {}", table_->rows() - 1));
    }
    const auto columns = gatherer.find(row);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (outputs_[i].copied) {
        std::memcpy(targets[i], columns[i], row_bytes[i]);
      } else {
        convert(outputs_[i], columns[i], row, targets[i]);
      }
      targets[i] += row_bytes[i];
    }
  }
  out.row_ids().assign(rows.begin(), rows.end());
}

void ShardedDataset::convert(const Output& output, const std::byte* from, int64_t row,
                             void* to) const {
  const auto& column = output.column;
  const size_t count = column.values();
  if (output.dtype == at::kLong && is_floating(column.dtype)) {
    for (size_t i = 0; i < count; ++i) {
      double value = 0.0;
      convert_numbers(column.dtype, from + i * item_size(column.dtype), 1, &value);
      constexpr double kExact = 9007199254740992.0;  // 2^53
      if (value != std::trunc(value) || std::abs(value) > kExact) {
        throw DataError::bad_value("a class", fmt::format("{}", value), origin_of(row),
                                   "classes are whole numbers; set target_type = value for others");
      }
      static_cast<int64_t*>(to)[i] = static_cast<int64_t>(value);
    }
  } else if (output.dtype == at::kLong) {
    convert_numbers(column.dtype, from, count, static_cast<int64_t*>(to));
  } else if (column.dtype == DType::uint8 && column.name != "target") {
    kernels::best().convert_bytes(reinterpret_cast<const uint8_t*>(from),
                                  static_cast<int64_t>(count), static_cast<float>(options_.scale),
                                  0.0F, static_cast<float*>(to));
  } else {
    convert_numbers(column.dtype, from, count, static_cast<float*>(to));
  }
}

}  // namespace levin
