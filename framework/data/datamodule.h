#pragma once

#include <cstdint>
#include <exception>
#include <iosfwd>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/stage.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// The loaders of every stage, together with how their data is prepared and split. Derive from it
/// to give a Trainer data of your own; override `setup` and the loaders of the stages that you use.
///
///     class Points : public levin::DataModule {
///      public:
///       void setup(levin::Stage) override { train_ = read_points("train.bin"); }
///       levin::DataLoaders train_dataloader() override {
///         return levin::DataLoader(train_, {.batch_size = 32, .shuffle = true});
///       }
///
///      private:
///       std::shared_ptr<const levin::Dataset> train_;
///     };
///
/// The Trainer calls, for each stage: prepare_data, setup, the loaders of the stage (once, unless
/// reload_dataloaders_every_n_epochs says otherwise), the
/// transfer hooks for each batch, and teardown. All calls come from the thread that trains. An
/// exception ends the stage and is passed on. Lightning: LightningDataModule.
class DataModule {
 public:
  virtual ~DataModule() = default;

  /// Downloads or converts files. Called in one process of each machine, at the beginning of every
  /// stage, while the other ranks wait. It must not set members, since those of the other processes
  /// would stay unset; that is what `setup` is for. Files that are there already should be kept.
  virtual void prepare_data() {}
  /// Tells in which type the run reads numbers, before `prepare_data` of each stage: float64 if the
  /// Trainer's precision is 64-true, else float32. Batches are converted in any case, but digits
  /// that were dropped don't come back: read float64 in `setup` if `floating_type` says so, and
  /// override this to read data anew that were read as another type.
  virtual void set_floating_type(at::ScalarType type) { floating_type_ = type; }
  /// What was told last; float32 until then.
  at::ScalarType floating_type() const { return floating_type_; }
  /// Loads and splits the data for `stage`. Called in every process, again for each stage. Fit
  /// includes its validation: it needs the training and the validation data.
  virtual void setup(Stage /*stage*/) {}
  /// The loaders of each stage, called after `setup`; none if the data module has no such data. The
  /// Trainer throws DataError if a stage that needs loaders gets none; fit goes without validation.
  virtual DataLoaders train_dataloader() { return {}; }
  virtual DataLoaders val_dataloader() { return {}; }
  virtual DataLoaders test_dataloader() { return {}; }
  virtual DataLoaders predict_dataloader() { return {}; }
  /// Tells for which epoch of a fit the next call of `train_dataloader` and `val_dataloader` asks.
  /// With reload_dataloaders_every_n_epochs = n, the Trainer asks again before the epochs n, 2 n
  /// ...; a fit that goes on from a checkpoint asks for the last of these. A wrapper of another
  /// data module passes it on.
  virtual void set_loader_epoch(int64_t epoch) { loader_epoch_ = epoch; }
  /// The epoch that was told last, from 0. Loaders that are a function of it, and not of how often
  /// they were asked for, are the same after a resume.
  int64_t loader_epoch() const { return loader_epoch_; }
  /// Called in every process at the end of a stage, to free what `setup` made. Not called if the
  /// stage ended by an exception.
  virtual void teardown(Stage /*stage*/) {}
  /// Called in every process if an exception ends a stage, after the hooks of that name of the
  /// callbacks and of the module, to free what must not stay: `error` is thrown on afterwards.
  virtual void on_exception(const std::exception& /*error*/) {}
  /// Called for each batch before and after it moves to the device. Override them to change the
  /// batch: change a tensor in place (`batch.input().sub_(mean)`) or replace it by `batch.set`. The
  /// module's hooks of the same names are called after these. As with Module's, an override
  /// shouldn't call the function here, which says that batches are left as they are.
  virtual void on_before_batch_transfer(Batch& /*batch*/) { leaves_before_transfer_ = true; }
  virtual void on_after_batch_transfer(Batch& /*batch*/) { leaves_after_transfer_ = true; }
  /// Whether the two functions above leave batches as they are. Known once both were called.
  bool leaves_batches() const { return leaves_before_transfer_ && leaves_after_transfer_; }
  /// What the data module needs to go on after a resume; empty by default. The order of the rows
  /// and the position in the epoch aren't part of it, since the training loop saves them. A resumed
  /// fit calls `load_state_dict` after `setup` and after the loaders have been made.
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}
  /// The names of the classes 0, 1 ... of the targets, known after `setup`. Checkpoints record
  /// them. Empty if the classes have only numbers, or if the targets aren't classes.
  virtual std::vector<std::string> class_names() { return {}; }
  /// The number of classes that the targets may have, known after `setup`; 0 if that isn't known or
  /// the targets aren't classes. A model that wasn't told takes it.
  virtual int64_t num_classes() { return std::ssize(class_names()); }
  /// What the data module has learned from its training data and every other set must be read with:
  /// how the classes are numbered, the mean that is subtracted ... Known after `setup(Stage::fit)`;
  /// empty by default. Every checkpoint holds it, also one with weights only, and so does the
  /// trained module (`Module::data_state`).
  ///
  ///     levin::StateDict fitted_state() override { return {.tensors = {{"mean", mean_}}}; }
  virtual StateDict fitted_state() { return {}; }
  /// Takes over what `fitted_state` returned where the model was trained. The Trainer calls it
  /// before `setup`: for validate, test and predict with a module that was trained or loaded before
  /// or with a checkpoint, and for a fit that goes on from a checkpoint. Data that were set up
  /// already must be read anew if they change by it. `state` may come from a data module of another
  /// class and has "class_names" among its values if the classes have names: take what is known,
  /// and ignore the rest. Throw ConfigError if a setting contradicts it. Data with a value that
  /// training never met, such as a new class, are refused by `setup` with a DataError that names
  /// the value. What was taken over stays until something else is.
  virtual void load_fitted_state(const StateDict& /*state*/) {}
  /// The name that checkpoints give the data module's class, under which `load_datamodule` looks
  /// for it: that of the C++ class without namespaces. Override it if the class is registered under
  /// another name.
  virtual std::string class_name() const;
  /// The settings that the data module was made with, an object. Checkpoints contain them, and the
  /// loggers get them at the beginning of a run.
  virtual Value hyper_parameters() const { return Value::Object{}; }
  /// The names of those settings that don't count after `load_fitted_state`, because the state says
  /// what they have led to; none by default. For all others, a fit that goes on from a checkpoint
  /// with another value warns that it counts from there on.
  virtual std::vector<std::string> fitted_settings() const { return {}; }

  /// Returns what `note` was called with since the last call. The Trainer calls it after `setup`,
  /// and rank 0 prints the notes to stderr.
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }

 protected:
  /// Notes something that users should know about their data, such as what was decided about a file
  /// in case of doubt: a sentence that says what to do about it. Call it in `setup`, and only once
  /// for each thing.
  void note(std::string text) { notes_.push_back(std::move(text)); }

 private:
  std::vector<std::string> notes_;
  at::ScalarType floating_type_ = at::kFloat;
  int64_t loader_epoch_ = 0;
  bool leaves_before_transfer_ = false;
  bool leaves_after_transfer_ = false;
};

/// Which loaders the data module has and how many rows each of them reads, in four lines. A loader
/// that can't be made now, for example because its files are missing, counts as none. Lightning:
/// LightningDataModule.__str__.
///
///     levin::to_string(data);  // {Train dataloader: size=120}, {Validation dataloader: None} ...
std::string to_string(DataModule& data);
std::ostream& operator<<(std::ostream& stream, DataModule& data);

}  // namespace levin
