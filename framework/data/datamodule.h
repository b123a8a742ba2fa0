#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/stage.h>
#include <levin/framework/data/dataloader.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// The loaders of every stage, together with how their data is prepared and split. Lightning:
/// LightningDataModule.
class DataModule {
 public:
  virtual ~DataModule() = default;

  /// Downloads or converts files. Called in one process of each machine, so it must not set
  /// members.
  virtual void prepare_data() {}
  /// Loads and splits the data for `stage`. Called in every process, again for each stage.
  virtual void setup(Stage /*stage*/) {}
  /// The loaders of each stage; none if the data module has no such data.
  virtual DataLoaders train_dataloader() { return {}; }
  virtual DataLoaders val_dataloader() { return {}; }
  virtual DataLoaders test_dataloader() { return {}; }
  virtual DataLoaders predict_dataloader() { return {}; }
  virtual void teardown(Stage /*stage*/) {}
  /// Called before each batch moves to the device, and after; override them to change the batch.
  virtual void on_before_batch_transfer(Batch& /*batch*/) {}
  virtual void on_after_batch_transfer(Batch& /*batch*/) {}
  /// What the data module needs to go on after a resume; the order of rows isn't part of it.
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}
  /// What the classes 0, 1 ... of the targets are called, known after `setup`; checkpoints record
  /// it. Empty if the classes have only numbers, or if the targets are no classes.
  virtual std::vector<std::string> class_names() { return {}; }
  /// The settings that the data module was made with; they are saved beside a run.
  virtual Value hyper_parameters() const { return Value::Object{}; }
};

}  // namespace levin
