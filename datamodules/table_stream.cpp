#include <levin/datamodules/table_stream.h>

#include <algorithm>
#include <cfloat>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/tables/apply_table.h>
#include <levin/datamodules/tables/fit_table.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

// Part of the generator's key, so that the draw has random numbers of its own.
constexpr uint64_t kDrawKey = 0x647261770001;

/// The rows whose cells are in memory as texts at a time.
constexpr int64_t kTableRowsAtATime = 1024;

/// Calls `use(table, row)` for each row.
template <class Use>
void for_each_row(const tables::TableRows& rows, const Use& use) {
  auto table = rows.file().header();
  for (tables::TableCursor cursor(rows); cursor.next(kTableRowsAtATime, table);) {
    for (int64_t row = 0; row < table.rows(); ++row) use(table, row);
  }
}

/// Chooses the rows whose draw lies in [from, to).
tables::TableRows::Choice drawn(int64_t seed, double from, double to) {
  return [key = static_cast<uint64_t>(seed), from, to](int64_t row) {
    const double draw = KeyedGenerator(key, kDrawKey, static_cast<uint64_t>(row)).uniform();
    return draw >= from && draw < to;
  };
}

tables::TableRows::Choice between(int64_t from, int64_t to) {
  return [from, to](int64_t row) { return row >= from && row < to; };
}

/// Reads the keys of rows, mostly those behind the ones that it read before.
class KeyReader {
 public:
  KeyReader(const TableFilePointer& file, size_t column)
      : rows_(file), column_(column), table_(file->header()) {}

  std::vector<std::string> read(int64_t first, int64_t count) {
    if (!cursor_ || first != next_) cursor_.emplace(rows_, first);
    std::vector<std::string> keys;
    while (count > 0 && cursor_->next(std::min(count, kTableRowsAtATime), table_)) {
      count -= table_.rows();
      for (int64_t row = 0; row < table_.rows(); ++row) {
        keys.emplace_back(table_.cell(row, column_));
      }
    }
    next_ = first + std::ssize(keys);
    return keys;
  }

 private:
  tables::TableRows rows_;
  size_t column_;
  tables::TextTable table_;
  std::optional<tables::TableCursor> cursor_;
  int64_t next_ = 0;
};

}  // namespace

TableSets divided(const TableFilePointer& file, const RowSplit& split) {
  const auto sizes = split_sizes(file->rows(), split.val_split, split.test_split);
  const double share = split.val_split + split.test_split;
  if (share > 0.0 && split.draws_rows) {
    return {tables::TableRows(file, drawn(split.seed, share, 1.0)),
            tables::TableRows(file, drawn(split.seed, 0.0, split.val_split)),
            tables::TableRows(file, drawn(split.seed, split.val_split, share))};
  }
  const int64_t held_out = sizes.val + sizes.test;
  return {held_out == 0 ? tables::TableRows(file)
                        : tables::TableRows(file, between(held_out, file->rows())),
          tables::TableRows(file, between(0, sizes.val)),
          tables::TableRows(file, between(sizes.val, held_out))};
}

void require_no_empty_set(const TableSets& sets, const RowSplit& split, Stage stage) {
  if (!split.draws_rows) return require_no_empty_set(sets.train.file().rows(), split, stage);
  const auto require = [&](Stage needs, const char* option, double share,
                           const tables::TableRows& rows) {
    if (stage != Stage::fit && stage != needs) return;
    if (share <= 0.0 || rows.rows() > 0) return;
    throw DataError(fmt::format(
        "{}: with {} = {} and seed = {}, none of the {} was drawn; raise {}, or set it "
        "to 0",
        rows.file().name(), option, share, split.seed, counted(rows.file().rows(), "row"), option));
  };
  require(Stage::validate, "val_split", split.val_split, sets.val);
  require(Stage::test, "test_split", split.test_split, sets.test);
  if (stage != Stage::fit || sets.train.rows() > 0) return;
  throw DataError(fmt::format(
      "{}: val_split = {} and test_split = {} take all {}, so the training set would be "
      "empty; lower one of them",
      sets.train.file().name(), split.val_split, split.test_split,
      counted(sets.train.file().rows(), "row")));
}

tables::FittedTable fit_stream(const tables::TableRows& rows, const tables::TableSettings& settings,
                               std::vector<std::string>& notes) {
  tables::TableFitter fitter(rows.file().header(), settings, kMostKeptCells);
  do {
    for_each_row(
        rows, [&fitter](const tables::TextTable& table, int64_t row) { fitter.add(table, row); });
  } while (fitter.end_pass());
  return fitter.finish(notes);
}

TableSums table_sums(const tables::TableRows& rows, const tables::FittedTable& fitted,
                     const std::string& weights) {
  const auto header = rows.file().header();
  const tables::TargetReader targets(fitted, header, DBL_MAX);
  std::optional<size_t> column;
  if (!weights.empty()) column = header.column(weights, "weights");
  TableSums sums{.classes = std::vector<double>(fitted.class_names.size(), 0.0)};
  double all = 0.0;
  for_each_row(rows, [&](const tables::TextTable& table, int64_t row) {
    const double weight = column ? tables::weight_of(table, row, *column, DBL_MAX) : 1.0;
    all += weight;
    if (fitted.has_values) return;
    sums.classes[static_cast<size_t>(targets.target(table, row))] += weight;
  });
  sums.mean_weight = all / static_cast<double>(std::max<int64_t>(rows.rows(), 1));
  return sums;
}

std::shared_ptr<const ShardedDataset> stream_of(tables::TableRows rows,
                                                std::shared_ptr<const tables::FittedTable> fitted,
                                                tables::TableShardOptions options,
                                                int64_t read_threads) {
  readers::Shards shards{
      std::make_shared<tables::TableShard>(std::move(rows), std::move(fitted), std::move(options))};
  return std::make_shared<ShardedDataset>(
      std::move(shards), ShardedDatasetOptions{.keep_float64 = true, .read_threads = read_threads});
}

RowKeys streamed_keys(const TableFilePointer& file, const std::string& column) {
  const auto reader = std::make_shared<KeyReader>(file, file->header().column(column, "key"));
  return {.name = column,
          .read = [reader](int64_t first, int64_t count) { return reader->read(first, count); }};
}

}  // namespace levin
