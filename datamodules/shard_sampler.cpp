#include <levin/datamodules/shard_sampler.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/tensor/shuffle.h>

namespace levin {
namespace {

// Give the order of blocks, the order of rows and the transforms different random numbers.
constexpr uint64_t kBlockSalt = 0x626c6f636b730001;
constexpr uint64_t kRowSalt = 0x726f777300000001;
/// Without shuffling, a window only says how much is read ahead.
constexpr int64_t kBytesInOrder = 4 * BlockTable::kBlockBytes;

int64_t rows_a_window(const BlockTable& table, const ShardSamplerOptions& options) {
  if (options.shuffle && options.shuffle_rows > 0) return options.shuffle_rows;
  const int64_t bytes = options.shuffle ? ShardSampler::kWindowBytes : kBytesInOrder;
  return std::max<int64_t>(1, bytes / table.block_bytes()) * table.block_rows();
}

}  // namespace

ShardSampler::ShardSampler(std::shared_ptr<const BlockTable> table, ShardSamplerOptions options,
                           std::shared_ptr<BlockCache> cache)
    : table_(std::move(table)), options_(options), cache_(std::move(cache)) {
  if (options_.shuffle_rows < 0) {
    throw ConfigError::invalid_value("shuffle_rows", std::to_string(options_.shuffle_rows),
                                     "must be at least 0");
  }
  window_rows_ = rows_a_window(*table_, options_);
  seed_ = options_.seed.value_or(global_seed());
}

std::unique_ptr<Sampler> ShardSampler::clone() const {
  return std::make_unique<ShardSampler>(table_, options_, cache_);
}

void ShardSampler::set_epoch(int64_t epoch) {
  if (starts_.size() <= 3) {  // at most two windows stay in memory
    for (auto& each : windows_) previous_.push_back(std::move(each->hold));
  }
  windows_.clear();  // also if the same epoch starts again
  newest_ = -1;
  if (epoch == epoch_) return;
  order_.resize(static_cast<size_t>(table_->blocks()));
  std::iota(order_.begin(), order_.end(), int64_t{0});
  if (options_.shuffle) {
    shuffle(order_, KeyedGenerator(seed_ ^ kBlockSalt, static_cast<uint64_t>(epoch)));
  }
  starts_.assign(1, {});
  int64_t position = 0;
  for (size_t i = 0; i < order_.size(); ++i) {
    position += table_->rows_of(order_[i]);
    const bool full = position - starts_.back().position >= window_rows_;
    if (full || i + 1 == order_.size()) starts_.push_back({position, i + 1});
  }
  epoch_ = epoch;
}

void ShardSampler::rows(int64_t first, std::span<int64_t> out) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!out.empty()) {
    const auto after = std::upper_bound(
        starts_.begin(), starts_.end(), first,
        [](int64_t position, const Start& start) { return position < start.position; });
    const int64_t index = after - starts_.begin() - 1;
    const auto& rows = window(index).rows;
    const int64_t offset = first - starts_[static_cast<size_t>(index)].position;
    const size_t count = std::min(out.size(), rows.size() - static_cast<size_t>(offset));
    std::copy_n(rows.begin() + offset, count, out.begin());
    first += static_cast<int64_t>(count);
    out = out.subspan(count);
  }
}

const ShardSampler::Window* ShardSampler::find(int64_t index) const {
  const auto found = std::find_if(windows_.begin(), windows_.end(),
                                  [index](const auto& each) { return each->index == index; });
  return found == windows_.end() ? nullptr : found->get();
}

const ShardSampler::Window& ShardSampler::window(int64_t index) const {
  if (index > newest_) advance(index);
  if (find(index) == nullptr) windows_.push_back(make_window(index, /*hold=*/false));
  return *find(index);
}

void ShardSampler::advance(int64_t index) const {
  // Old windows go first, so that their buffers can be used for the new ones.
  windows_.erase(std::remove_if(windows_.begin(), windows_.end(),
                                [index](const auto& each) { return each->index < index - 1; }),
                 windows_.end());
  const auto last = std::min(index + 1, static_cast<int64_t>(starts_.size()) - 2);
  for (int64_t each = index; each <= last; ++each) {
    if (find(each) == nullptr) windows_.push_back(make_window(each, /*hold=*/true));
  }
  newest_ = index;
  previous_.clear();
}

std::vector<int64_t> ShardSampler::blocks_of(int64_t window) const {
  const auto place = [this](int64_t of) {
    return order_.begin() + static_cast<std::ptrdiff_t>(starts_[static_cast<size_t>(of)].block);
  };
  return {place(window), place(window + 1)};
}

std::unique_ptr<ShardSampler::Window> ShardSampler::make_window(int64_t index, bool hold) const {
  auto made = std::make_unique<Window>();
  made->index = index;
  auto blocks = blocks_of(index);
  std::sort(blocks.begin(), blocks.end());  // as they lie on the disk
  for (const int64_t block : blocks) {
    const int64_t first = table_->first_row(block);
    const auto before = made->rows.size();
    made->rows.resize(before + static_cast<size_t>(table_->rows_of(block)));
    std::iota(made->rows.begin() + static_cast<std::ptrdiff_t>(before), made->rows.end(), first);
  }
  if (hold && cache_) made->hold = cache_->hold(std::move(blocks));
  if (options_.shuffle) {
    shuffle(made->rows, KeyedGenerator(seed_ ^ kRowSalt, static_cast<uint64_t>(epoch_),
                                       static_cast<uint64_t>(index)));
  }
  return made;
}

}  // namespace levin
