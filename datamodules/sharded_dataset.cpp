#include <levin/datamodules/sharded_dataset.h>

#include <c10/util/Half.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/core/memory.h>
#include <levin/framework/kernels/cpu/kernels.h>

namespace levin {
namespace {

using readers::DType;

template <class From, class To>
void convert_values(const std::byte* from, size_t count, To* to) {
  for (size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, from + i * sizeof(From), sizeof(From));  // rows needn't be aligned
    to[i] = static_cast<To>(value);
  }
}

/// Converts numbers of any type to float, double or int64.
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

/// The type that a column of a file has in a batch.
DType type_in_batch(const readers::Column& column, const ShardedDatasetOptions& options) {
  const bool stays = column.dtype == DType::float64 && options.keep_float64;
  const DType floating = stays ? DType::float64 : DType::float32;
  if (column.name == "target") {
    const bool classes = options.target_type == readers::TargetType::classes ||
                         (options.target_type == readers::TargetType::automatic &&
                          !readers::is_floating(column.dtype));
    return classes ? DType::int64 : floating;
  }
  if (column.name == "group" && column.dtype == DType::int64) return DType::int64;
  return column.dtype == DType::uint8 && options.scale == 0.0 ? DType::uint8 : floating;
}

at::ScalarType tensor_type(DType dtype) {
  if (dtype == DType::uint8) return at::kByte;
  if (dtype == DType::float64) return at::kDouble;
  return dtype == DType::int64 ? at::kLong : at::kFloat;
}

/// Whether none of the floats is NaN or infinite. In those, and only in those, all bits of the
/// exponent are ones, so that adding 1 to the exponent carries into the sign bit.
bool are_finite(const char* floats, size_t count) {
  constexpr uint32_t kExponent = 0x7f800000;
  constexpr uint32_t kOne = 0x00800000;
  typedef uint32_t Four __attribute__((vector_size(16)));  // one vector register
  Four carries[2] = {};
  for (; count >= 8; count -= 8, floats += 2 * sizeof(Four)) {
    Four words[2];
    std::memcpy(words, floats, sizeof(words));
    carries[0] |= (words[0] & kExponent) + kOne;
    carries[1] |= (words[1] & kExponent) + kOne;
  }
  carries[0] |= carries[1];
  uint32_t carry = carries[0][0] | carries[0][1] | carries[0][2] | carries[0][3];
  for (; count > 0; --count, floats += sizeof(uint32_t)) {
    uint32_t word = 0;
    std::memcpy(&word, floats, sizeof(word));
    carry |= (word & kExponent) + kOne;
  }
  return carry < uint32_t{1} << 31;
}

}  // namespace

/// Finds the rows of one batch in memory and keeps their blocks there until it is destroyed. Its
/// working memory belongs to the thread and is used again for the next batch, so that finding rows
/// allocates nothing; a thread must not have two of these at a time.
class ShardedDataset::Gatherer {
 public:
  /// Where a column of a row lies, and where in the batch it goes.
  struct Cursor {
    const std::byte* from = nullptr;
    char* to = nullptr;
  };

  explicit Gatherer(const ShardedDataset& dataset) : dataset_(dataset), kept_(of_this_thread()) {
    kept_.cursors.assign(dataset.columns_.size(), {});
  }
  ~Gatherer() { kept_.slots.fill({}); }
  Gatherer(const Gatherer&) = delete;
  Gatherer& operator=(const Gatherer&) = delete;

  std::vector<Cursor>& cursors() { return kept_.cursors; }
  /// Points the cursors to `row`, until the next call.
  void find(int64_t row) {
    const auto at = dataset_.table_->find(row);
    Slot& slot = kept_.slots[static_cast<size_t>(at.block) % kept_.slots.size()];
    if (slot.number != at.block) slot = {at.block, dataset_.cache_->find(at.block)};
    if (!slot.block) return read(at);
    for (size_t i = 0; i < kept_.cursors.size(); ++i) {
      const auto& column = slot.block->columns[i];
      kept_.cursors[i].from = column.data + static_cast<size_t>(at.offset) * column.stride;
    }
  }

 private:
  struct Slot {
    int64_t number = -1;
    BlockCache::BlockPointer block;
  };
  struct Kept {
    std::array<Slot, 256> slots;
    std::vector<Cursor> cursors;
  };
  static Kept& of_this_thread() {
    thread_local Kept kept;
    return kept;
  }

  /// The slow path, for a row whose block nobody holds in memory.
  void read(const BlockTable::Row& at) {
    const auto place = dataset_.table_->place_of(at.block);
    row_.resize(kept_.cursors.size());
    std::vector<std::byte*> out;
    for (size_t i = 0; i < row_.size(); ++i) {
      row_[i].resize(dataset_.outputs_[i].source.bytes());
      out.push_back(row_[i].data());
      kept_.cursors[i].from = row_[i].data();
    }
    dataset_.shards_[static_cast<size_t>(place.file)]->read_row(place.first + at.offset, out);
  }

  const ShardedDataset& dataset_;
  Kept& kept_;
  std::vector<readers::Bytes> row_;
};

