#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/serving/backend/model_statistics.h>
#include <levin/serving/protocol/model_metadata.h>
#include <levin/serving/redis/redis_connection.h>
#include <levin/serving/redis/redis_loop.h>
#include <levin/serving/redis/redis_names.h>

namespace levin {

/// What a front end knows of the models behind Redis.
class FrontModels {
 public:
  explicit FrontModels(RedisNames names) : names_(std::move(names)) {}

  /// Reads from Redis which models there are, each half second and after news, until `stop` is set.
  /// Throws RedisLost.
  void follow(RedisConnection& redis, RedisStop& stop);
  /// Lets `follow` look at its RedisStop at once.
  void wake();
  /// Takes a text of the channel of updates: "loaded MODEL VERSION" or "unloaded MODEL VERSION".
  void heed(std::string_view news);

  /// Returns the metadata of a version of a model; of the newest if `version` is empty or isn't
  /// known here, since a model process may have loaded it a moment ago. Throws Refusal: 404 if
  /// there is no such model, or 503 if no model process has shown itself yet.
  ModelMetadata find(std::string_view model, std::string_view version) const;
  /// Reads from Redis which models there are now. Throws RedisLost.
  void refresh(RedisConnection& redis);
  /// The models of all living model processes, and those of dead ones that no living one has.
  std::vector<ModelMetadata> models() const;
  /// Whether a living model process has each of the models.
  bool is_ready() const;
  std::vector<ModelStatistics> statistics() const;
  void count_failure(const std::string& model, const std::string& version,
                     ModelStatistics::Reason reason);

 private:
  using Version = std::pair<std::string, std::string>;  // the names of a model and a version

  void read_models(RedisConnection& redis);
  void read_statistics(RedisConnection& redis);

  const RedisNames names_;
  mutable std::mutex mutex_;
  std::condition_variable has_news_;
  bool is_stale_ = false;
  std::vector<ModelMetadata> models_;
  // Names of models that a living process has, and of those that were unloaded on purpose.
  std::set<std::string> alive_;
  std::set<std::string> unloaded_;
  std::map<std::string, uint64_t> pending_;
  std::map<Version, ModelStatistics> statistics_;
  std::map<Version, std::array<uint64_t, 4>> failures_;
};

}  // namespace levin
