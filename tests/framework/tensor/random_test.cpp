#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>
#include <torch/torch.h>

#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <set>
#include <vector>

namespace levin::random_test {

// row 12: the same seed gives the same numbers
TEST(Random, same_seed_same_numbers) {
  seed_everything(42);
  EXPECT_EQ(global_seed(), 42U);
  const auto first = torch::rand({100});
  seed_everything(43);
  EXPECT_FALSE(torch::equal(first, torch::rand({100})));
  seed_everything(42);
  EXPECT_TRUE(torch::equal(first, torch::rand({100})));
}

// Expected values: an implementation of the same formula in Python.
TEST(Random, keyed_generator_gives_the_same_numbers_on_every_machine) {
  const auto take = [](KeyedGenerator generator) {
    return std::vector<uint64_t>{generator(), generator(), generator()};
  };
  EXPECT_EQ(take(KeyedGenerator(0)),
            (std::vector<uint64_t>{0x9ce9044cf4430b33, 0x7505f249b38b57fa, 0x60b1a5730fa7e2cf}));
  EXPECT_EQ(take(KeyedGenerator(42)),
            (std::vector<uint64_t>{0x4988125035a0ee7f, 0x78b3e512014430ea, 0xdc3d12c24c9f0eb5}));
  EXPECT_EQ(take(KeyedGenerator(42, 7, 1234)),
            (std::vector<uint64_t>{0x58b01d16ec7564b5, 0x393b4e7447f8211a, 0x22e50eb3deb9f5da}));
}

TEST(Random, keyed_generator_flips_half_of_the_bits_for_each_bit_of_each_key) {
  constexpr int kTrials = 400;
  std::mt19937_64 source(1);
  for (size_t key = 0; key < 3; ++key) {
    for (int bit = 0; bit < 64; ++bit) {
      int flipped = 0;
      for (int trial = 0; trial < kTrials; ++trial) {
        // Small keys, as seeds, epochs and positions are.
        std::array<uint64_t, 3> keys{source() % 100, source() % 100, source() % 100000};
        KeyedGenerator before(keys[0], keys[1], keys[2]);
        keys[key] ^= uint64_t{1} << bit;
        KeyedGenerator after(keys[0], keys[1], keys[2]);
        flipped += std::popcount(before() ^ after());
      }
      // 25,600 coin throws: 6 standard deviations are 480.
      EXPECT_NEAR(flipped, kTrials * 32, 480) << "key " << key << " bit " << bit;
    }
  }
}

TEST(Random, keyed_generator_neighbours_are_uniform_and_uncorrelated) {
  constexpr int kKeys = 100000;
  constexpr size_t kBins = 100;
  for (const int which : {0, 1, 2}) {
    std::vector<double> values;
    std::vector<double> bins(kBins);
    for (uint64_t i = 0; i < kKeys; ++i) {
      KeyedGenerator generator(which == 0 ? i : 7, which == 1 ? i : 7, which == 2 ? i : 7);
      values.push_back(generator.uniform());
      bins[static_cast<size_t>(values.back() * kBins)] += 1;
    }
    double chi = 0;
    for (const double count : bins) chi += std::pow(count - kKeys / kBins, 2) / (kKeys / kBins);
    EXPECT_LT(chi, 99 + 6 * std::sqrt(2 * 99.0)) << "key " << which;
    double product = 0;
    for (size_t i = 1; i < values.size(); ++i) product += (values[i] - 0.5) * (values[i - 1] - 0.5);
    const double correlation = product / (kKeys - 1) * 12;
    EXPECT_LT(std::abs(correlation), 5 / std::sqrt(kKeys)) << "key " << which;
  }
}

TEST(Random, keyed_generator_tells_keys_and_their_order_apart) {
  std::set<uint64_t> seen;
  for (uint64_t a = 0; a < 30; ++a) {
    for (uint64_t b = 0; b < 30; ++b) {
      for (uint64_t c = 0; c < 30; ++c) seen.insert(KeyedGenerator(a, b, c)());
    }
  }
  EXPECT_EQ(seen.size(), 27000U);
}

TEST(Random, below_has_no_bias) {
  KeyedGenerator generator(3);
  std::array<int, 3> counts{};
  for (int i = 0; i < 90000; ++i) ++counts.at(generator.below(3));
  for (const int count : counts) EXPECT_NEAR(count, 30000, 6 * std::sqrt(20000.0));
  EXPECT_EQ(generator.below(1), 0U);
  // Of 3 * 2^62 numbers, plain multiplication would give a third of them twice as often.
  constexpr uint64_t kMany = uint64_t{3} << 62;
  int lowest_bits = 0;
  for (int i = 0; i < 90000; ++i) {
    const uint64_t value = generator.below(kMany);
    ASSERT_LT(value, kMany);
    lowest_bits += value % 3 == 0 ? 1 : 0;
  }
  EXPECT_NEAR(lowest_bits, 30000, 6 * std::sqrt(20000.0));
}

TEST(Random, works_with_the_distributions_of_the_standard_library) {
  KeyedGenerator generator(5, 1, 2);
  std::normal_distribution<double> normal;
  double sum = 0;
  for (int i = 0; i < 10000; ++i) sum += normal(generator);
  EXPECT_NEAR(sum / 10000, 0, 0.05);
}

TEST(Random, dropout_goes_on_bit_exactly_after_loading_the_state) {
  seed_everything(7);
  const auto x = torch::ones({33, 17});
  torch::dropout(x, 0.5, true);
  torch::randn({5});  // leaves a second normal number in store
  const StateDict state = random_state().clone();
  const auto mask = torch::dropout(x, 0.3, true);
  const auto noise = torch::randn({3});
  seed_everything(99);
  torch::randn({1});
  load_random_state(state);
  EXPECT_EQ(global_seed(), 7U);
  EXPECT_TRUE(torch::equal(torch::dropout(x, 0.3, true), mask));
  EXPECT_TRUE(torch::equal(torch::randn({3}), noise));
}

TEST(Random, state_keeps_seeds_above_the_signed_range) {
  const uint64_t large = 0xfedcba9876543210;
  seed_everything(large);
  const StateDict state = random_state().clone();
  seed_everything(1);
  load_random_state(state);
  EXPECT_EQ(global_seed(), large);
}

TEST(Random, a_state_that_is_none_is_refused_and_changes_nothing) {
  seed_everything(11);
  const StateDict good = random_state().clone();
  const auto expected = torch::rand({4});
  load_random_state(good);
  StateDict bad = good;
  bad.tensors["cpu"] = torch::zeros({3}, torch::kByte);
  bad.values["seed"] = int64_t{5};
  EXPECT_THROW(load_random_state(bad), CheckpointError);
  EXPECT_THROW(load_random_state(StateDict{}), CheckpointError);
  EXPECT_EQ(global_seed(), 11U);
  EXPECT_TRUE(torch::equal(torch::rand({4}), expected));
}

}  // namespace levin::random_test
