#include <levin/framework/data/loaders_datamodule.h>

namespace levin {

LoadersDataModule from_datasets(StageDatasets datasets, FromDatasetsOptions options) {
  const auto loaders = [&](std::vector<std::shared_ptr<const Dataset>>& sets, bool is_train) {
    DataLoaders result;
    for (auto& set : sets) {
      const bool may_shuffle = set != nullptr && set->size();
      result.emplace_back(std::move(set),
                          DataLoaderOptions{.batch_size = options.batch_size,
                                            .shuffle = is_train && options.shuffle && may_shuffle,
                                            .drop_last = is_train && options.drop_last,
                                            .num_workers = options.num_workers,
                                            .pin_memory = options.pin_memory,
                                            .augment = is_train});
    }
    return result;
  };
  return LoadersDataModule({.train = loaders(datasets.train, true),
                            .val = loaders(datasets.val, false),
                            .test = loaders(datasets.test, false),
                            .predict = loaders(datasets.predict, false)});
}

}  // namespace levin
