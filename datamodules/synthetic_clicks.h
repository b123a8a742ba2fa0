#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/data/dataset.h>

namespace levin {

/// Options of SyntheticClicks.
struct SyntheticClicksOptions {
  /// The number of rows; nothing for a stream whose length isn't known, and which never ends.
  std::optional<int64_t> rows{};
  uint64_t seed = 1;
  /// Rows have 2^bits columns, from 10 to 30 bits.
  int64_t bits = 20;
};

/// Made-up rows with the shape of a click log, for benchmarks of data that no disk holds: 39
/// fields, each with one of 10 to a million values, of which few are frequent (Zipf's law,
/// exponent 1.1), as entries of value 1; about a quarter of the targets is 1. A field has columns
/// of its own, which its values share by their hashes, so that the columns of a row rise without
/// being sorted.
///
///     auto clicks = std::make_shared<SyntheticClicks>(SyntheticClicksOptions{.rows = 1000000000});
///     DataLoader loader(clicks, {.batch_size = 512});
///
/// Row i depends on the seed, the bits and i alone. Nothing but tables of 1 MB is in memory.
class SyntheticClicks : public Dataset {
 public:
  static constexpr int64_t kFields = 39;
  /// Throws ConfigError for a number of bits that can't be, and for fewer than 1 row.
  explicit SyntheticClicks(SyntheticClicksOptions options = {});

  std::optional<int64_t> size() const override { return options_.rows; }
  /// Batches are {"input": sparse rows, "target": int64}.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;

 private:
  static constexpr int64_t kCellBits = 12;
  /// A field: value v has the share of [0, 1) in which its quantiles lie.
  struct Field {
    const uint32_t* quantiles = nullptr;  // [2^kCellBits + 1], the same for all data sets
    uint32_t first_column = 0;
    uint32_t columns = 0;
  };
  float write_row(int64_t row, int32_t* columns) const;

  SyntheticClicksOptions options_;
  std::vector<Field> fields_;
  std::vector<float> weights_;  // of the model that targets follow; columns share them
  float bias_ = 0.0F;
};

/// Options of SyntheticClicksDataModule.
struct SyntheticClicksDataModuleOptions {
  /// The number of training rows; null for a stream that never ends.
  std::optional<int64_t> rows = 1000000;
  /// The number of rows to validate on, and of others to test on, made with other seeds.
  int64_t eval_rows = 100000;
  int64_t bits = 20;
  int64_t seed = 1;
  int64_t batch_size = 512;
  int64_t num_workers = 0;
};

Fields describe(SyntheticClicksDataModuleOptions& options);

/// Trains on SyntheticClicks, in the order of the rows.
class SyntheticClicksDataModule : public DataModule {
 public:
  using Options = SyntheticClicksDataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit SyntheticClicksDataModule(SyntheticClicksDataModuleOptions options = {});
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override { return test_dataloader(); }
  int64_t num_classes() override { return 2; }
  Value hyper_parameters() const override;

 private:
  DataLoaders loader(std::optional<int64_t> rows, uint64_t salt) const;
  SyntheticClicksDataModuleOptions options_;
};

}  // namespace levin
