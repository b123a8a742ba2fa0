#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/backend/model_statistics.h>
#include <levin/serving/protocol/model_metadata.h>
#include <levin/serving/redis/redis_connection.h>
#include <levin/serving/redis/redis_names.h>

/// How models and their statistics are written in Redis.
namespace levin {

/// A list of models as JSON, as model processes publish it.
std::string models_json(const std::vector<ModelMetadata>& models);
/// Returns the models; none if it isn't such JSON.
std::vector<ModelMetadata> models_of_json(std::string_view json);
/// Returns the models of each living model process but the one of the name `except`, by the names
/// of the processes. Throws RedisLost.
std::map<std::string, std::vector<ModelMetadata>> living_models(RedisConnection& redis,
                                                                const RedisNames& names,
                                                                std::string_view except = {});
/// Whether version `a` is older than `b`: numbers come before texts, and a lower number before a
/// higher one.
bool is_older_version(std::string_view a, std::string_view b);

/// A counter of ModelStatistics and its name in Redis.
struct StatisticsCounter {
  std::string_view name{};
  uint64_t ModelStatistics::*value = nullptr;
};
/// The counters of ModelStatistics apart from its failures.
const std::vector<StatisticsCounter>& statistics_counters();

}  // namespace levin
