#pragma once

#include <levin/framework/data/datamodule_wrapper.h>

namespace levin {

/// The training data of another data module, for trials before a fit. It has no other data; derive
/// from it to change what trials get. What the other one notes is left for the fit to print.
class TrialData : public DataModuleWrapper {
 public:
  using DataModuleWrapper::DataModuleWrapper;
  void setup(Stage stage) override { wrapped().setup(stage); }
  DataLoaders val_dataloader() override { return {}; }
  DataLoaders test_dataloader() override { return {}; }
  DataLoaders predict_dataloader() override { return {}; }
};

}  // namespace levin
