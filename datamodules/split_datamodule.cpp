#include <levin/datamodules/split_datamodule.h>

#include <map>
#include <utility>

#include <levin/datamodules/sampling.h>
#include <levin/framework/core/error.h>

namespace levin {

void SplitDataModule::set_sampling(const std::string& sampling) {
  check_sampling(sampling);
  sampling_ = sampling;
}

void SplitDataModule::set_transforms(const std::vector<NamedSettings>& transforms) {
  transforms_ = BatchTransforms(transforms);
}

/// Finds what the transforms have to know of the training rows.
void SplitDataModule::learn_statistics() {
  if (!transforms_.needs_statistics()) return;
  setup(Stage::fit);
  if (sets_.train == nullptr) {
    throw ConfigError::conflict(
        "a transform needs statistics of the training rows, but there are none",
        "give it numbers (mean and std of normalize), or a checkpoint of a model that was trained "
        "with this transform");
  }
  if (chosen_) return transforms_.learn(Subset(sets_.train, *chosen_));
  transforms_.learn(*sets_.train);
}

void SplitDataModule::learn_from(std::optional<std::vector<int64_t>> rows) {
  if (rows == chosen_ && !took_over_) return;
  chosen_ = std::move(rows);
  took_over_ = false;
  transforms_.forget();
  learn_anew();
}

std::vector<int64_t> SplitDataModule::learned_rows(const std::vector<int64_t>& train) const {
  if (!chosen_) return train;
  std::vector<int64_t> rows;
  rows.reserve(chosen_->size());
  for (const int64_t row : *chosen_) rows.push_back(train.at(static_cast<size_t>(row)));
  return rows;
}

DataLoaders SplitDataModule::loader(const std::shared_ptr<const Dataset>& set, bool is_train) {
  if (set == nullptr) return {};
  auto options = training_;
  options.shuffle = options.shuffle && is_train;
  options.drop_last = options.drop_last && is_train;
  options.augment = options.augment && is_train;
  if (!transforms_.empty()) {
    learn_statistics();
    options.transform = transforms_.transform();
  }
  adapt_loader(*set, is_train, options);
  if (!is_train || sampling_.empty()) return DataLoader(set, std::move(options));
  auto [rows, sampler] = sampled(set, sampling_);
  options.shuffle = false;
  options.sampler = std::move(sampler);
  return DataLoader(std::move(rows), std::move(options));
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
      {"pin_memory", "put batches into page-locked memory for CUDA"},
      {"sampling", "training rows: stratified, balanced, weighted; empty: as shuffle says"},
      {"transforms", "what changes batches: normalize, random_crop ...; see `list transforms`"}};
  return {name, value, kHelp.at(name)};
}

std::vector<std::string> digit_names() {
  return {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
}

}  // namespace levin
