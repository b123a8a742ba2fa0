#include <levin/tuning/batched/multi_seed_datamodule.h>

#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/data/sampler.h>
#include <levin/framework/tensor/random.h>

namespace levin {
namespace {

constexpr char kSlash = '/';  // between the names of a part and of its tensor

[[noreturn]] void refuse_seeds(const std::string& why) {
  throw ConfigError::conflict("models of several seeds can't be trained together: " + why,
                              "train those of each seed together");
}

/// Throws unless the order of the rows depends on the loader's seed alone.
void require_seeded_order(const DataLoaders& loaders) {
  if (loaders.size() != 1 || loaders.mode() != LoaderMode::sequential) {
    refuse_seeds("the training data have " + std::to_string(loaders.size()) + " loaders");
  }
  const auto& sampler = loaders.front().options().sampler;
  const bool takes_seed = sampler == nullptr ||
                          dynamic_cast<const WeightedSampler*>(sampler.get()) != nullptr ||
                          dynamic_cast<const StratifiedSampler*>(sampler.get()) != nullptr;
  if (!takes_seed) refuse_seeds("the training loader has a sampler of its own");
  if (!loaders.front().size()) refuse_seeds("the length of the training data isn't known");
}

}  // namespace

DataLoaders MultiSeedDataModule::train_dataloader() {
  const DataLoaders own = wrapped().train_dataloader();
  if (own.empty()) return own;
  require_seeded_order(own);
  DataLoaderOptions options = own.front().options();
  const auto count = static_cast<int64_t>(seeds_.size());
  options.num_workers = (options.num_workers + count - 1) / count;
  const bool has_seed = options.seed.has_value();
  std::vector<std::pair<std::string, DataLoader>> loaders;
  for (size_t i = 0; i < seeds_.size(); ++i) {
    if (!has_seed) options.seed = seeds_[i];
    loaders.emplace_back(std::to_string(i), DataLoader(own.front().shared_dataset(), options));
  }
  return DataLoaders::together(std::move(loaders), LoaderMode::min_size);
}

/// Calls a hook of the other data module for each part, and puts the parts as they are then into
/// the batch.
void MultiSeedDataModule::call_for_parts(void (DataModule::*hook)(Batch&), Batch& batch) {
  auto parts = parts_by_seed(batch);
  if (parts.size() == 1) return (wrapped().*hook)(batch);
  NamedRows changed;
  for (size_t i = 0; i < parts.size(); ++i) {
    (wrapped().*hook)(parts[i]);
    for (auto& [name, rows] : parts[i].entries()) {
      changed.emplace_back(std::to_string(i) + kSlash + name, std::move(rows));
    }
  }
  batch.entries() = std::move(changed);
}

void MultiSeedDataModule::on_before_batch_transfer(Batch& batch) {
  if (!wrapped().leaves_batches()) call_for_parts(&DataModule::on_before_batch_transfer, batch);
}

void MultiSeedDataModule::on_after_batch_transfer(Batch& batch) {
  if (!wrapped().leaves_batches()) call_for_parts(&DataModule::on_after_batch_transfer, batch);
  leave_batches_as_wrapped(batch);
}

std::vector<Batch> parts_by_seed(const Batch& batch) {
  std::vector<Batch> parts;
  std::string prefix = "0/";
  for (const auto& [name, rows] : batch.entries()) {
    if (parts.empty() && !name.starts_with(prefix)) return {batch};
    if (parts.empty() || !name.starts_with(prefix)) {
      prefix = std::to_string(parts.size()) + kSlash;
      parts.emplace_back();
    }
    parts.back().entries().emplace_back(name.substr(prefix.size()), rows);
  }
  if (parts.empty()) return {batch};
  parts.front().row_ids() = batch.row_ids();
  return parts;
}

}  // namespace levin
