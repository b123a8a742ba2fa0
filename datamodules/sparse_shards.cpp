#include <levin/datamodules/sparse_shards.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <levin/datamodules/readers/target_type.h>
#include <levin/framework/core/error.h>

namespace levin {

/// Finds the rows of a batch, and keeps their blocks in memory until it is destroyed. Its working
/// memory belongs to the thread; a thread must not have two of these at a time.
class SparseShards::Finder {
 public:
  explicit Finder(const SparseShards& data) : data_(data), kept_(of_this_thread()) {}
  ~Finder() {
    kept_.slots.fill({});
    kept_.blocks.clear();
    kept_.ranges.clear();
  }
  Finder(const Finder&) = delete;
  Finder& operator=(const Finder&) = delete;

  const std::vector<SparseRange>& ranges() const { return kept_.ranges; }
  void add(int64_t row) {
    const auto at = data_.source_->table->find(row);
    auto& slot = kept_.slots[static_cast<size_t>(at.block) % kept_.slots.size()];
    if (slot.number != at.block) slot = {at.block, find(at.block)};
    if (slot.rows == nullptr) {
      kept_.ranges.push_back({read(at), 0, 1});
      return;
    }
    auto& ranges = kept_.ranges;
    const bool follows = !ranges.empty() && ranges.back().rows == slot.rows &&
                         ranges.back().first + ranges.back().count == at.offset;
    if (follows) {
      ++ranges.back().count;
    } else {
      ranges.push_back({slot.rows, at.offset, 1});
    }
  }

 private:
  struct Slot {
    int64_t number = -1;
    const readers::SparseRows* rows = nullptr;
  };
  struct Kept {
    std::array<Slot, 256> slots;
    std::vector<std::shared_ptr<const void>> blocks;
    std::vector<SparseRange> ranges;
  };
  static Kept& of_this_thread() {
    thread_local Kept kept;
    return kept;
  }

  const readers::SparseRows* find(int64_t number) {
    auto block = data_.cache_->find(number);
    if (!block) return nullptr;
    const auto* rows = &block->sparse;
    kept_.blocks.push_back(std::move(block));
    return rows;
  }

  /// The slow path, for a row whose block nobody holds in memory.
  const readers::SparseRows* read(const BlockTable::Row& at) {
    auto row = std::make_shared<readers::SparseRows>();
    data_.source_->load(at.block, at.offset, 1, *row);
    kept_.blocks.push_back(row);
    return row.get();
  }

  const SparseShards& data_;
  Kept& kept_;
};

SparseShards::SparseShards(const std::vector<std::filesystem::path>& files, int64_t columns,
                           int64_t read_threads) {
  auto& [shards, table, layout, standardization] = *source_;
  std::vector<int64_t> rows;
  uint64_t bytes = 0;
  int64_t total = 0;
  for (const auto& file : files) {
    const auto& shard = *shards.emplace_back(std::make_unique<readers::SparseLvb>(file));
    rows.push_back(shard.rows());
    total += shard.rows();
    bytes += shard.file_bytes();
    layout.columns = std::max(layout.columns, shard.columns());
    layout.has_weight = layout.has_weight || shard.has_weights();
    if (shard.rows() == 0) {
      throw DataError(shard.name() + " has no rows; add at least one, or leave the file out");
    }
    const auto& first = *shards.front();
    if (shard.has_targets() != first.has_targets()) {
      throw DataError(fmt::format("{} has {}targets, but {} has {}; name only files that are alike",
                                  shard.name(), shard.has_targets() ? "" : "no ", first.name(),
                                  shard.has_targets() ? "none" : "some"));
    }
    if (columns == 0 || shard.columns() <= columns) continue;
    throw DataError::bad_value("the number of columns", std::to_string(shard.columns()),
                               shard.name(),
                               fmt::format("rows may have at most {}; set columns, or make the "
                                           "file again with num_features = {}",
                                           columns, columns));
  }
  if (shards.empty()) throw DataError::empty("the list of files", "name at least one");
  if (columns > 0) layout.columns = columns;
  layout.has_target = shards.front()->has_targets();
  const auto row_bytes = static_cast<int64_t>(bytes) / total + int64_t{sizeof(int64_t)};
  table = std::make_shared<BlockTable>(rows, BlockTable::rows_for(row_bytes),
                                       std::max(BlockTable::kBlockBytes, row_bytes));
  const auto load = [source = source_](int64_t block, BlockCache::Block& to) {
    source->load(block, 0, source->table->rows_of(block), to.sparse);
  };
  cache_ = std::make_shared<BlockCache>(load, read_threads);
}

const std::string& SparseShards::Source::name_of(int64_t block) const {
  return shards[static_cast<size_t>(table->place_of(block).file)]->name();
}

void SparseShards::Source::read(int64_t block, int64_t first, int64_t count,
                                readers::SparseRows& to) const {
  const auto place = table->place_of(block);
  shards[static_cast<size_t>(place.file)]->read(place.first + first, count, to);
}

void SparseShards::Source::load(int64_t block, int64_t first, int64_t count,
                                readers::SparseRows& to) const {
  read(block, first, count, to);
  if (standardization) standardization->apply(to);
  if (!layout.has_target || !layout.classes) return;
  const auto targets = to.targets.span();
  const auto bad = std::find_if(targets.begin(), targets.end(), [](float target) {
    return !readers::is_whole(static_cast<double>(target));
  });
  if (bad == targets.end()) return;
  throw DataError::bad_value(
      "the class", fmt::format("{}", *bad),
      fmt::format("{}, row {} (from 0)", name_of(block),
                  table->place_of(block).first + first + (bad - targets.begin())),
      "classes must be whole numbers. If the targets aren't classes, set target_type = value.");
}

void SparseShards::set_standardization(Standardization standardization) {
  standardization.require_columns(source_->layout.columns, source_->name_of(0));
  source_->standardization = std::move(standardization);
}

void SparseShards::for_each_block(
    const std::function<void(const readers::SparseRows&)>& use) const {
  readers::SparseRows rows;
  for (int64_t block = 0; block < source_->table->blocks(); ++block) {
    source_->read(block, 0, source_->table->rows_of(block), rows);
    use(rows);
  }
}

readers::SparseRows SparseShards::first_block() const {
  readers::SparseRows rows;
  source_->read(0, 0, source_->table->rows_of(0), rows);
  return rows;
}

void SparseShards::get_batch(std::span<const int64_t> rows, Batch& out) const {
  require_rows_in_range(rows, source_->table->rows());
  Finder finder(*this);
  for (const int64_t row : rows) finder.add(row);
  fill_batch(finder.ranges(), source_->layout, out);
  out.row_ids().assign(rows.begin(), rows.end());
}

std::vector<std::filesystem::path> SparseShards::source_files() const {
  std::vector<std::filesystem::path> files;
  for (const auto& shard : source_->shards) files.emplace_back(shard->name());
  return files;
}

std::shared_ptr<const ShardSampler> SparseShards::sampler(ShardSamplerOptions options) const {
  return std::make_shared<ShardSampler>(source_->table, options, cache_);
}

}  // namespace levin
