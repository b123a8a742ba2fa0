#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/target_type.h>
#include <levin/datamodules/row_split.h>
#include <levin/datamodules/sparse_batch.h>
#include <levin/datamodules/sparse_files.h>
#include <levin/datamodules/split_datamodule.h>
#include <levin/datamodules/standardization.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Options of SparseDataModule. Files are named by their paths, by folders (all files in them, in
/// the order of their names) or by patterns ("day_*.tsv").
struct SparseDataModuleOptions {
  /// The files to train, validate and test on. At least one of the four lists must name a file.
  std::vector<std::string> train{};
  std::vector<std::string> val{};
  std::vector<std::string> test{};
  /// The files to predict for, whose targets aren't looked at; lines of "vw" and "criteo" may lack
  /// them. If there are none, prediction goes over `test`, or else over `train`.
  std::vector<std::string> predict{};
  /// "libsvm", "npz" (scipy.sparse.save_npz), "vw" (Vowpal Wabbit), "criteo" or "lvb" (`levin
  /// convert --sparse true`); "auto" takes what the files' names say. Text may be compressed by
  /// gzip, such as "train.svm.gz" and "day_0.gz".
  std::string format = "auto";
  /// The number of columns of a row; 0 finds it in the first set of files. For "vw" and "criteo"
  /// `hash_bits` says it.
  int64_t columns = 0;
  /// Whether libsvm files number features from 0; null finds out: they do if an index is 0.
  std::optional<bool> zero_based{};
  /// Whether the indices of a libsvm or .npz row may be in any order and may be repeated, so that
  /// values are added up.
  bool sort_indices = false;
  /// "vw", "criteo": rows have 2^hash_bits columns; 0 stands for 18 and 20.
  int64_t hash_bits = 0;
  /// "vw": see readers::SparseVwOptions.
  std::vector<std::string> quadratic{};
  bool constant = false;
  bool hash_all = false;
  int64_t hash_seed = 0;
  /// "class", "value", or "auto", which takes whole numbers for classes. Classes -1 and 1 in text
  /// and .npz files become 0 and 1.
  std::string target_type = "auto";
  /// The number of classes; 0 finds it: one more than the highest label, of a stream that of its
  /// first MiB.
  int64_t num_classes = 0;
  /// Divides features by their deviation in the training rows, zeros included; see
  /// Standardization. Checkpoints have the deviations, and all rows of validate, test and predict
  /// are divided by those.
  bool standardize = false;
  /// Reads the files again in each epoch instead of keeping their rows in memory. Not for .npz.
  bool stream = false;
  /// Rows of a batch on each device.
  int64_t batch_size = 32;
  /// Visits the training rows in another order in each epoch. Text that is streamed keeps its
  /// order.
  bool shuffle = true;
  /// The number of rows of a stream of shards that are mixed at a time; 0: as many as 128 MiB hold.
  int64_t shuffle_rows = 0;
  /// The shares of the training rows in memory to validate and to test on, if there are no such
  /// files.
  double val_split = 0.0;
  double test_split = 0.0;
  /// The seed of the split.
  int64_t seed = 42;
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead; of streamed text, those that parse it, at least one.
  int64_t num_workers = 0;
  /// Chooses training rows in memory in another way than `shuffle`, as in ArrayDataModule:
  /// "stratified", "balanced" or "weighted".
  std::string sampling{};
};

Fields describe(SparseDataModuleOptions& options);

/// Trains, validates, tests and predicts on files of sparse rows. Batches are {"input": sparse
/// rows, "target": [batch] int64 or float32} and, if rows have weights, "weight": [batch]. Rows are
/// in memory once, where the reader put them, or are streamed from files larger than memory:
///
///     levin::SparseDataModule data({.train = {"train.svm"}, .test = {"test.svm"}});
///     levin::SparseDataModule clicks({.train = {"day_*.tsv"}, .stream = true});
///     levin::Trainer({.max_epochs = 1}).fit(model, clicks);
///
/// Streams of text come in the order of the lines, with a length that isn't known; threads parse
/// them ahead. Streams of shards are shuffled as by StreamDataModule. Both go on at their row when
/// a fit is resumed, for which text is parsed again up to there. Streamed lines of "vw" always have
/// weights, 1 if a line has no importance, because nobody knows whether a later one has.
///
/// The first set in the order train, val, test, predict settles the number of columns, how they are
/// numbered or hashed, and what targets are; a checkpoint, or a module that was trained before,
/// settles it for all.
class SparseDataModule : public SplitDataModule {
 public:
  using Options = SparseDataModuleOptions;
  /// Opens no file. Throws ConfigError for invalid options.
  explicit SparseDataModule(SparseDataModuleOptions options);

  /// Reads the files that the stage needs when it is called first. Throws DataError, with file and
  /// line where there are lines, for text that breaks its format, indices that are negative or
  /// beyond the columns, values that aren't finite, labels that aren't classes, and training rows
  /// in memory that all have one class; ConfigError for options that contradict each other, the
  /// files or the training.
  void setup(Stage stage) override;
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override;
  /// What the first set settled: "num_features", "zero_based", "hash" (how names are hashed),
  /// "target_type", "class_names" and, with `standardize`, the deviations.
  StateDict fitted_state() override;
  void load_fitted_state(const StateDict& state) override;
  Value hyper_parameters() const override;
  /// "-1" and "1" if these are the labels of the training rows, else empty.
  std::vector<std::string> class_names() override;
  int64_t num_classes() override;
  /// The number of columns of a row.
  int64_t columns();

 protected:
  void learn_anew() override;

 private:
  /// What the first set settled, or a checkpoint.
  struct Settled {
    SparseFileOptions files;  // with columns, zero_based and hashes
    Value hash = {};          // null: the first set isn't hashed
    readers::TargetType target_type = readers::TargetType::automatic;
    std::vector<std::string> class_names = {};
    std::optional<Standardization> standardization = {};
  };
  using Set = std::shared_ptr<const Dataset>;
  using Files = std::vector<std::filesystem::path>;
  void check_options() const;
  void reset(Settled settled, bool is_settled);
  Settled unsettled() const;
  void settle();
  const std::vector<std::string>& names_of(const std::string& set) const;
  /// The set called train, val, test or predict, read when it is asked for first.
  Set load(const std::string& set);
  Set load_rows(const std::string& set, const Files& files, const std::string& format);
  Set load_shards(const std::string& set, const Files& files);
  Set load_lines(const std::string& set, const Files& files, const std::string& format);
  void settle_targets(const readers::SparseRows& rows, const std::string& name, bool may_have_signs,
                      SparseLayout& layout);
  void settle_hashed_columns(const std::string& format);
  void require_standardization(const std::string& set) const;
  Standardization learned_deviations(const readers::SparseRows& rows, const Split* split) const;
  void note_only_class(const readers::SparseRows& rows, const std::string& name);
  DataLoaders stream_loader(const Set& set, bool is_train) const;
  double val_share() const { return options_.val.empty() ? options_.val_split : 0.0; }
  double test_share() const { return options_.test.empty() ? options_.test_split : 0.0; }

  SparseDataModuleOptions options_;
  Settled settled_;
  bool is_settled_ = false;  // by a set that was read, or by load_fitted_state
  bool has_taken_ = false;   // something that rows were not read without, by load_fitted_state
  int64_t highest_class_ = -1;
  std::string only_class_;  // says which, if all training rows have the same
  std::vector<std::pair<std::string, std::string>> without_targets_;  // set and file
  Set whole_;                                                         // all rows of train
};

}  // namespace levin
