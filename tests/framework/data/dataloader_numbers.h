#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <levin/framework/data/dataloader.h>
#include <torch/torch.h>

namespace levin::dataloader_test {

using Rows = std::vector<int64_t>;

inline std::shared_ptr<TensorDataset> numbers(int64_t rows) {
  return std::make_shared<TensorDataset>(torch::arange(rows * 3).view({rows, 3}).to(at::kFloat),
                                         torch::arange(rows));
}

// What a batch holds, copied: two of these are equal where the batches are.
struct Snapshot {
  Rows row_ids;
  std::vector<float> input;
  Rows target;
  int64_t global_rows = 0;
  bool operator==(const Snapshot&) const = default;
};

inline Snapshot snapshot(const Batch& batch, const Reader& reader) {
  Snapshot copy;
  copy.row_ids = batch.row_ids();
  const auto input = batch.input().contiguous();
  copy.input.assign(input.const_data_ptr<float>(), input.const_data_ptr<float>() + input.numel());
  const auto* target = batch.target().const_data_ptr<int64_t>();
  copy.target.assign(target, target + batch.target().numel());
  copy.global_rows = reader.global_rows();
  return copy;
}

inline std::vector<Snapshot> read_all(Reader& reader) {
  std::vector<Snapshot> all;
  Batch batch;
  while (reader.next(batch)) all.push_back(snapshot(batch, reader));
  EXPECT_EQ(batch.tensors().size(), 0U);
  return all;
}

inline std::vector<Snapshot> read_epoch(const DataLoader& loader, int64_t epoch = 0,
                                        RankShare rank_share = {}) {
  auto reader = loader.open(epoch, 0, rank_share);
  return read_all(reader);
}

inline Rows ids_of(const std::vector<Snapshot>& batches) {
  Rows ids;
  for (const auto& batch : batches) {
    ids.insert(ids.end(), batch.row_ids.begin(), batch.row_ids.end());
  }
  return ids;
}

inline void add_noise(Batch& batch, const TransformContext& context) {
  const auto input = batch.input();
  auto values = input.accessor<float, 2>();
  for (int64_t i = 0; i < batch.rows(); ++i) {
    auto generator = context.generator(i);
    for (int64_t j = 0; j < values.size(1); ++j) {
      values[i][j] += static_cast<float>(generator.uniform());
    }
  }
}

// A stream of `rows` rows that says nothing of its end; can be slow, fail at a row, let the first
// `together` calls wait for each other, and notes who read it.
class Stream : public Dataset {
 public:
  explicit Stream(int64_t rows, bool knows_size = false) : rows_(rows), knows_size_(knows_size) {}
  std::optional<int64_t> size() const override {
    return knows_size_ ? std::optional<int64_t>(rows_) : std::nullopt;
  }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override {
    ++calls;
    {
      const std::lock_guard<std::mutex> lock(mutex);
      threads.insert(std::this_thread::get_id());
    }
    if (delay.count() > 0) std::this_thread::sleep_for(delay);
    meet();
    const auto end =
        std::find_if(rows.begin(), rows.end(), [this](int64_t r) { return r >= rows_; });
    const Rows given(rows.begin(), end);
    if (std::find(given.begin(), given.end(), fail_at.load()) != given.end()) {
      throw std::runtime_error("row " + std::to_string(fail_at) + " can't be read");
    }
    const auto target = torch::tensor(given, at::kLong);
    out = Batch({{"input", target.view({-1, 1}).to(at::kFloat)}, {"target", target}});
  }

  mutable std::atomic<int64_t> calls{0};
  std::atomic<int64_t> fail_at{-1};
  std::chrono::milliseconds delay{0};
  int together = 0;  // set it before the first call
  mutable std::mutex mutex;
  mutable std::set<std::thread::id> threads;

 private:
  void meet() const {
    std::unique_lock<std::mutex> lock(mutex);
    if (met_ == together) return;
    ++met_;
    has_come_.notify_all();
    const bool all =
        has_come_.wait_for(lock, std::chrono::seconds(60), [this] { return met_ == together; });
    EXPECT_TRUE(all) << "calls wait for each other's end";
    met_ = together;
  }

  mutable std::condition_variable has_come_;
  mutable int met_ = 0;
  int64_t rows_;
  bool knows_size_;
};

}  // namespace levin::dataloader_test
