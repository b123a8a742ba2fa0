#include <levin/framework/data/resident_batches.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <numeric>

#include <levin/framework/data/dataloader.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/device_graph.h>

namespace levin::resident_batches_test {

constexpr int64_t kRows = 1000;

std::shared_ptr<TensorDataset> make_data() {
  torch::manual_seed(3);
  auto data = std::make_shared<TensorDataset>(
      NamedTensors{{"input", torch::randint(256, {kRows, 5, 20}, torch::kByte)},
                   {"target", torch::randint(10, {kRows}, torch::kLong)},
                   {"weight", torch::rand({kRows})},
                   {"extra", torch::randn({kRows, 3})}});
  data->set_scale("input", {.scale = 0.5F, .zero_point = 2.0F});
  return data;
}

void expect_equal(const Batch& a, const Batch& b) {
  ASSERT_EQ(a.entries().size(), b.entries().size());
  for (const auto& [name, tensor] : b.tensors()) {
    EXPECT_TRUE(torch::equal(a[name].cpu(), tensor.cpu())) << name;
  }
}

/// The work that makes a batch gives, repeated, the batches that a reader gives, for all epochs and
/// from any position on.
void expect_batches_of_a_reader(const std::shared_ptr<const Dataset>& data, at::Device device,
                                bool in_place, const DataLoaderOptions& options) {
  const DataLoader loader(data, options);
  Reader expected = loader.open();
  Reader reader = loader.open();
  ASSERT_TRUE(reader.reside(device, size_t{1} << 30));
  reader.leave_rows_in_place(in_place);
  ASSERT_TRUE(reader.can_record());
  Batch recorded;
  reader.begin_recording(recorded);
  EXPECT_EQ(recorded.rows(), options.batch_size);
  RepeatedWork graph;
  graph.record([&] { reader.record(recorded); });
  Batch batch;
  for (const int64_t epoch : {0, 1, 2}) {
    const int64_t begin = epoch == 2 ? 3 : 0;
    expected.seek(epoch, begin);
    reader.seek(epoch, begin);
    int64_t count = begin;
    while (reader.next_recorded()) {
      graph.replay();
      ASSERT_TRUE(expected.next(batch));
      expect_equal(recorded, batch);
      EXPECT_EQ(reader.global_rows(), batch.rows());
      EXPECT_EQ(reader.position(), ++count);
      if (count % 5 == 0 && reader.next(batch)) {  // one that isn't recorded, in between
        Batch other;
        ASSERT_TRUE(expected.next(other));
        expect_equal(batch, other);
        ++count;
      }
    }
    const bool has_rest = kRows % options.batch_size != 0 && !options.drop_last;
    ASSERT_EQ(reader.next(recorded), has_rest);
    if (has_rest) {
      ASSERT_TRUE(expected.next(batch));
      expect_equal(recorded, batch);
    }
    EXPECT_TRUE(reader.at_end());
    EXPECT_FALSE(reader.next_recorded());
    recorded = Batch();
  }
}

TEST(ResidentBatches, are_those_of_a_reader) {
  const auto data = make_data();
  for (const bool in_place : {false, true}) {
    expect_batches_of_a_reader(data, at::kCPU, in_place,
                               {.batch_size = 7, .shuffle = true, .seed = 5});
    expect_batches_of_a_reader(data, at::kCPU, in_place, {.batch_size = 100, .seed = 5});
    expect_batches_of_a_reader(data, at::kCPU, in_place,
                               {.batch_size = 7, .shuffle = true, .num_workers = 2, .seed = 5});
  }
}

TEST(ResidentBatches, of_subsets_are_rows_of_the_whole) {
  const auto data = make_data();
  std::vector<int64_t> odd(kRows / 2);
  for (size_t i = 0; i < odd.size(); ++i) odd[i] = static_cast<int64_t>(2 * i + 1);
  auto subset = std::make_shared<Subset>(data, odd);
  std::vector<int64_t> reversed(kRows / 2);
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  subset = std::make_shared<Subset>(subset, reversed);
  const auto found = find_in_memory(subset);
  EXPECT_EQ(found.tensors, data);
  EXPECT_EQ(found.rows.front(), kRows - 1);
  EXPECT_EQ(found.rows.back(), 1);
  const DataLoader loader(subset, {.batch_size = 10, .shuffle = true, .seed = 1});
  Reader expected = loader.open();
  Reader reader = loader.open();
  ASSERT_TRUE(reader.reside(at::kCPU, size_t{1} << 30));
  Batch batch;
  Batch recorded;
  reader.begin_recording(recorded);
  while (reader.next_recorded()) {
    reader.record(recorded);
    ASSERT_TRUE(expected.next(batch));
    expect_equal(recorded, batch);
  }
  EXPECT_TRUE(expected.at_end());
}

TEST(ResidentBatches, data_that_cannot_live_on_a_device_are_left_alone) {
  const auto data = make_data();
  Reader too_large = DataLoader(data, {.batch_size = 10}).open();
  EXPECT_FALSE(too_large.reside(at::kCPU, 1000));
  EXPECT_FALSE(too_large.can_record());
  EXPECT_EQ(data->on(at::kCPU, 1000), nullptr);
  Reader transformed =
      DataLoader(data, {.batch_size = 10, .transform = [](Batch&, const TransformContext&) {}})
          .open();
  EXPECT_FALSE(transformed.reside(at::kCPU, size_t{1} << 30));

  class Own : public TensorDataset {
   public:
    using TensorDataset::TensorDataset;
    void get_batch(std::span<const int64_t>, Batch&) const override {}
  };
  const auto own = std::make_shared<Own>(torch::zeros({4, 2}), torch::zeros({4}));
  EXPECT_EQ(find_in_memory(own).tensors, nullptr);
}

// Training and validation are often parts of the same tensors, which are copied only once.
TEST(ResidentBatches, subsets_of_tensors_that_are_on_the_device_need_no_more_memory) {
  const auto data = make_data();
  const DataLoader train(std::make_shared<Subset>(data, std::vector<int64_t>{5, 3, 1}),
                         {.batch_size = 2});
  const DataLoader val(std::make_shared<Subset>(data, std::vector<int64_t>{2, 4, 0}),
                       {.batch_size = 2});
  Reader second = val.open();
  EXPECT_FALSE(second.reside(at::kCPU, 0));
  {
    Reader first = train.open();
    ASSERT_TRUE(first.reside(at::kCPU, size_t{1} << 30));
    EXPECT_TRUE(second.reside(at::kCPU, 0));
  }
  Batch batch;
  ASSERT_TRUE(second.next(batch));
  EXPECT_EQ(batch.row_ids(), (std::vector<int64_t>{2, 4}));
  EXPECT_TRUE(
      torch::equal(batch["weight"], data->tensors()[2].second.narrow(0, 2, 3).slice(0, 0, 3, 2)));
}

TEST(ResidentBatches, readers_share_the_data_on_a_device) {
  const auto data = make_data();
  const auto there = data->on(at::kCPU);
  EXPECT_EQ(data->on(at::kCPU), there);
  EXPECT_EQ(there->entries()[0].second.scale()->scale, 0.5F);
  const TensorDataset copy = *data;
  EXPECT_NE(copy.on(at::kCPU), there) << "a copy may change";
}

TEST(ResidentBatchesCuda, are_those_of_a_reader) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  const auto data = make_data();
  for (const bool in_place : {false, true}) {
    expect_batches_of_a_reader(data, at::Device(at::kCUDA, 0), in_place,
                               {.batch_size = 7, .shuffle = true, .seed = 5});
    expect_batches_of_a_reader(data, at::Device(at::kCUDA, 0), in_place,
                               {.batch_size = 100, .seed = 5});
  }
}

}  // namespace levin::resident_batches_test
