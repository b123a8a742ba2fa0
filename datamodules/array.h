#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>

namespace levin {

/// The files are for YAML and the command line; in C++ the arrays can be tensors.
struct ArrayDataModuleOptions {
  /// Features: a .npy, .npz or .csv file. In a .npz: the array "x" (or "x_train").
  std::string x{};
  /// Targets; empty: from the file of `x`, its array "y" (or "y_train") or its target column.
  std::string y{};
  /// Validation rows of their own, instead of val_split; in a .npz: "x_val", "y_val".
  std::string x_val{};
  std::string y_val{};
  /// Test rows of their own, instead of test_split; in a .npz: "x_test", "y_test".
  std::string x_test{};
  std::string y_test{};
  /// The column of a CSV file that is the target: a name, a number from 0, -1 for the last, or
  /// "none". Texts are numbered by the alphabet.
  std::string target_column = "-1";
  /// Rows a step.
  int64_t batch_size = 32;
  /// Shares of the rows; 0 for no such set. Rounded as in Bolts.
  double val_split = 0.1;
  double test_split = 0.1;
  /// Shuffle before splitting, and the training rows anew in each epoch.
  bool shuffle = true;
  /// Split so that every class has its share of each set.
  bool stratify = false;
  /// Of the split: the same sets on every machine. The order of batches follows seed_everything.
  int64_t seed = 42;
  /// "class", "value", or "auto": integers (in a CSV file whole numbers) are classes.
  std::string target_type = "auto";
  /// Refuse labels that aren't below it; 0: don't.
  int64_t num_classes = 0;
  /// What features and values become: "float32", "float64", or "as_is".
  std::string dtype = "float32";
  /// Leave out a last training batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead.
  int64_t num_workers = 0;
  /// Page-locked batches, where a CUDA device is there.
  bool pin_memory = false;
};

Fields describe(ArrayDataModuleOptions& options);

/// Trains, validates and tests on arrays: x [rows, ...] and y [rows], split 80/10/10 unless told
/// otherwise. Batches are {"input": [batch, ...], "target": [batch]}; classes are int64, whatever
/// integers they came as. Bolts: SklearnDataModule.
///
///     levin::ArrayDataModule data(x, y, {.batch_size = 32, .val_split = 0.2});
///     levin::ArrayDataModule data({.x = "train.csv", .target_column = "species"});
///
/// Prediction goes over all rows of x in their order, without targets; with y undefined (or
/// target_column "none") there is nothing but prediction.
class ArrayDataModule : public DataModule {
 public:
  using Options = ArrayDataModuleOptions;
  /// Reads the files named in `options`, at setup. Throws ConfigError where `x` is empty.
  explicit ArrayDataModule(ArrayDataModuleOptions options);
  /// `x` [rows, ...], `y` [rows] of any type; their memory is shared where the type already fits.
  ArrayDataModule(torch::Tensor x, torch::Tensor y, ArrayDataModuleOptions options = {});

  /// Rows of their own for validation (test); val_split (test_split) then counts as 0.
  void set_validation(torch::Tensor x, torch::Tensor y);
  void set_test(torch::Tensor x, torch::Tensor y);

  /// Reads, checks and splits, the first time. Throws DataError for rows that don't match, sets
  /// without rows, NaN, infinities and labels that are none; ConfigError for options that can't be.
  void setup(Stage stage) override;
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override;
  Value hyper_parameters() const override;

  /// The shape of one row, after setup.
  std::vector<int64_t> dims();
  /// Classes, after setup: the option, else one more than the highest label; 0 for values.
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
  DataLoaders loader(const std::shared_ptr<const Dataset>& dataset, bool is_train) const;

  ArrayDataModuleOptions options_;
  Arrays all_;
  Arrays val_;
  Arrays test_;
  std::vector<std::string> class_names_;
  bool loaded_ = false;
  std::shared_ptr<const Dataset> train_set_;
  std::shared_ptr<const Dataset> val_set_;
  std::shared_ptr<const Dataset> test_set_;
};

/// Its name in Lightning Bolts.
using SklearnDataModule = ArrayDataModule;

}  // namespace levin
