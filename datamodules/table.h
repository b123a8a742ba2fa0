#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/row_split.h>
#include <levin/datamodules/split_datamodule.h>
#include <levin/datamodules/table_stream.h>
#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/settings.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/row_groups.h>
#include <levin/framework/data/row_keys.h>
#include <levin/framework/data/training_sums.h>

namespace levin {

/// Options of TableDataModule. Columns are named as in the first line of the file, or by patterns
/// with * and ?, as in "date_*".
struct TableDataModuleOptions {
  /// The CSV file, whose first line names the columns. Needed to train.
  std::string x{};
  /// Separate files of validation and test rows, which replace val_split and test_split. Columns
  /// are found by their names.
  std::string x_val{};
  std::string x_test{};
  /// The column to predict. Needed to train.
  std::string target{};
  /// A column that tells rows apart and is no feature; `levin predict` writes it beside the
  /// predictions.
  std::string key{};
  /// A column of the weights of the rows of x, numbers of 0 or more, which is no feature. Batches
  /// of these rows have them as "weight". Empty: the rows have no weights.
  std::string weights{};
  /// A column that names the group of each row, by texts or whole numbers, and is no feature.
  /// Batches have the number of the group as "group" [rows], for models such as ManyRegressions.
  /// Empty: there are no groups.
  std::string group{};
  /// The columns to learn from; empty: all but target, key, weights and group.
  std::vector<std::string> features{};
  /// Columns to leave out, such as dates and free texts.
  std::vector<std::string> exclude{};
  /// Columns that hold numbers, and texts that are categories. The others are looked at: a column
  /// whose training cells are numbers is one of numbers.
  std::vector<std::string> numbers{};
  std::vector<std::string> categories{};
  /// Categories of many values, each of which is hashed to one of `hash_columns` features instead
  /// of having one of its own.
  std::vector<std::string> hashed{};
  int64_t hash_columns = 32;
  /// Values of a category that fewer training rows have are treated as unknown ones.
  int64_t min_count = 1;
  /// What becomes of a category's value that no training row has: "refuse" (an error), "ignore"
  /// (all features of the column are 0) or "column" (it has a feature of its own, which is of use
  /// if min_count is above 1). Null: as in training, where it is "refuse".
  std::optional<std::string> unknown{};
  /// Cells that count as missing; spaces around a cell don't matter.
  std::vector<std::string> missing_values = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"};
  /// What stands for a missing cell: "refuse" (an error), "most_frequent", for numbers "mean",
  /// "median" or a number such as "0", and for categories "category", which makes missing a value
  /// of its own. A column that the word doesn't suit is refused.
  std::string missing = "refuse";
  /// The same for single columns: "age=median", "plan=category".
  std::vector<std::string> missing_in{};
  /// Adds a feature to each column of numbers that has gaps in training: 1 if the cell was missing.
  bool missing_indicator = false;
  /// Subtracts the mean of the training rows from numbers, and divides by their deviation.
  bool standardize = false;
  /// "class", "value", or "auto", which takes texts and whole numbers for classes.
  std::string target_type = "auto";
  /// Rows of a batch on each device.
  int64_t batch_size = 32;
  /// The shares of the rows to validate and to test on, as in ArrayDataModule; 0 for no such set.
  double val_split = 0.1;
  double test_split = 0.1;
  /// Shuffles the rows before they are split, and the training rows again in each epoch.
  bool shuffle = true;
  /// Splits so that every class has its share of each set.
  bool stratify = false;
  /// The seed of the split, which is the same on every machine.
  int64_t seed = 42;
  /// The type of features, values and weights: "float32" (float64 if the Trainer's precision is
  /// 64-true) or "float64".
  std::string dtype = "float32";
  /// Reads the file again in each epoch, by blocks, instead of keeping its rows in memory.
  bool stream = false;
  /// The number of rows of a stream that are mixed at a time; 0: as many as 128 MiB hold.
  int64_t shuffle_rows = 0;
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead. As many threads again, at least one, read the text of a
  /// stream.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Chooses training rows in another way than `shuffle`, as in ArrayDataModule: "stratified",
  /// "balanced" or "weighted". Not for a stream.
  std::string sampling{};
};

Fields describe(TableDataModuleOptions& options);

/// Trains, validates, tests and predicts on a CSV file of numbers and texts with missing cells.
/// Batches are {"input": [batch, features], "target": [batch]}; classes are int64.
///
///     levin::TableDataModule data({.x = "churn.csv",
///                                  .target = "churn",
///                                  .key = "customer",
///                                  .exclude = {"signup"},
///                                  .missing = "mean",
///                                  .standardize = true});
///     data.num_features();  // for the model's in_features
///
/// What is found in the training rows (the values of categories, what stands for missing cells,
/// means, deviations, names of classes and groups) is a `tables::FittedTable`. It is part of every
/// checkpoint, and all other rows are read with it: in validate, test, predict and a resumed fit,
/// the settings about columns come from there. Only `key` and `unknown` can be set anew; a resumed
/// fit with other settings notes that they don't count. scikit-learn: ColumnTransformer with
/// SimpleImputer, StandardScaler and OneHotEncoder.
///
/// Prediction goes over all rows of x, or x_test if there is no x, in their order; the target may
/// be missing.
///
/// With `stream`, files may be larger than memory. The features are the same as in memory, bit for
/// bit, and so are the checkpoints. The file is read once to find its rows, once to fit the columns
/// (seldom twice or more, see tables::TableFitter), and in each epoch, in the order and the windows
/// of ShardSampler. If the rows are shuffled, each is drawn for validation or testing by the seed
/// and its number, so that the sets have nearly their shares; else they are those of a table in
/// memory.
class TableDataModule : public SplitDataModule,
                        public HasRowKeys,
                        public HasTrainingSums,
                        public HasGroups {
 public:
  using Options = TableDataModuleOptions;
  /// Throws ConfigError if no file is named, and for words that no option has.
  explicit TableDataModule(TableDataModuleOptions options);

  /// Files that were read in another type are read anew.
  void set_floating_type(at::ScalarType type) override;
  /// Reads and splits the files when it is called first; for predict it reads the rows to predict
  /// for. Throws DataError, with file, line and column, for cells that can't be used (see
  /// tables/fit_table.h and tables/apply_table.h), if a set that the stage needs has no rows, and
  /// for a fit if all training rows have one class;
  /// ConfigError for settings that contradict each other, the file or the checkpoint. For a fit,
  /// the validation rows of a stream are read once, to be checked; unknown values and the like in
  /// other sets are refused when their block is read.
  void setup(Stage stage) override;
  /// The FittedTable as "table", the settings about columns that led to it as "settings", and which
  /// rows were trained on as "split".
  StateDict fitted_state() override;
  void load_fitted_state(const StateDict& state) override;
  Value hyper_parameters() const override;
  /// The settings about columns; if they are others in a fit that goes on, a note says so.
  std::vector<std::string> fitted_settings() const override;
  std::vector<std::string> class_names() override;
  std::optional<double> mean_weight() override;
  std::vector<double> class_sums() override;
  RowKeys prediction_keys() override { return keys_; }
  /// The groups of the training rows, in the order of their bytes, or as numbers if all are whole
  /// ones. A row of another group is refused.
  std::vector<std::string> group_names() override;
  /// Keeps the text of files from now on, unless they are streams: about the size of the files and
  /// 16 bytes a cell.
  void keep_what_is_read() override { keeps_texts_ = true; }

  /// What was found in the training rows, or taken over; reads the files if that is needed.
  const tables::FittedTable& fitted();
  int64_t num_features() { return fitted().width(); }
  /// A name for each feature, such as "age" and "plan=basic".
  std::vector<std::string> feature_names() { return fitted().feature_names(); }
  /// The number of classes; 0 if the targets are values.
  int64_t num_classes() override;

 protected:
  void learn_anew() override;
  /// Blocks of a stream are read ahead in the order of a ShardSampler.
  void adapt_loader(const Dataset& set, bool is_train, DataLoaderOptions& loader) const override;

 private:
  void reset();
  void load();
  void load_for_prediction();
  void load_rows();
  void load_stream();
  void take_keys(const tables::TextTable& header, const std::string& path);
  void check_columns(const tables::TextTable& header) const;
  TableFilePointer open(const std::string& path);
  std::shared_ptr<const tables::TextTable> text(const std::string& path);
  std::shared_ptr<const Dataset> stream(const tables::TableRows& rows, bool has_target,
                                        bool has_weights) const;
  const TableSums& sums();
  void check_validation();
  std::shared_ptr<const Dataset> whole_file(const std::string& path);
  std::shared_ptr<const Dataset> dataset(const tables::TextTable& table, bool has_weights) const;
  torch::Tensor features(const tables::TextTable& table) const;
  RowSplit row_split() const;
  tables::UnknownRule unknown() const;
  void require_fitted(const std::string& file) const;
  /// The settings about columns, by name.
  Value column_settings() const;
  void note_other_settings();

  TableDataModuleOptions options_;
  tables::TableSettings settings_;
  std::optional<tables::FittedTable> taken_;   // by load_fitted_state
  std::optional<tables::FittedTable> fitted_;  // of the rows that were loaded
  RowKeys keys_;
  std::map<std::string, TableFilePointer> files_;  // of streams, by their paths
  std::map<std::string, std::shared_ptr<const tables::TextTable>> texts_;  // if they are kept
  bool keeps_texts_ = false;
  std::optional<TableSets> streamed_;  // the rows of x, if it is a stream
  std::optional<TableSums> sums_;      // once they were asked for
  Value trained_settings_;             // column_settings of the training; null: unknown
  Value trained_split_;                // row_split of the training data; null: unknown
  int64_t rows_ = 0;                   // of x
  bool split_is_noted_ = false;
  bool settings_are_noted_ = false;
  bool is_validation_checked_ = false;
  bool loaded_ = false;
};

}  // namespace levin