ShardedDataset::ShardedDataset(readers::Shards shards, ShardedDatasetOptions options)
    : shards_(std::move(shards)), options_(options) {
  if (options_.read_threads < 1) {
    throw ConfigError::invalid_value("read_threads", std::to_string(options_.read_threads),
                                     "must be at least 1");
  }
  for (const auto& source : shards_.front()->columns()) {
    const DType dtype = type_in_batch(source, options_);
    columns_.push_back({source.name, dtype, source.shape});
    outputs_.push_back({source, dtype, source.dtype == dtype,
                        dtype == DType::float32 && readers::is_floating(source.dtype),
                        columns_.back().values(), columns_.back().bytes()});
  }
  std::vector<int64_t> rows;
  size_t row_bytes = 0;
  for (const auto& shard : shards_) {
    rows.push_back(shard->rows());
    row_bytes = std::max(row_bytes, shard->row_bytes());
  }
  row_bytes += sizeof(int64_t);  // the sampler keeps each row's number
  const auto block_rows = BlockTable::rows_for(static_cast<int64_t>(row_bytes));
  table_ = std::make_shared<BlockTable>(
      rows, block_rows, std::max(BlockTable::kBlockBytes, static_cast<int64_t>(row_bytes)));
  const bool direct = !options_.page_cache.value_or(file_bytes() <= physical_memory() / 2);
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

std::vector<std::filesystem::path> ShardedDataset::source_files() const {
  std::vector<std::filesystem::path> files;
  for (const auto& shard : shards_) {
    for (auto& file : shard->files()) files.push_back(std::move(file));
  }
  return files;
}

std::string ShardedDataset::origin_of(int64_t row) const {
  const auto at = table_->find(row);
  const auto place = table_->place_of(at.block);
  return fmt::format("{}, row {}", shards_[static_cast<size_t>(place.file)]->name(),
                     place.first + at.offset);
}

void ShardedDataset::get_batch(std::span<const int64_t> rows, Batch& out) const {
  const auto count = static_cast<int64_t>(rows.size());
  auto& entries = out.entries();
  entries.resize(columns_.size());
  Gatherer gatherer(*this);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const auto& column = columns_[i];
    auto& [name, buffer] = entries[i];
    if (name != column.name) name = column.name;
    const auto& tensor = buffer.allocate(count, column.shape, tensor_type(column.dtype));
    gatherer.cursors()[i].to = static_cast<char*>(tensor.mutable_data_ptr());
  }
  require_rows_in_range(rows, table_->rows());
  for (const int64_t row : rows) {
    gatherer.find(row);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      auto& cursor = gatherer.cursors()[i];
      put(outputs_[i], cursor.from, row, cursor.to);
      cursor.to += outputs_[i].bytes;
    }
  }
  out.row_ids().assign(rows.begin(), rows.end());
}

/// Writes one column of one row to its place in a batch.
void ShardedDataset::put(const Output& output, const std::byte* from, int64_t row, char* to) const {
  if (!output.copied) convert(output, from, row, to);
  if (!output.checked) {
    if (output.copied) std::memcpy(to, from, output.bytes);
    return;
  }
  // So few that they are still in the L1 cache when they are checked.
  constexpr size_t kAtATime = 1024;
  for (size_t first = 0; first < output.values; first += kAtATime) {
    const size_t count = std::min(kAtATime, output.values - first);
    char* const part = to + first * sizeof(float);
    if (output.copied) std::memcpy(part, from + first * sizeof(float), count * sizeof(float));
    if (are_finite(part, count)) continue;
    const auto* const values = reinterpret_cast<const float*>(part);
    size_t bad = 0;
    while (std::isfinite(values[bad])) ++bad;
    const DType type = output.source.dtype;
    double value = 0.0;  // as it is in the file, where a float64 may be finite
    convert_numbers(type, from + (first + bad) * item_size(type), 1, &value);
    throw DataError(
        fmt::format("{} (from 0): the {} holds {}; every number must be finite and fit in float32. "
                    "Replace it, or leave out the row.",
                    origin_of(row), output.source.name, value));
  }
}

void ShardedDataset::convert(const Output& output, const std::byte* from, int64_t row,
                             void* to) const {
  const DType type = output.source.dtype;
  if (output.dtype == DType::int64 && readers::is_floating(type)) {
    for (size_t i = 0; i < output.values; ++i) {
      double value = 0.0;
      convert_numbers(type, from + i * item_size(type), 1, &value);
      if (!readers::is_whole(value)) {
        throw DataError::bad_value("the class", fmt::format("{}", value),
                                   origin_of(row) + " (from 0)",
                                   "classes must be whole numbers up to 2^53. If the targets "
                                   "aren't classes, set target_type = value.");
      }
      static_cast<int64_t*>(to)[i] = static_cast<int64_t>(value);
    }
  } else if (output.dtype == DType::int64) {
    convert_numbers(type, from, output.values, static_cast<int64_t*>(to));
  } else if (type == DType::uint8 && output.source.name != "target") {
    kernels::best().convert_bytes(
        reinterpret_cast<const uint8_t*>(from), static_cast<int64_t>(output.values),
        static_cast<float>(options_.scale), 0.0F, static_cast<float*>(to));
  } else {
    convert_numbers(type, from, output.values, static_cast<float*>(to));
  }
}

}  // namespace levin
