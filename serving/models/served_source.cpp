#include <levin/serving/models/served_source.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/near_files.h>
#include <levin/framework/tensor/torch_error.h>
#include <levin/framework/threads/one_thread.h>

namespace levin {
namespace {

/// Why no checkpoint is found at a path.
std::string why_none(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::directory_iterator entries(path, error);
  if (error == std::errc::permission_denied) return error.message();
  const std::string hint = files::exists(path) ? std::string() : missing_file_hint(path.string());
  return "there is no checkpoint" +
         (hint.empty() ? "; name a checkpoint, or a folder of them" : hint);
}

}  // namespace

ServedSource::ServedSource(const Registry& registry, ModelSource source,
                           const LocalBackendOptions& options, at::Device device,
                           MemoryBudget& memory)
    : registry_(registry),
      source_(std::move(source)),
      options_(options),
      device_(device),
      memory_(memory),
      name_(source_.name) {
  const std::lock_guard lock(loading_);
  refresh_locked(/*throws=*/true);
  name_ = versions_.back().worker->metadata().name;
}

std::vector<ServedSource::Worker> ServedSource::versions() const {
  const std::lock_guard lock(mutex_);
  std::vector<Worker> workers;
  for (const auto& version : versions_) workers.push_back(version.worker);
  return workers;
}

ServedSource::Worker ServedSource::find(std::string_view version) const {
  const std::lock_guard lock(mutex_);
  for (auto each = versions_.rbegin(); each != versions_.rend(); ++each) {
    if (version.empty() || each->worker->metadata().version == version) return each->worker;
  }
  if (replaced_ != nullptr && replaced_->metadata().version == version) return replaced_;
  return nullptr;
}

ServedSource::Worker ServedSource::made(const FoundCheckpoint& checkpoint, int64_t version) const {
  const OneThread one_thread;
  const auto begin = std::chrono::steady_clock::now();
  auto model = std::make_unique<ServedModel>(registry_, checkpoint.path, name_,
                                             std::to_string(version), device_);
  model->set_batching(options_.max_batch, std::llround(options_.delay_ms * 1000.0));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return std::make_shared<ModelWorker>(
      std::move(model),
      RequestQueueOptions{.max_batch = options_.max_batch,
                          .delay_ms = options_.delay_ms,
                          .max_queue = options_.max_queue,
                          .timeout = options_.timeout},
      ModelWorkerOptions{.threads = options_.threads,
                         .quick_batch_us = options_.quick_batch_us,
                         .quick_requests = options_.quick_requests},
      seconds.count(), memory_);
}

/// The version that is served from that file, as it is now; null if there is none.
const ServedSource::Version* ServedSource::served(const FoundCheckpoint& checkpoint) const {
  for (const auto& version : versions_) {
    if (version.checkpoint.number == checkpoint.number &&
        version.checkpoint.stamp == checkpoint.stamp) {
      return &version;
    }
  }
  return nullptr;
}

/// `loading_` is held, so nobody else changes `versions_`.
bool ServedSource::refresh_locked(bool throws) {
  const auto found = find_checkpoints(source_.path);
  if (found.empty()) {
    if (throws) throw CheckpointError::io("serve", source_.path.string(), why_none(source_.path));
    return false;  // perhaps the folder can't be reached for a moment
  }
  bool is_complete = true;
  std::vector<FoundCheckpoint> broken;
  std::vector<Version> versions;
  std::string news;
  for (const auto& checkpoint : found) {
    if (const auto* same = served(checkpoint)) {
      versions.push_back(*same);
      continue;
    }
    const bool is_known =
        std::any_of(broken_.begin(), broken_.end(), [&](const FoundCheckpoint& before) {
          return before.stamp == checkpoint.stamp && before.touched_ns == checkpoint.touched_ns;
        });
    try {
      if (is_known) throw CheckpointError("it was reported before");
      const bool is_loaded_again = next_version_ > 1 && checkpoint.stamp == numbered_;
      const int64_t number = checkpoint.number > 0 ? checkpoint.number
                             : is_loaded_again     ? next_version_ - 1
                                                   : next_version_;
      versions.push_back({checkpoint, made(checkpoint, number)});
      news += fmt::format("model '{}': version {} is loaded\n", name_, number);
      if (checkpoint.number == 0) {
        next_version_ = number + 1;
        numbered_ = checkpoint.stamp;
      }
    } catch (const std::exception& error) {
      if (throws) throw;
      is_complete = false;
      broken.push_back(checkpoint);
      if (!is_known) {
        diagnostics::print(fmt::format("warning: a new checkpoint of model '{}' isn't served: {}\n",
                                       name_, plain_message(error)));
      }
      for (const auto& version : versions_) {  // the one that it would have replaced
        if (version.checkpoint.number == checkpoint.number) versions.push_back(version);
      }
    }
  }
  broken_ = std::move(broken);
  if (!versions.empty()) serve(std::move(versions));
  if (!throws && !news.empty()) diagnostics::print(news);
  return is_complete;
}

/// Puts these versions in the place of those that are served.
void ServedSource::serve(std::vector<Version> versions) {
  std::vector<Worker> closing;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& old : versions_) {
      const bool stays = std::any_of(versions.begin(), versions.end(), [&](const Version& version) {
        return version.worker == old.worker;
      });
      if (stays) continue;
      Worker gone = old.worker;
      if (old.checkpoint.number == 0 && !versions.empty()) {
        std::swap(gone, replaced_);
        replaced_until_ = std::chrono::steady_clock::now() +
                          std::chrono::milliseconds(std::llround(options_.replaced_for * 1000.0));
      }
      if (gone != nullptr) closing.push_back(std::move(gone));
    }
    if (versions.empty() && replaced_ != nullptr) {
      closing.push_back(std::exchange(replaced_, nullptr));
    }
    versions_ = std::move(versions);
    retired_.insert(retired_.end(), closing.begin(), closing.end());
  }
  // Only now, so that a request that finds a closed worker finds the new one when it looks again.
  for (const auto& worker : closing) worker->close();
}

