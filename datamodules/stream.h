#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/sharded_dataset.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>

namespace levin {

/// Files are named by their paths, by folders (all files in them), or by patterns ("train-*.csv").
struct StreamDataModuleOptions {
  std::vector<std::string> train{};
  std::vector<std::string> val{};
  std::vector<std::string> test{};
  /// If there are none, prediction goes over `test`.
  std::vector<std::string> predict{};
  /// The files of targets, one for each file of features, if .npy or IDX files keep them apart. If
  /// those of training do, arrays of other sets without such files are features alone.
  std::vector<std::string> train_targets{};
  std::vector<std::string> val_targets{};
  std::vector<std::string> test_targets{};
  /// "lvb", "npy", "idx", "csv" or "libsvm"; "auto" takes what each file's name says.
  std::string format = "auto";
  /// The target among the columns of a CSV file or an array: its name, its number from 0, or from
  /// -1 for the last column backwards, or "none".
  std::string target_column = "-1";
  /// "class", "value", or "auto", which takes integers (in text, whole numbers) for classes. The
  /// first set decides for all of them.
  std::string target_type = "auto";
  /// The number of features of libsvm files; 0 takes the highest one in the training files.
  int64_t num_features = 0;
  /// Whether libsvm files number features from 0 instead of from 1.
  bool zero_based = false;
  /// Bytes become float32, multiplied by this; with 0 they are handed out as bytes.
  double scale = 0.0;
  /// Rows of a batch on each device.
  int64_t batch_size = 32;
  /// Puts the training rows in another order in each epoch.
  bool shuffle = true;
  /// The number of rows that are mixed at a time; 0 takes as many as 128 MiB hold.
  int64_t shuffle_rows = 0;
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead; text is parsed by as many more.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Whether to read through the system's page cache; null does so if the files fit in half of the
  /// memory. Text is always read through it.
  std::optional<bool> page_cache{};
};

Fields describe(StreamDataModuleOptions& options);

/// Trains, validates, tests and predicts on files that needn't fit in memory: Levin's .lvb (made by
/// `levin convert`), .npy, CSV, libsvm and IDX. Batches are {"input": [batch, ...] uint8 or
/// float32, "target": [batch] int64 or float32}. NaN and infinity end a run with a DataError that
/// names file and row, when their batch is due.
///
///     levin::StreamDataModule data({.train = {"train/"}, .val = {"val.lvb"}, .batch_size = 512});
///     levin::Trainer({.max_epochs = 10}).fit(model, data);
///
/// Training visits blocks of rows in a seeded order and shuffles within windows of them (see
/// ShardSampler), from any step on without reading what comes before. In memory are three windows,
/// of 128 MiB each unless shuffle_rows says otherwise, however large the files are.
class StreamDataModule : public DataModule {
 public:
  using Options = StreamDataModuleOptions;
  /// Throws ConfigError for invalid options.
  explicit StreamDataModule(StreamDataModuleOptions options);

  /// Opens and checks all files when it is called first; text is read once to find its lines.
  /// Throws DataError, which names the file, for one that is missing, damaged or of another layout
  /// than the first.
  void setup(Stage stage) override;
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override;
  Value hyper_parameters() const override;

  /// The shape of one row, after setup.
  std::vector<int64_t> dims();

 private:
  using Set = std::shared_ptr<const ShardedDataset>;
  /// `options` become those for the sets that follow.
  Set open(const std::vector<std::string>& files, const std::vector<std::string>& targets,
           readers::ShardOptions& options);
  DataLoaders loader(const Set& set, bool is_train);
  void load();

  StreamDataModuleOptions options_;
  readers::ShardOptions shard_options_;
  bool loaded_ = false;
  Set first_;  // whose layout the others must have
  Set train_set_;
  Set val_set_;
  Set test_set_;
  Set predict_set_;
};

}  // namespace levin
