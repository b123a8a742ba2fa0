#include <levin/serving/redis/redis_models.h>

#include <algorithm>
#include <chrono>
#include <tuple>

#include <levin/framework/core/number_in.h>
#include <levin/serving/backend/backend.h>
#include <levin/serving/protocol/refusal.h>
#include <levin/serving/redis/redis_registry.h>

namespace levin {
namespace {

bool comes_before(const ModelMetadata& a, const ModelMetadata& b) {
  return a.name != b.name ? a.name < b.name : is_older_version(a.version, b.version);
}

bool is_same_version(const ModelMetadata& a, const ModelMetadata& b) {
  return a.name == b.name && a.version == b.version;
}

void set_statistic(ModelStatistics& statistics, std::string_view name, uint64_t value) {
  for (const auto& counter : statistics_counters()) {
    if (counter.name == name) statistics.*counter.value = value;
  }
  constexpr std::string_view kFailure = "failure";
  if (name.size() == kFailure.size() + 1 && name.substr(0, kFailure.size()) == kFailure) {
    const auto reason = static_cast<size_t>(name.back() - '0');
    if (reason < statistics.failure.size()) statistics.failure[reason] = value;
  }
  if (name == "load_ms") statistics.load_seconds = static_cast<double>(value) * 1e-3;
  if (name == "last_inference_ms") statistics.last_inference_ms = value;
}

}  // namespace

void FrontModels::follow(RedisConnection& redis, RedisStop& stop) {
  while (!stop.is_set()) {
    refresh(redis);
    std::unique_lock lock(mutex_);
    has_news_.wait_for(lock, std::chrono::milliseconds(500),
                       [&] { return stop.is_set() || is_stale_; });
    is_stale_ = false;
  }
}

void FrontModels::wake() {
  const std::lock_guard lock(mutex_);
  has_news_.notify_all();
}

void FrontModels::heed(std::string_view news) {
  {
    const std::lock_guard lock(mutex_);
    const size_t begin = news.find(' ');
    const size_t end = news.rfind(' ');
    if (begin != std::string_view::npos && begin < end) {
      const std::string model(news.substr(begin + 1, end - begin - 1));
      if (news.substr(0, begin) == "unloaded") unloaded_.insert(model);
      if (news.substr(0, begin) == "loaded") unloaded_.erase(model);
    }
    is_stale_ = true;
  }
  has_news_.notify_one();
}

void FrontModels::refresh(RedisConnection& redis) {
  read_models(redis);
  read_statistics(redis);
}

void FrontModels::read_models(RedisConnection& redis) {
  std::vector<ModelMetadata> models;
  for (const auto& [worker, its_models] : living_models(redis, names_)) {
    models.insert(models.end(), its_models.begin(), its_models.end());
  }
  const std::lock_guard lock(mutex_);
  alive_.clear();
  for (const auto& model : models) alive_.insert(model.name);
  // A model whose processes have died is kept: requests wait until another process has it.
  for (const auto& known : models_) {
    if (alive_.count(known.name) == 0 && unloaded_.count(known.name) == 0) models.push_back(known);
  }
  std::stable_sort(models.begin(), models.end(), comes_before);
  models.erase(std::unique(models.begin(), models.end(), is_same_version), models.end());
  models_ = std::move(models);
}

void FrontModels::read_statistics(RedisConnection& redis) {
  std::set<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& model : models_) names.insert(model.name);
  }
  redis.append({"HGETALL", names_.statistics()});
  for (const auto& name : names) redis.append({"XLEN", names_.requests(name)});
  const RedisReply counted = redis.read();
  std::map<Version, ModelStatistics> statistics;
  for (size_t i = 0; i + 1 < counted.elements.size(); i += 2) {
    const std::string& field = counted.elements[i].text;  // MODEL, VERSION and COUNTER, on lines
    const size_t last = field.rfind('\n');
    const size_t first = field.find('\n');
    if (last == std::string::npos || first == last) continue;
    const Version version(field.substr(0, first), field.substr(first + 1, last - first - 1));
    set_statistic(statistics[version], std::string_view(field).substr(last + 1),
                  number_in<uint64_t>(counted.elements[i + 1].text).value_or(0));
  }
  std::map<std::string, uint64_t> pending;
  for (const auto& name : names) {
    pending[name] = static_cast<uint64_t>(std::max<int64_t>(redis.read().integer, 0));
  }
  const std::lock_guard lock(mutex_);
  statistics_ = std::move(statistics);
  pending_ = std::move(pending);
}

ModelMetadata FrontModels::find(std::string_view model, std::string_view version) const {
  const std::lock_guard lock(mutex_);
  if (models_.empty()) throw Refusal::unavailable("there is no model process yet");
  const bool is_known = std::any_of(models_.begin(), models_.end(), [&](const auto& each) {
    return each.name == model && each.version == version;
  });
  return find_model(models_, model, is_known ? version : std::string_view());
}

std::vector<ModelMetadata> FrontModels::models() const {
  const std::lock_guard lock(mutex_);
  return models_;
}

bool FrontModels::is_ready() const {
  const std::lock_guard lock(mutex_);
  return !models_.empty() && std::all_of(models_.begin(), models_.end(), [this](const auto& each) {
    return alive_.count(each.name) > 0;
  });
}

std::vector<ModelStatistics> FrontModels::statistics() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelStatistics> list;
  for (size_t i = 0; i < models_.size(); ++i) {
    const Version version(models_[i].name, models_[i].version);
    ModelStatistics statistics;
    if (const auto found = statistics_.find(version); found != statistics_.end()) {
      statistics = found->second;
    }
    std::tie(statistics.model, statistics.version) = version;
    if (const auto found = failures_.find(version); found != failures_.end()) {
      for (size_t reason = 0; reason < found->second.size(); ++reason) {
        statistics.failure[reason] += found->second[reason];
      }
    }
    // The stream is that of all versions of a model, and counts for the newest.
    const bool is_newest = i + 1 == models_.size() || models_[i + 1].name != models_[i].name;
    if (const auto found = pending_.find(version.first); is_newest && found != pending_.end()) {
      statistics.pending = found->second;
    }
    list.push_back(std::move(statistics));
  }
  return list;
}

void FrontModels::count_failure(const std::string& model, const std::string& version,
                                ModelStatistics::Reason reason) {
  const std::lock_guard lock(mutex_);
  ++failures_[{model, version}][reason];
}

}  // namespace levin
