#include <levin/framework/checkpoint/restart_record.h>

#include <algorithm>
#include <functional>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/checkpoint/own_checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/value.h>

namespace levin {
namespace {

constexpr uint64_t kMostRecordBytes = uint64_t{1} << 20;
constexpr size_t kLongestJobName = 100;  // in the name of a file, which may have 255 bytes

Value read(const std::filesystem::path& path) {
  if (!files::exists(path)) return Value::Object{};
  try {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {  // a pipe would be waited for
      throw CheckpointError("it is no regular file");
    }
    Value fits = Value::from_json(files::read_text(path, kMostRecordBytes));
    for (const auto& [number, fit] : fits.as_object()) {
      if (fit.contains("checkpoint")) fit.at("checkpoint").as_string();
    }
    return fits;
  } catch (const CheckpointError& error) {
    throw CheckpointError(
        fmt::format("'{}', the record of which checkpoints this job has saved, can't be used: {}; "
                    "remove it, and give the checkpoint to go on from as ckpt_path",
                    path.string(), error.what()));
  }
}

bool came_to_its_end(const Value& fits) {
  const auto& all = fits.as_object();
  return std::all_of(all.begin(), all.end(),
                     [](const auto& fit) { return fit.second.contains("ended"); });
}

}  // namespace

RestartRecord::RestartRecord(const std::filesystem::path& folder, const std::string& job,
                             bool is_restart, bool is_own_name,
                             std::vector<std::filesystem::path> further)
    : folders_(std::move(further)) {
  folders_.push_back(folder);
  std::string name = job;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '/' || c == ':' || c == '\0'; }, '-');
  if (name.size() > kLongestJobName) {
    name =
        fmt::format("{}-{:016x}", name.substr(0, kLongestJobName), std::hash<std::string>()(job));
  }
  path_ = folder / (".restart-" + name + ".json");
  if (!is_restart && (!is_own_name || came_to_its_end(read(path_)))) files::remove_file(path_);
}

std::filesystem::path RestartRecord::checkpoint(int64_t fit) const {
  const Value fits = read(path_);
  const auto key = std::to_string(fit);
  if (!fits.contains(key) || !fits.at(key).contains("checkpoint")) return {};
  const std::filesystem::path path = fits.at(key).at("checkpoint").as_string();
  if (!has_checkpoint(path)) return {};
  if (is_own(path)) return path;
  throw CheckpointError(fmt::format(
      "'{}' says that this job's last checkpoint is '{}', which is neither in the folder of its "
      "runs nor in one that a ModelCheckpoint of the job saves to; remove the first file to begin "
      "anew, or give the second one as ckpt_path if you trust it",
      path_.string(), path.string()));
}

bool RestartRecord::saved(int64_t fit, const std::filesystem::path& checkpoint) {
  if (!is_own(checkpoint)) return false;
  Value fits = read(path_);
  fits[std::to_string(fit)]["checkpoint"] = std::filesystem::absolute(checkpoint).string();
  files::write_atomically(path_, fits.to_json());
  return true;
}

bool RestartRecord::is_own(const std::filesystem::path& checkpoint) const {
  return std::any_of(folders_.begin(), folders_.end(),
                     [&](const auto& folder) { return is_checkpoint_in(folder, checkpoint); });
}

void RestartRecord::ended(int64_t fit) {
  Value fits = read(path_);
  if (!fits.contains(std::to_string(fit))) return;  // the fit saved no checkpoint
  fits[std::to_string(fit)]["ended"] = true;
  files::write_atomically(path_, fits.to_json());
}

}  // namespace levin
