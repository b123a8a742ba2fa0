#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/batch_transforms.h>
#include <levin/datamodules/learns_from_rows.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>

namespace levin {

/// The common part of data modules that keep one data set for each stage in memory: it makes the
/// loaders. Derive from it if your data is a few tensors of its own kind; ArrayDataModule is enough
/// for arrays in files. A subclass fills `sets_` in `setup`:
///
///     class Spirals : public levin::SplitDataModule {
///      public:
///       Spirals() : SplitDataModule({.batch_size = 32, .shuffle = true}) {}
///       void setup(levin::Stage) override {
///         if (!sets_.train) sets_.train = std::make_shared<levin::TensorDataset>(x, y);
///       }
///     };
///
/// `setup` is called more than once, by the trainer and for every loader, so it should return at
/// once if the sets are there already.
class SplitDataModule : public DataModule, public LearnsFromRows {
 public:
  /// Returns the loader of a stage. Each calls `setup` for its stage first, and returns no loader
  /// if there is no such set. Loaders share the sets with this object. Throws what `setup` throws,
  /// and ConfigError if the loader's options are invalid.
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override;
  void learn_from(std::optional<std::vector<int64_t>> rows) final;

 protected:
  /// The sets that were loaded; null stands for a set that there isn't.
  struct Sets {
    std::shared_ptr<const Dataset> train;
    std::shared_ptr<const Dataset> val;
    std::shared_ptr<const Dataset> test;
    std::shared_ptr<const Dataset> predict;
  };

  /// `training` are the options of the training loader. The other loaders have the same, except
  /// that they neither shuffle nor drop a last batch that isn't full.
  explicit SplitDataModule(DataLoaderOptions training) : training_(std::move(training)) {}
  /// Sets in which order the training rows are read instead of `shuffle`: "" as `shuffle` says;
  /// "stratified" so that each batch has the classes in their shares (StratifiedSampler);
  /// "balanced" with replacement, each class equally often; "weighted" with replacement, each row
  /// in proportion to its tensor "weight", which batches then don't have. To be called by the
  /// constructor of the subclass. Throws ConfigError for another name.
  void set_sampling(const std::string& sampling);
  /// Sets what changes the batches of all loaders; random steps change those of training alone. To
  /// be called by the constructor of the subclass, whose `fitted_state` and `load_fitted_state`
  /// then call the next two functions. Throws what BatchTransforms throws.
  void set_transforms(const std::vector<NamedSettings>& transforms);
  void save_transforms(StateDict& state) const { transforms_.save(state); }
  void load_transforms(const StateDict& state) { transforms_.load(state); }
  /// Forgets what was learned and what was taken over, so that the next `setup` learns anew, from
  /// `learned_rows`. To be overridden by a subclass that learns more than its transforms do.
  virtual void learn_anew() {}
  /// To be called by a subclass's `load_fitted_state`.
  void note_taken_over() { took_over_ = true; }
  /// The numbers, in the data set of all rows, of the rows to learn from: those of `train`, the
  /// rows of the training set, or those that `learn_from` has chosen among them.
  std::vector<int64_t> learned_rows(const std::vector<int64_t>& train) const;
  /// The rows of the training set that `learn_from` has chosen; null: all.
  const std::vector<int64_t>* chosen_rows() const { return chosen_ ? &*chosen_ : nullptr; }
  /// Called for each loader that is made: may change its options, such as the order of the rows.
  virtual void adapt_loader(const Dataset& /*set*/, bool /*is_train*/,
                            DataLoaderOptions& /*loader*/) const {}

  /// Returns the type that numbers are read in if the option `dtype` says so: float64 instead of
  /// float32 if the Trainer asks for it (`set_floating_type`).
  std::string number_type(const std::string& dtype) const {
    return dtype == "float32" && floating_type() == at::kDouble ? "float64" : dtype;
  }

  /// Filled by the subclass in `setup`.
  Sets sets_;

 private:
  DataLoaders loader(const std::shared_ptr<const Dataset>& set, bool is_train);
  void learn_statistics();

  /// The other loaders take these too, see the constructor.
  DataLoaderOptions training_;
  std::string sampling_;
  BatchTransforms transforms_;
  std::optional<std::vector<int64_t>> chosen_;  // by learn_from
  bool took_over_ = false;                      // since then
};

/// Returns the options of a training loader, copied from the options of a data module, which have
/// the same names: batch_size, shuffle, drop_last, num_workers and pin_memory.
template <class Options>
DataLoaderOptions training_loader_options(const Options& options) {
  return {.batch_size = options.batch_size,
          .shuffle = options.shuffle,
          .drop_last = options.drop_last,
          .num_workers = options.num_workers,
          .pin_memory = options.pin_memory};
}

/// Describes an option that several data modules have under the same name: batch_size, val_split,
/// test_split, shuffle, stratify, seed, drop_last, num_workers, pin_memory, sampling or transforms.
Field shared_option(const std::string& name, FieldPointer value);

/// Returns the names of the classes of data modules of digits: "0" to "9".
std::vector<std::string> digit_names();

}  // namespace levin
