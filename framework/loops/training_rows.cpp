#include <levin/framework/loops/training_rows.h>

#include <algorithm>
#include <numeric>

#include <levin/framework/run/module.h>

namespace levin {
namespace {

/// The rows of `all` at positions rank, rank + world_size ... of the order `rows`, or of the rows
/// themselves if that is empty, sorted by their place in memory.
std::vector<int64_t> share_of(const RankShare& share, std::vector<int64_t> rows, int64_t all) {
  if (rows.empty()) {
    rows.resize(static_cast<size_t>(all));
    std::iota(rows.begin(), rows.end(), int64_t{0});
  }
  std::vector<int64_t> own;
  const auto step = static_cast<size_t>(share.world_size);
  for (auto i = static_cast<size_t>(share.rank); i < rows.size(); i += step) {
    own.push_back(rows[i]);
  }
  std::sort(own.begin(), own.end());
  return own;
}

bool are_all(const std::vector<int64_t>& numbers, int64_t rows) {
  return std::ssize(numbers) == rows && (rows == 0 || numbers.back() == rows - 1);
}

DataLoaders with_all_rows(const DataLoaders& loaders) {
  DataLoaders result;
  for (const auto& loader : loaders) {
    auto options = loader.options();
    options.shuffle = options.drop_last = false;
    options.sampler = nullptr;
    result.emplace_back(loader.shared_dataset(), options);
  }
  return result;
}

}  // namespace

TrainingRows::TrainingRows(LoopParts parts, const DataLoaders& train, std::optional<int64_t> limit,
                           Of of)
    : parts_(parts),
      loaders_(with_all_rows(train)),
      share_(parts.strategy.rank_share()),
      limit_(limit) {
  if (of == Of::this_rank) return;
  for (auto& loader : loaders_) loader = loader.with_global_batch_size(loader.rows_a_step(share_));
  share_ = {};
}

Reader TrainingRows::open(const DataLoader& loader) const {
  auto reader = loader.open(0, 0, share_);
  reader.leave_rows_in_place(true);
  return reader;
}

/// Looks whether the data can be passed where they lie. What hooks do to batches is known only once
/// one was handed to them.
bool TrainingRows::find_in_place() {
  has_looked_ = true;
  if (limit_ || loaders_.empty()) return false;
  auto reader = loaders_.front().open(0, 0, share_);
  Batch first;
  if (!reader.next(first)) return false;
  transfer(parts_, first);
  if (!leaves_batches(parts_)) return false;
  std::vector<Batch> batches;
  for (const auto& loader : loaders_) {
    const auto memory = find_in_memory(loader.shared_dataset());
    if (!memory.tensors || loader.options().transform) return false;
    const int64_t rows = memory.tensors->size().value();
    const auto own = share_of(share_, memory.rows, rows);
    Batch batch;
    for (const auto& [name, values] : memory.tensors->entries()) {
      Rows chosen = values;
      if (!are_all(own, rows)) values.select(own, chosen);
      batch.set(name, std::move(chosen));
    }
    batches.push_back(std::move(batch));
  }
  in_place_ = std::move(batches);
  return true;
}

void TrainingRows::pass(c10::function_ref<void(const Batch& batch)> use) {
  if (!has_looked_) find_in_place();
  for (const auto& batch : in_place_) use(batch);
  if (!in_place_.empty()) return;
  int64_t count = 0;
  Batch batch;
  for (const auto& loader : loaders_) {
    auto reader = open(loader);
    while ((!limit_ || count < *limit_) && next_batch(parts_, reader, batch)) {
      ++count;
      transfer(parts_, batch);
      if (parts_.strategy.device().is_cpu()) {
        use(batch);
      } else {
        use(batch.to(at::kCPU));
      }
    }
  }
}

std::string TrainingRows::reason_against_copies() const {
  for (const auto& loader : loaders_) {
    if (loader.options().transform) return "training rows that a transform changes in each pass";
    if (!find_in_memory(loader.shared_dataset()).tensors) {
      return "training rows that aren't in memory (a stream)";
    }
  }
  return {};
}

void TrainingRows::sum(torch::Tensor& values) {
  sent_bytes_ += (parts_.strategy.ranks().size() - 1) * static_cast<int64_t>(values.nbytes());
  parts_.strategy.ranks().sum(
      {values.mutable_data_ptr<double>(), static_cast<size_t>(values.numel())});
}

}  // namespace levin
