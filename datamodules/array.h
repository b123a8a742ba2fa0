#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/readers/target_type.h>
#include <levin/datamodules/row_split.h>
#include <levin/datamodules/split_datamodule.h>
#include <levin/datamodules/standardization.h>
#include <levin/framework/core/options.h>

namespace levin {

struct FileArrays;

/// Options of ArrayDataModule. YAML and the command line name files; C++ can pass tensors instead.
struct ArrayDataModuleOptions {
  /// The file of the features: .npy, .npz, .csv or .tsv. In a .npz they are the array "x" or
  /// "x_train". Needed to train; without it, x_val can be validated on, and x_test tested on and
  /// predicted for.
  std::string x{};
  /// The file of the targets. If empty, they are in the file of `x`: its array "y" or "y_train", or
  /// its target column.
  std::string y{};
  /// Separate files of validation rows, which replace val_split; in a .npz: "x_val", "y_val".
  std::string x_val{};
  std::string y_val{};
  /// Separate files of test rows, which replace test_split; in a .npz: "x_test", "y_test". All of
  /// their rows are tested on.
  std::string x_test{};
  std::string y_test{};
  /// The target column of a CSV file: its name, its number from 0 (-1 is the last one), or "none".
  /// Texts are classes, numbered in alphabetical order, or as in the checkpoint that is used.
  std::string target_column = "-1";
  /// Several columns of a CSV file that are predicted together, by name or number, instead of
  /// target_column: targets are [rows, columns] then, for models such as ManyRegressions.
  std::vector<std::string> target_columns{};
  /// A column of a CSV file that says to which group a row belongs, by a whole number from 0, and
  /// is no feature. Batches have it as "group" [rows], for models such as ManyRegressions. Empty:
  /// there is none.
  std::string group_column{};
  /// Whether the first lines of CSV files name the columns: "true", "false", or "auto", which finds
  /// out, and says so if a line can be read in both ways.
  std::string header = "auto";
  /// Leaves out columns that aren't in the training data, instead of refusing them. If CSV files
  /// have headers, columns are matched by their names, in whatever order they are.
  bool ignore_extra_columns = false;
  /// Rows of a batch on each device.
  int64_t batch_size = 32;
  /// The shares of the rows to validate and to test on, rounded as Lightning Bolts does; 0 for no
  /// such set.
  double val_split = 0.1;
  double test_split = 0.1;
  /// Shuffles the rows before they are split, and the training rows again in each epoch.
  bool shuffle = true;
  /// Splits so that every class has its share of each set.
  bool stratify = false;
  /// The seed of the split, which is the same on every machine. The order of batches depends on
  /// seed_everything instead.
  int64_t seed = 42;
  /// "class", "value", or "auto", which takes integers (in a CSV file, whole numbers) for classes.
  std::string target_type = "auto";
  /// Labels that aren't below it are refused; 0 accepts any.
  int64_t num_classes = 0;
  /// The type that features and values are converted to: "float32" (float64 if the Trainer's
  /// precision is 64-true), "float64", or "as_is".
  std::string dtype = "float32";
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
  /// Standardises features: (x - mean) / deviation, each of the training rows alone, as
  /// scikit-learn's StandardScaler does; constant features are only shifted. Sparse rows are only
  /// divided, see Standardization. Checkpoints have both
  /// numbers, and all rows of validate, test and predict are standardised by those of the
  /// checkpoint, whatever this option is there.
  bool standardize = false;
  /// The file of the weights of the rows of x, one number of 0 or more for each: .npy, .csv of one
  /// column, or .npz with the array "weight". Batches of these rows have them as "weight". Empty:
  /// the rows have no weights.
  std::string weights{};
  /// Chooses training rows in another way than `shuffle`: "stratified" gives each batch the classes
  /// in their shares; "balanced" draws with replacement, each class equally often; "weighted" draws
  /// rows in proportion to their weights, which the loss then doesn't get.
  std::string sampling{};
  /// What changes whole batches, in this order (transforms.h), such as normalize and one_hot.
  std::vector<NamedSettings> transforms{};
};

Fields describe(ArrayDataModuleOptions& options);

/// Trains, validates and tests on arrays: x [rows, ...] and y [rows], split 80/10/10 unless told
/// otherwise. Batches are {"input": [batch, ...], "target": [batch]}; classes are int64, whatever
/// integers they came as. Bolts: SklearnDataModule.
///
///     levin::ArrayDataModule data(x, y, {.batch_size = 32, .val_split = 0.2});
///     levin::ArrayDataModule data({.x = "train.csv", .target_column = "species"});
///     levin::Trainer({.max_epochs = 10}).fit(model, data);
///
/// Prediction goes over all rows of x in their order, or of x_test if there is no x, without
/// looking at targets. If y is undefined or target_column is "none", the data can only be predicted
/// for.
///
/// A whole file of new rows is tested on if it is x_test and there is no x:
///
///     levin::ArrayDataModule rows({.x_test = "new.csv", .target_column = "species"});
///     levin::Trainer().test(model, rows, "best.ckpt");
///
/// The first set in the order x, x_val, x_test decides for the others how classes are numbered,
/// whether targets are classes, and in which order columns are; a checkpoint, or a module that was
/// trained before, decides for all.
class ArrayDataModule : public SplitDataModule {
 public:
  using Options = ArrayDataModuleOptions;
  /// Remembers the files named in `options`; `setup` reads them. Throws ConfigError if `x`, `x_val`
  /// and `x_test` are empty.
  explicit ArrayDataModule(ArrayDataModuleOptions options);
  /// `x` [rows, ...] and `y` [rows] may be tensors of any type; their memory is shared if no
  /// conversion is needed. A sparse tensor [rows, columns] (CSR, or COO, which is converted) and
  /// sparse rows (`Rows::sparse`) stay sparse, in float32. Throws ConfigError if `options` names
  /// files too.
  ArrayDataModule(Rows x, torch::Tensor y, ArrayDataModuleOptions options = {});

