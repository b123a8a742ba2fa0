#include <levin/datamodules/split_datamodule.h>

namespace levin {

DataLoaders SplitDataModule::loader(const std::shared_ptr<const Dataset>& set,
                                    bool is_train) const {
  if (set == nullptr) return {};
  auto options = training_;
  options.shuffle = options.shuffle && is_train;
  options.drop_last = options.drop_last && is_train;
  return DataLoader(set, std::move(options));
}

DataLoaders SplitDataModule::train_dataloader() {
  setup(Stage::fit);
  return loader(sets_.train, true);
}

DataLoaders SplitDataModule::val_dataloader() {
  setup(Stage::validate);
  return loader(sets_.val, false);
}

DataLoaders SplitDataModule::test_dataloader() {
  setup(Stage::test);
  return loader(sets_.test, false);
}

DataLoaders SplitDataModule::predict_dataloader() {
  setup(Stage::predict);
  return loader(sets_.predict, false);
}

std::vector<std::string> digit_names() {
  return {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
}

}  // namespace levin
