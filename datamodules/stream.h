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

/// Options of StreamDataModule. Files are named by their paths, by folders (all files in them, in
/// the order of their names) or by patterns ("train-*.csv"). Names that begin with '.' or '_' are
/// left out of folders and patterns.
struct StreamDataModuleOptions {
  /// The files to train, validate and test on. At least one of the four lists must name a file.
  std::vector<std::string> train{};
  std::vector<std::string> val{};
  std::vector<std::string> test{};
  /// The files to predict for. The target column of CSV files isn't looked at; targets of other
  /// files, if they have any, are in the batches too. If there are no such files, prediction goes
  /// over `test`.
  std::vector<std::string> predict{};
  /// The files of targets, one for each file of features, if .npy or IDX files keep them apart. If
  /// the first set keeps them apart, .npy files of other sets that name no targets are features
  /// alone.
  std::vector<std::string> train_targets{};
  std::vector<std::string> val_targets{};
  std::vector<std::string> test_targets{};
  /// "lvb", "npy", "idx", "csv" or "libsvm"; "auto" takes what each file's name says.
  std::string format = "auto";
  /// The target among the columns of a CSV file or an array: its name, its number from 0, or from
  /// -1 for the last column backwards, or "none".
  std::string target_column = "-1";
  /// Whether the first lines of CSV files name the columns: "true", "false", or "auto", which finds
  /// out, and says so if a line can be read in both ways.
  std::string header = "auto";
  /// Leaves out columns of CSV files that aren't in the first file, instead of refusing them. If
  /// the files have headers, columns are matched by their names, in whatever order they are.
  bool ignore_extra_columns = false;
  /// "class", "value", or "auto", which takes integers (in text, whole numbers) for classes. The
  /// first set decides for all of them.
  std::string target_type = "auto";
  /// The number of features of libsvm files; 0 takes the highest one in the training files.
  int64_t num_features = 0;
  /// Whether libsvm files number features from 0 instead of from 1.
  bool zero_based = false;
  /// What uint8 features are multiplied by to become float32; with 0 they are handed out as uint8.
  double scale = 0.0;
  /// Rows of a batch on each device.
  int64_t batch_size = 32;
  /// Puts the training rows in another order in each epoch.
  bool shuffle = true;
  /// The number of rows that are mixed at a time; 0 takes as many as 128 MiB hold.
  int64_t shuffle_rows = 0;
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead. As many threads again, at least one, read blocks ahead and
  /// parse text.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Whether to read through the system's page cache, which keeps what was read for the next epoch;
  /// null does so if the files of the set fit in half of the machine's memory. Text is always read
  /// through it.
  std::optional<bool> page_cache{};
};

Fields describe(StreamDataModuleOptions& options);

/// Trains, validates, tests and predicts on files that needn't fit in memory: Levin's .lvb (made by
/// `levin convert`; needs no parsing), .npy, CSV, libsvm and IDX. Batches are {"input": [batch,
/// ...] uint8 or float32, "target": [batch] int64 or float32}; if the Trainer's precision is
/// 64-true, what .npy and .lvb files have as float64 stays float64. For NaN and infinity a run ends
/// with a DataError that names file and row, when their batch is prepared.
///
///     levin::StreamDataModule data({.train = {"train/"}, .val = {"val.lvb"}, .batch_size = 512});
///     levin::Trainer({.max_epochs = 10}).fit(model, data);
///
/// Training visits blocks of rows in a seeded order and shuffles within windows of them (see
/// ShardSampler). A resumed run goes on at its step without reading the windows before it. At most
/// three windows of a set are in memory, of 128 MiB each unless `shuffle_rows` says otherwise,
/// however large the files are; only gzipped IDX files are unpacked into memory as a whole.
class StreamDataModule : public DataModule {
 public:
  using Options = StreamDataModuleOptions;
  /// Opens no file. Throws ConfigError for invalid options.
  explicit StreamDataModule(StreamDataModuleOptions options);

  /// Files that were opened for another type are opened anew.
  void set_floating_type(at::ScalarType type) override;
  /// Opens and checks all files when it is called first; text is read once to find its lines.
  /// Throws DataError, which names the file, for one that is missing, damaged or of another layout
  /// than the first, for CSV files whose columns don't have the names of the first one's or of
  /// which it can't be told whether they have a header, and, unless `stage` is predict, for a set
  /// without targets. What was decided in case of doubt is noted (see take_notes).
  void setup(Stage stage) override;
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override;
  Value hyper_parameters() const override;
  /// What the first set settled for the others: "target_type", "num_features", "keep_signs" (of
  /// libsvm targets), for bytes "scale", and for CSV files with a header "columns".
  StateDict fitted_state() override;
  /// Takes the same over, but for options that are set. Throws CheckpointError or ConfigError if a
  /// value isn't of the form that `fitted_state` gives it; `setup` throws ConfigError if `scale`
  /// isn't that of training.
  void load_fitted_state(const StateDict& state) override;
  /// The names that were taken over; the files themselves hold only the numbers of classes.
  std::vector<std::string> class_names() override { return class_names_; }

  /// The shape of one row of features. Opens the files if `setup` hasn't done so yet, or if what
  /// was taken over since then changes how they are read.
  std::vector<int64_t> dims();

 private:
  using Set = std::shared_ptr<const ShardedDataset>;
  /// Opens the set that the option `name` names. The first set that is opened settles what was left
  /// open in `options` for the sets that follow.
  Set open(const std::string& name, const std::vector<std::string>& files,
           const std::vector<std::string>& targets, readers::ShardOptions& options);
  DataLoaders loader(const Set& set, bool is_train);
  void load();
  void require_same_scale() const;

  StreamDataModuleOptions options_;
  readers::ShardOptions shard_options_;
  Value taken_ = Value::Object{};        // by load_fitted_state
  readers::ShardOptions taken_options_;  // shard_options_, settled by taken_
  std::optional<double> taken_scale_;    // that of taken_
  readers::ShardOptions settled_;        // by the first set
  std::vector<std::string> class_names_;
  bool loaded_ = false;
  Set first_;  // whose layout the others must have
  Set train_set_;
  Set val_set_;
  Set test_set_;
  Set predict_set_;
};

}  // namespace levin
