#include <levin/framework/data/dataloader.h>

#include <levin/framework/core/error.h>
#include <levin/framework/data/batch_source.h>

#include <algorithm>
#include <string>
#include <utility>

namespace levin {
namespace {

void check_at_least(const char* option, int64_t value, int64_t least) {
  if (value >= least) return;
  throw ConfigError::invalid_value(option, std::to_string(value),
                                   "must be at least " + std::to_string(least));
}

void check_rank_share(const DataLoaderOptions& options, RankShare rank_share) {
  check_at_least("world_size", rank_share.world_size, 1);
  if (rank_share.rank < 0 || rank_share.rank >= rank_share.world_size) {
    throw ConfigError::invalid_value("rank", std::to_string(rank_share.rank),
                                     "must be from 0 to world_size - 1");
  }
  if (options.global_batch_size > 0 && options.global_batch_size < rank_share.world_size) {
    throw ConfigError::invalid_value(
        "global_batch_size", std::to_string(options.global_batch_size),
        "must be at least the number of devices, " + std::to_string(rank_share.world_size));
  }
}

}  // namespace

KeyedGenerator TransformContext::generator(int64_t i) const {
  return KeyedGenerator(seed, static_cast<uint64_t>(epoch),
                        static_cast<uint64_t>(positions[static_cast<size_t>(i)]));
}

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options)
    : dataset_(std::move(dataset)), options_(std::move(options)) {
  check_at_least("batch_size", options_.batch_size, 1);
  check_at_least("global_batch_size", options_.global_batch_size, 0);
  check_at_least("num_workers", options_.num_workers, 0);
  check_at_least("prefetch_factor", options_.prefetch_factor, 1);
  if (!dataset_)
    throw ConfigError::invalid_value("dataset", "null", "a loader needs a data set to read from");
  if (options_.shuffle && options_.sampler) {
    throw ConfigError::conflict("shuffle = true with a sampler, which has an order of its own",
                                "leave out one of the two");
  }
  const auto size = dataset_->size();
  if (options_.shuffle && !size) {
    throw ConfigError::conflict("shuffle = true with a stream whose end isn't known",
                                "shuffle within the data set, or implement its size()");
  }
  if (size && *size == 0) {
    throw DataError::empty("the data set of a loader", "it must have at least one row");
  }
  if (options_.sampler && options_.sampler->size() == 0) {
    throw DataError::empty("the sampler of a loader", "it must give at least one row");
  }
}

std::optional<int64_t> DataLoader::size(RankShare rank_share) const {
  check_rank_share(options_, rank_share);
  return num_loader_batches(*dataset_, options_, rank_share);
}

int64_t DataLoader::rows_a_step(RankShare rank_share) const {
  return levin::rows_a_step(options_, rank_share);
}

DataLoader DataLoader::with_global_batch_size(int64_t rows) const {
  DataLoader result = *this;
  result.options_.global_batch_size = rows;
  return result;
}

DataLoader DataLoader::without_shuffle() const {
  DataLoader ordered = *this;
  ordered.options_.shuffle = false;
  ordered.options_.sampler = nullptr;
  return ordered;
}

DataLoaders DataLoaders::together(std::vector<std::pair<std::string, DataLoader>> loaders,
                                  LoaderMode mode) {
  if (loaders.empty()) {
    throw ConfigError::invalid_value("loaders", "none", "give at least one loader with its name");
  }
  DataLoaders result;
  result.mode_ = mode;
  for (auto& [name, loader] : loaders) {
    const bool is_known =
        std::find(result.names_.begin(), result.names_.end(), name) != result.names_.end();
    if (name.empty() || name.find('/') != std::string::npos || is_known) {
      throw ConfigError::invalid_value(
          "the name of a loader", name,
          "names must not be empty, have no slash, and differ from each other");
    }
    if (mode != LoaderMode::sequential && !loader.size()) {
      throw ConfigError::conflict(
          "the loader " + name + ", whose length isn't known, together with others",
          "read them one after another, or let the data set say its size()");
    }
    result.names_.push_back(std::move(name));
    result.push_back(std::move(loader));
  }
  return result;
}

void require_sequential(const DataLoaders& loaders, std::string_view who) {
  if (loaders.mode() == LoaderMode::sequential) return;
  throw ConfigError::conflict(
      std::string(who) + " with loaders that are read together",
      "return them one after another, as DataLoaders{a, b}: each then has metrics of its own");
}

Reader DataLoader::open(int64_t epoch, int64_t position, RankShare rank_share) const {
  check_rank_share(options_, rank_share);
  Reader reader(dataset_, options_, rank_share);
  reader.seek(epoch, position);
  return reader;
}

}  // namespace levin
