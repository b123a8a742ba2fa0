#include <levin/datamodules/split_datamodule.h>

#include <map>

namespace levin {

DataLoaders SplitDataModule::loader(const std::shared_ptr<const Dataset>& set,
                                    bool is_train) const {
  if (set == nullptr) return {};
  auto options = training_;
  options.shuffle = options.shuffle && is_train;
  options.drop_last = options.drop_last && is_train;
  adapt_loader(*set, is_train, options);
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

Field shared_option(const std::string& name, FieldPointer value) {
  static const std::map<std::string, const char*> kHelp = {
      {"batch_size", "rows of a batch on each device"},
      {"val_split", "share of the rows to validate on"},
      {"test_split", "share of the rows to test on"},
      {"shuffle", "shuffle before splitting and in each epoch"},
      {"stratify", "split so that every class has its share of each set"},
      {"seed", "seed of the split"},
      {"drop_last", "leave out a last training batch that isn't full"},
      {"num_workers", "threads that prepare batches ahead"},
      {"pin_memory", "put batches into page-locked memory for CUDA"}};
  return {name, value, kHelp.at(name)};
}

std::vector<std::string> digit_names() {
  return {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
}

}  // namespace levin
