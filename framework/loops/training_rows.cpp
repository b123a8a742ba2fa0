#include <levin/framework/loops/training_rows.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include <ATen/Functions.h>

#include <levin/framework/run/module.h>

namespace levin {
namespace {

/// Rows by their places in memory, rising, and the number of each among the rows of all ranks.
struct PlacedRows {
  std::vector<int64_t> places;
  std::vector<int64_t> numbers;
  int64_t of_all_ranks = 0;
};

/// The rows of `all` at positions rank, rank + world_size ... of the order `rows`, or of the rows
/// themselves if that is empty.
PlacedRows share_of(const RankShare& share, const std::vector<int64_t>& rows, int64_t all) {
  std::vector<int64_t> order(rows.empty() ? static_cast<size_t>(all) : rows.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto place = [&rows](int64_t at) {
    return rows.empty() ? at : rows[static_cast<size_t>(at)];
  };
  if (!rows.empty()) {
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return place(a) < place(b); });
  }
  PlacedRows own;
  own.of_all_ranks = std::ssize(order);
  for (int64_t number = 0; number < own.of_all_ranks; ++number) {
    const int64_t at = order[static_cast<size_t>(number)];
    if (at % share.world_size != share.rank) continue;
    own.places.push_back(place(at));
    own.numbers.push_back(number);
  }
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
  if (transfer(parts_, first) || !leaves_batches(parts_)) return false;
  std::vector<Batch> batches;
  std::vector<int64_t> numbers;
  int64_t before = 0;
  for (const auto& loader : loaders_) {
    const auto memory = find_in_memory(loader.shared_dataset());
    if (!memory.tensors || loader.options().transform) return false;
    const int64_t rows = memory.tensors->size().value();
    const auto own = share_of(share_, memory.rows, rows);
    Batch batch;
    for (const auto& [name, values] : memory.tensors->entries()) {
      Rows chosen = values;
      if (!are_all(own.places, rows)) values.select(own.places, chosen);
      batch.set(name, std::move(chosen));
    }
    for (const int64_t number : own.numbers) {
      if (share_.world_size > 1) numbers.push_back(before + number);
    }
    before += own.of_all_ranks;
    batches.push_back(std::move(batch));
  }
  in_place_ = std::move(batches);
  numbers_ = std::move(numbers);
  return true;
}

void TrainingRows::note(const Batch& batch) {
  if (note_ && batch.rows() > 0) std::exchange(note_, nullptr)(batch);
}

void TrainingRows::pass(c10::function_ref<void(const Batch& batch)> use) {
  if (!has_looked_) find_in_place();
  for (const auto& batch : in_place_) {
    note(batch);
    use(batch);
  }
  if (!in_place_.empty()) return;
  int64_t count = 0;
  int64_t before = 0;
  Batch batch;
  shares_.clear();
  for (const auto& loader : loaders_) {
    auto reader = open(loader);
    auto& share = shares_.emplace_back(Share{.first = before});
    while ((!limit_ || count < *limit_) && next_batch(parts_, reader, batch)) {
      ++count;
      before += reader.global_rows();
      share.rows += batch.rows();
      transfer(parts_, batch);
      note(batch);
      if (parts_.strategy.device().is_cpu()) {
        use(batch);
      } else {
        use(batch.to(at::kCPU));
      }
    }
  }
}

/// Of the batches of a loader, rank r of w has the rows r, r + w, r + 2 w ...
torch::Tensor TrainingRows::row_numbers(int64_t rows) const {
  if (share_.world_size == 1) return RowSource::row_numbers(rows);
  if (!in_place_.empty()) return at::tensor(numbers_, at::kLong);
  std::vector<torch::Tensor> numbers{at::empty({0}, at::kLong)};
  for (const auto& [first, own] : shares_) {
    numbers.push_back(at::arange(own, at::kLong).mul_(share_.world_size).add_(first + share_.rank));
  }
  return at::cat(numbers);
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