bool ServedSource::refresh() {
  const std::lock_guard lock(loading_);
  return is_unloaded_ || refresh_locked(/*throws=*/false);
}

bool ServedSource::load() {
  const std::lock_guard lock(loading_);
  broken_.clear();
  const bool is_loaded = refresh_locked(/*throws=*/false);
  if (!is_loaded && find_checkpoints(source_.path).empty()) {
    diagnostics::print(
        fmt::format("warning: model '{}' can't be loaded: there is no checkpoint at "
                    "'{}' any longer\n",
                    name_, source_.path.string()));
  }
  const std::lock_guard state(mutex_);
  is_unloaded_ = versions_.empty();
  is_off_ = versions_.empty();
  return is_loaded;
}

void ServedSource::unload() {
  const std::lock_guard lock(loading_);
  is_unloaded_ = true;
  {
    const std::lock_guard state(mutex_);
    is_off_ = true;
  }
  serve({});
  diagnostics::print(fmt::format("model '{}' is unloaded\n", name_));
}

bool ServedSource::is_ready() const {
  const std::lock_guard lock(mutex_);
  return is_off_ || !versions_.empty();
}

void ServedSource::tidy() {
  std::vector<Worker> finished;  // which are destroyed without the lock
  std::vector<Worker> others;
  Worker closing;
  {
    const std::lock_guard lock(mutex_);
    if (replaced_ != nullptr && std::chrono::steady_clock::now() >= replaced_until_) {
      closing = std::exchange(replaced_, nullptr);
      retired_.push_back(closing);
    }
    const auto end = std::stable_partition(
        retired_.begin(), retired_.end(),
        [](const Worker& worker) { return !(worker->is_finished() && worker.use_count() == 1); });
    finished.assign(std::make_move_iterator(end), std::make_move_iterator(retired_.end()));
    retired_.erase(end, retired_.end());
    others = retired_;
    for (const auto& version : versions_) others.push_back(version.worker);
    if (replaced_ != nullptr) others.push_back(replaced_);
  }
  if (closing != nullptr) closing->close();
  for (const auto& worker : others) worker->expire();
}

}  // namespace levin
