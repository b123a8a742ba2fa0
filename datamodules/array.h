#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/datamodules/split_datamodule.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Options of ArrayDataModule. YAML and the command line name files; C++ can pass tensors instead.
struct ArrayDataModuleOptions {
  /// The file of the features: .npy, .npz or .csv. In a .npz they are the array "x" or "x_train".
  std::string x{};
  /// The file of the targets. If empty, they are in the file of `x`: its array "y" or "y_train", or
  /// its target column.
  std::string y{};
  /// Separate files of validation rows, which replace val_split; in a .npz: "x_val", "y_val".
  std::string x_val{};
  std::string y_val{};
  /// Separate files of test rows, which replace test_split; in a .npz: "x_test", "y_test".
  std::string x_test{};
  std::string y_test{};
  /// The target column of a CSV file: its name, its number from 0 (-1 is the last one), or "none".
  /// Texts are classes, numbered in alphabetical order.
  std::string target_column = "-1";
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
  /// The type that features and values are converted to: "float32", "float64", or "as_is".
  std::string dtype = "float32";
  /// Leaves out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Puts batches into page-locked memory if there is a CUDA device.
  bool pin_memory = false;
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
/// Prediction goes over all rows of x in their order, without targets. If y is undefined or
/// target_column is "none", the data can only be predicted for.
class ArrayDataModule : public SplitDataModule {
 public:
  using Options = ArrayDataModuleOptions;
  /// Remembers the files named in `options`; `setup` reads them. Throws ConfigError if `x` is
  /// empty.
  explicit ArrayDataModule(ArrayDataModuleOptions options);
  /// `x` [rows, ...] and `y` [rows] may have any type; their memory is shared if no conversion is
  /// needed. Throws ConfigError if `options` names files too.
  ArrayDataModule(torch::Tensor x, torch::Tensor y, ArrayDataModuleOptions options = {});

  /// Sets separate rows for validation and for testing; val_split or test_split counts as 0 then.
  void set_validation(torch::Tensor x, torch::Tensor y);
  void set_test(torch::Tensor x, torch::Tensor y);

  /// Reads, checks and splits the data when it is called first. Throws DataError if x and y have
  /// different numbers of rows, if a set has no rows, and for NaN, infinities and invalid labels;
  /// ConfigError for invalid options.
  void setup(Stage stage) override;
  Value hyper_parameters() const override;

  /// The shape of one row, after setup.
  std::vector<int64_t> dims();
  /// The number of classes, after setup: the option, else one more than the highest label; 0 if the
  /// targets are values.
  int64_t num_classes();
  /// The texts of the target column, in the order of the alphabet; empty if it holds numbers.
  std::vector<std::string> class_names() override;

 protected:
  void set_class_names(std::vector<std::string> names) { class_names_ = std::move(names); }

 private:
  struct Arrays {
    torch::Tensor x;
    torch::Tensor y;
  };
  void load();
  void read_files();
  Arrays check(const Arrays& arrays, const std::string& suffix) const;
  void split();

  ArrayDataModuleOptions options_;
  Arrays all_;
  Arrays val_;
  Arrays test_;
  std::vector<std::string> class_names_;
  bool loaded_ = false;
};

/// Its name in Lightning Bolts.
using SklearnDataModule = ArrayDataModule;

}  // namespace levin
