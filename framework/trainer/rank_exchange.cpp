#include <levin/framework/trainer/rank_exchange.h>

#include <algorithm>
#include <atomic>
#include <cstdio>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/tensor/random.h>

namespace levin {

RankExchange::RankExchange(RunControl& run, std::filesystem::path root)
    : run_(run), root_(std::move(root)) {
  run_.set_log_dir_maker([this] { return make_log_dir(); });
  run_.set_exchange([this](const std::string& key,
                           const std::function<std::string()>& make) { return share(key, make); },
                    [this](const std::string& key, bool raised) { return any_rank(key, raised); });
}

void RankExchange::begin(Strategy& strategy, Profiler* profiler, bool has_folder) {
  strategy_ = &strategy;
  ++stages_;
  shared_.clear();
  flags_.clear();
  strategy.set_profiler(profiler);
  if (profiler == nullptr) return;
  ProfiledRanks ranks{.rank = strategy.rank(), .world_size = strategy.world_size()};
  ranks.gather = [this](const std::string& own) { return strategy_->gather_text(own); };
  ranks.step = [this] { return run_.global_step(); };
  if (has_folder) ranks.folder = [this] { return run_.log_dir(); };
  profiler->joined(ranks);
}

/// Rank 0 makes it, the others are told.
std::filesystem::path RankExchange::make_log_dir() {
  const auto make = [this] { return files::create_version_folder(root_).string(); };
  // One for all stages: the ranks may ask in different ones.
  return strategy_ == nullptr ? make() : strategy_->share("log_dir", make);
}

std::string RankExchange::share(const std::string& key, const std::function<std::string()>& make) {
  if (strategy_ == nullptr) return make();
  return strategy_->share(fmt::format("{}/{}/{}", stages_, key, shared_[key]++), make);
}

bool RankExchange::any_rank(const std::string& key, bool raised) {
  if (strategy_ == nullptr) return raised;
  const auto found = std::find(flags_.begin(), flags_.end(), key);
  const auto number =
      static_cast<int64_t>(Strategy::Flag::first_of_callbacks) + (found - flags_.begin());
  if (number >= static_cast<int64_t>(Strategy::Flag::count)) {
    throw ModuleError::contract("any_rank(\"" + key + "\")", "is one key too many",
                                "use the same key for what goes together");
  }
  if (found == flags_.end()) flags_.push_back(key);
  return strategy_->agreed(static_cast<Strategy::Flag>(number), raised);
}

std::string RankExchange::begin_fit(const std::string& ckpt_path) {
  static std::atomic<int64_t> fits{0};
  fit_ = fits++;
  restarts_.reset();
  run_.set_on_saved({});
  const Cluster* cluster = strategy_->cluster();
  if (cluster == nullptr || !cluster->may_restart || cluster->run_id.empty()) return ckpt_path;
  const auto last = share("last checkpoint", [&] {
    restarts_.emplace(root_, cluster->run_id, fit_ > 0 || cluster->restart_count > 0,
                      cluster->has_own_run_id());
    return restarts_->checkpoint(fit_).string();
  });
  if (restarts_) {
    run_.set_on_saved([this](const auto& path) { restarts_->saved(fit_, path); });
    if (!last.empty())
      fmt::print(stderr, "started again: going on from {} ({})\n", last,
                 restarts_->path().string());
  }
  return last.empty() ? ckpt_path : last;
}

void RankExchange::end_fit(bool interrupted) {
  if (restarts_ && !interrupted) restarts_->ended(fit_);
  if (strategy_->world_size() == 1) return;
  const auto state = share("random", [] { return checkpoint_bytes(random_state()); });
  if (strategy_->rank() > 0) load_random_state(checkpoint_from_bytes(state));
}

DataLoaders with_rows_a_step_of(const StateDict& checkpoint, const DataLoaders& loaders,
                                RankShare rank_share) {
  const StateDict ranks = checkpoint.child("ranks");
  if (!ranks.values.contains("world_size")) return loaders;
  const auto& rows = ranks.values.at("rows_a_step").as_array();
  if (ranks.values.at("world_size").as_int() == rank_share.world_size) return loaders;
  if (rows.size() != loaders.size()) return loaders;
  DataLoaders result;
  for (size_t i = 0; i < rows.size(); ++i) {
    result.push_back(loaders[i].with_global_batch_size(rows[i].as_int()));
  }
  return result;
}

}  // namespace levin
