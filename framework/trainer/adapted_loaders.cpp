#include <levin/framework/trainer/adapted_loaders.h>

#include <utility>

#include <levin/framework/loops/saved_ranks.h>

namespace levin {

DataLoaders in_order(const DataLoaders& loaders) {
  DataLoaders result = loaders;
  for (auto& loader : result) loader = loader.without_shuffle();
  return result;
}

DataLoaders with_batch_size(const DataLoaders& loaders, int64_t batch_size) {
  DataLoaders result = loaders;
  for (auto& loader : result) {
    DataLoaderOptions options = loader.options();
    options.batch_size = batch_size;
    options.global_batch_size = 0;
    loader = DataLoader(loader.shared_dataset(), std::move(options));
  }
  return result;
}

DataLoaders with_rows_a_step_of(const StateDict& checkpoint, const DataLoaders& loaders,
                                RankShare rank_share) {
  const StateDict ranks = checkpoint.child("ranks");
  if (!ranks.values.contains("world_size")) return loaders;
  const auto& rows = ranks.values.at("rows_a_step").as_array();
  if (data_ranks_of(checkpoint) == rank_share.world_size) return loaders;
  if (rows.size() != loaders.size()) return loaders;
  DataLoaders result = loaders;
  for (size_t i = 0; i < rows.size(); ++i) {
    result[i] = loaders[i].with_global_batch_size(rows[i].as_int());
  }
  return result;
}

}  // namespace levin
