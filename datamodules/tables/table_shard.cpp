#include <levin/datamodules/tables/table_shard.h>

#include <algorithm>
#include <cfloat>
#include <cstring>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/bytes.h>

namespace levin::tables {
namespace {

/// The rows whose cells are in memory as texts at a time.
constexpr int64_t kRowsAtATime = 1024;

/// Writes numbers as a type of a file; `to` needn't be aligned.
void put_numbers(readers::DType dtype, std::span<const double> numbers, std::byte* to) {
  if (dtype == readers::DType::float64) {
    std::memcpy(to, numbers.data(), numbers.size_bytes());
    return;
  }
  for (const double each : numbers) {
    const auto number = static_cast<float>(each);
    std::memcpy(to, &number, sizeof(number));
    to += sizeof(number);
  }
}

void put_target(readers::DType dtype, double target, std::byte* to) {
  if (dtype != readers::DType::int64) return put_numbers(dtype, {&target, 1}, to);
  const auto label = static_cast<int64_t>(target);
  std::memcpy(to, &label, sizeof(label));
}

}  // namespace

TableShard::TableShard(TableRows rows, std::shared_ptr<const FittedTable> fitted,
                       TableShardOptions options)
    : table_(std::move(rows)),
      fitted_(std::move(fitted)),
      options_(std::move(options)),
      largest_(options_.dtype == readers::DType::float32 ? double{FLT_MAX} : DBL_MAX),
      features_(*fitted_, table_.file().header(),
                {.unknown = options_.unknown, .largest = largest_}) {
  name_ = table_.file().name();
  rows_ = table_.rows();
  const auto header = table_.file().header();
  columns_.push_back({"input", options_.dtype, {features_.width()}});
  if (options_.has_target) {
    targets_.emplace(*fitted_, header, largest_);
    columns_.push_back(
        {"target", fitted_->has_values ? options_.dtype : readers::DType::int64, {}});
  }
  if (!options_.weights.empty()) {
    weights_ = header.column(options_.weights, "weights");
    columns_.push_back({"weight", options_.dtype, {}});
  }
  if (fitted_->group.empty()) return;
  groups_.emplace(*fitted_, header);
  columns_.push_back({"group", readers::DType::int64, {}});
}

size_t TableShard::row_bytes() const {
  size_t bytes = 0;
  for (const auto& column : columns_) bytes += column.bytes();
  return bytes;
}

void TableShard::load(int64_t first, int64_t count, bool /*direct*/, readers::BlockBuffer& buffer,
                      std::span<readers::RowsInMemory> views) const {
  constexpr size_t kAlignment = 64;
  size_t size = 0;
  std::vector<size_t> offsets;
  for (const auto& column : columns_) {
    offsets.push_back(size);
    size += readers::rounded_up(static_cast<size_t>(count) * column.bytes(), kAlignment);
  }
  std::byte* const start = buffer.reserve(size);
  std::vector<std::byte*> out;
  for (size_t i = 0; i < columns_.size(); ++i) {
    out.push_back(start + offsets[i]);
    views[i] = {out.back(), columns_[i].bytes()};
  }
  write(first, count, out);
}

void TableShard::read_row(int64_t row, std::span<std::byte* const> out) const {
  write(row, 1, out);
}

/// Calls `use(table)` with some consecutive rows at a time.
template <class Use>
void TableShard::for_each_piece(int64_t first, int64_t count, const Use& use) const {
  TextTable table = table_.file().header();
  TableCursor cursor(table_, first);
  while (count > 0 && cursor.next(std::min(count, kRowsAtATime), table)) {
    count -= table.rows();
    use(table);
  }
}

void TableShard::check() const {
  std::vector<double> features(static_cast<size_t>(features_.width()));
  for_each_piece(0, rows_, [&](const TextTable& table) {
    for (int64_t row = 0; row < table.rows(); ++row) {
      features_.write(table, row, features.data());
      if (targets_) targets_->target(table, row);
      if (weights_) weight_of(table, row, *weights_, largest_);
      if (groups_) groups_->group(table, row);
    }
  });
}

/// Writes the columns of consecutive rows to `out`, one for each column.
void TableShard::write(int64_t first, int64_t count, std::span<std::byte* const> out) const {
  std::vector<std::byte*> to(out.begin(), out.end());
  std::vector<double> features(static_cast<size_t>(features_.width()));
  for_each_piece(first, count, [&](const TextTable& table) {
    for (int64_t row = 0; row < table.rows(); ++row) {
      features_.write(table, row, features.data());
      put_numbers(options_.dtype, features, to[0]);
      if (targets_) put_target(columns_[1].dtype, targets_->target(table, row), to[1]);
      if (weights_) {
        const double weight = weight_of(table, row, *weights_, largest_);
        put_numbers(options_.dtype, {&weight, 1}, to[targets_ ? 2 : 1]);
      }
      if (groups_) {
        const int64_t group = groups_->group(table, row);
        std::memcpy(to.back(), &group, sizeof(group));
      }
      for (size_t i = 0; i < to.size(); ++i) to[i] += columns_[i].bytes();
    }
  });
}

}  // namespace levin::tables
