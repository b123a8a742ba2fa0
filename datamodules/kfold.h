#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/datamodules/learns_from_rows.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule_wrapper.h>
#include <levin/framework/data/row_groups.h>
#include <levin/framework/data/row_keys.h>

namespace levin {

/// Options of KFoldDataModule.
struct KFoldDataModuleOptions {
  /// In YAML, the data module whose training rows are divided, as a list of one name with settings:
  /// `data: [{name: ArrayDataModule, x: train.csv, val_split: 0, test_split: 0}]`. In C++, the
  /// constructor gets it.
  std::vector<NamedSettings> data{};
  /// The number of folds, at least 2.
  int64_t folds = 5;
  /// The fold to validate on, from 0 to folds - 1. The others are trained on.
  int64_t fold = 0;
  /// Gives each fold the classes in the shares that all rows have them.
  bool stratify = false;
  /// Deals rows out at random; otherwise in their order.
  bool shuffle = true;
  /// The seed of the folds, which are the same in each run with it.
  int64_t seed = 42;
};
Fields describe(KFoldDataModuleOptions& options);

/// One part of a k-fold cross-validation: trains on the training rows of another data module that
/// aren't in one fold, and validates on those that are.
///
///     levin::ArrayDataModule all({.x = "train.csv", .val_split = 0, .test_split = 0});
///     double sum = 0;
///     for (int64_t fold = 0; fold < 5; ++fold) {
///       levin::KFoldDataModule data(all, {.folds = 5, .fold = fold, .stratify = true});
///       levin::LogisticRegression model({});
///       levin::Trainer trainer({.max_epochs = 10});
///       trainer.fit(model, data);
///       sum += trainer.validate(model, data).at("val_acc");
///     }
///
/// The other data module's own validation rows are in no fold, so set its val_split to 0; a note
/// says so if there are any. Tests and predictions are its own. Folds are those that scikit-learn's
/// KFold and StratifiedKFold make without shuffling.
///
/// What it learns from its training rows, such as the means of `standardize` and the values of
/// categories, it learns from those that the fold trains on (LearnsFromRows), as a Pipeline within
/// scikit-learn's cross_val_score does: once for each fold. TableDataModule and those of
/// images keep what is in their files for that, which are read once
/// (`LearnsFromRows::keep_what_is_read`); SparseDataModule reads its own anew to standardise them.
/// Afterwards, it goes on with what it has learned for the last fold. A note says so if a data
/// module that isn't a LearnsFromRows has a `fitted_state`, which may know the rows of all folds.
class KFoldDataModule : public DataModuleWrapper,
                        public HasRowKeys,
                        public HasGroups,
                        public LearnsFromRows {
 public:
  using Options = KFoldDataModuleOptions;
  /// Keeps a reference to `data`, which may serve all folds one after another. Throws ConfigError
  /// for invalid options, and if they name data.
  KFoldDataModule(DataModule& data, KFoldDataModuleOptions options = {});
  /// Owns `data`; the options may name what it was made from.
  KFoldDataModule(KFoldDataModuleOptions options, std::unique_ptr<DataModule> data);

  void setup(Stage stage) override;
  /// Throws ConfigError if the other data module's training rows come from several loaders, from a
  /// stream of unknown length or by a sampler, if there are fewer of them (or of a class) than
  /// folds, and with `stratify`, if they have no classes in memory.
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  void load_fitted_state(const StateDict& state) override;
  /// Those of the folds; "data" names the other data module and its settings.
  Value hyper_parameters() const override;
  std::string class_name() const override { return DataModule::class_name(); }
  /// None: the other data module's settings are within "data".
  std::vector<std::string> fitted_settings() const override { return {}; }
  /// For folds within a fold: makes the other data module learn from these rows of this fold's
  /// training rows.
  void learn_from(std::optional<std::vector<int64_t>> rows) override;
  void keep_what_is_read() override;
  RowKeys prediction_keys() override;
  std::vector<std::string> group_names() override;

 private:
  void check_options() const;
  DataLoader whole();
  std::vector<int64_t> rows_of(const DataLoader& whole, bool is_validation) const;
  DataLoader loader(bool is_validation);
  void learn();

  KFoldDataModuleOptions options_;
  std::unique_ptr<DataModule> owned_;           // null: it belongs to somebody else
  bool took_over_ = false;                      // by load_fitted_state
  std::optional<std::vector<int64_t>> chosen_;  // by learn_from
  bool val_is_noted_ = false;
  bool learning_is_noted_ = false;
};

}  // namespace levin