  /// Sets the weights of the rows of x, [rows]. Batches have them as "weight".
  void set_weights(torch::Tensor weights);
  /// Sets separate rows for validation and for testing; val_split or test_split counts as 0 then.
  void set_validation(Rows x, torch::Tensor y);
  void set_test(Rows x, torch::Tensor y);

  /// Data that were read in another type are read anew. Tensors that were converted to float32
  /// before stay rounded, which is noted.
  void set_floating_type(at::ScalarType type) override;
  /// Reads, checks and splits the data when it is called first; for predict it reads only the rows
  /// to predict for. Throws DataError if x and y have different numbers of rows, if a set that the
  /// stage needs has no rows, if a CSV file lacks a column of the training data or has another one,
  /// if it can't be told whether it has a header, and for NaN, infinities, invalid labels and
  /// classes that aren't in the training data; also for sparse rows whose columns are out of range
  /// or don't ascend; ConfigError for invalid options, such as dtype = float64 with sparse rows.
  /// What was decided in case of doubt is noted (see take_notes).
  void setup(Stage stage) override;
  /// The texts and the order of the classes as "class_names" (an empty list if they are numbers),
  /// "target_type", "class" or "value", for a CSV file with a header "columns", and for the rows of
  /// a file "split", which says how they were divided; with `standardize` the mean and deviation of
  /// the features (see Standardization). If rows of the same file are divided in
  /// another way when the model is validated or tested, `setup` notes that it may have been trained
  /// on them.
  StateDict fitted_state() override;
  void load_fitted_state(const StateDict& state) override;
  Value hyper_parameters() const override;

  /// The shape of one row, after setup.
  std::vector<int64_t> dims();
  /// The number of classes, after setup: the option, else the number of class names or one more
  /// than the highest label, whichever is more; 0 if the targets are values.
  int64_t num_classes() override;
  /// The names of the classes: the texts of the target column, in the order of the alphabet, or
  /// those that were taken over by `load_fitted_state`. Empty if the classes are numbers.
  std::vector<std::string> class_names() override;

 protected:
  void learn_anew() override;
  /// For subclasses whose targets are numbers of classes that have names.
  void set_class_names(std::vector<std::string> names) { own_class_names_ = std::move(names); }

 private:
  struct Arrays {
    Rows x;
    torch::Tensor y;
    torch::Tensor weight{};
    torch::Tensor group{};
  };
  /// What was learned from the data: found in the first set, or taken over.
  struct Fitted {
    std::optional<std::vector<std::string>> class_names;
    readers::TargetType target_type = readers::TargetType::automatic;
    std::optional<readers::CsvLayout> layout;
    std::optional<Standardization> standardization;
    bool operator==(const Fitted& other) const;
  };
  void load();
  void load_for_prediction();
  void reset();
  void read_files();
  Arrays read_set(const std::string& x, const std::string& y, const std::string& suffix);
  Arrays read_prediction(const std::string& path, bool has_own_targets, const std::string& name);
  bool has_chosen_columns() const {
    return !options_.target_columns.empty() || !options_.group_column.empty();
  }
  void check_chosen_columns() const;
  void take_columns(FileArrays& read, Arrays& arrays, const std::string& file,
                    bool may_lack_targets) const;
  void check_sets();
  Rows checked(const Rows& x, std::string_view name) const;
  void check_targets(Arrays& arrays, const std::string& suffix);
  void check_weights();
  void split();
  RowSplit row_split() const;
  Split divided();
  void find_standardization(const std::vector<int64_t>& train);
  Rows standardized(const Rows& x, std::string_view name) const;
  void note_other_split(Stage stage);
  double val_share() const { return val_.x.is_defined() ? 0.0 : options_.val_split; }
  double test_share() const { return test_.x.is_defined() ? 0.0 : options_.test_split; }
  void require_targets_for(Stage stage) const;
  void require_rows_for(Stage stage) const;
  void refuse_single_class() const;

  ArrayDataModuleOptions options_;
  Arrays all_;
  Arrays val_;
  Arrays test_;
  Fitted taken_;                              // by load_fitted_state
  Fitted fitted_;                             // of the data that were loaded
  Value trained_split_;                       // row_split of the training data; null: unknown
  std::vector<std::string> own_class_names_;  // given by a subclass
  bool split_is_noted_ = false;               // whether note_other_split has compared them
  bool has_rounded_ = false;                  // whether tensors of float64 have become float32
  bool is_read_ = false;                      // whether there are files and they were read
  bool loaded_ = false;
};

/// Its name in Lightning Bolts.
using SklearnDataModule = ArrayDataModule;

}  // namespace levin
