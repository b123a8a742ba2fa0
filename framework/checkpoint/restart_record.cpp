#include <levin/framework/checkpoint/restart_record.h>

#include <algorithm>

#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/value.h>

namespace levin {
namespace {

Value read(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return Value::Object{};
  return Value::from_json(files::read_text(path));
}

bool came_to_its_end(const Value& fits) {
  const auto& all = fits.as_object();
  return std::all_of(all.begin(), all.end(),
                     [](const auto& fit) { return fit.second.contains("ended"); });
}

}  // namespace

RestartRecord::RestartRecord(const std::filesystem::path& folder, const std::string& job,
                             bool is_restart, bool is_own_name) {
  std::string name = job;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '/' || c == ':' || c == '\0'; }, '-');
  path_ = folder / (".restart-" + name + ".json");
  if (!is_restart && (!is_own_name || came_to_its_end(read(path_)))) files::remove_file(path_);
}

std::filesystem::path RestartRecord::checkpoint(int64_t fit) const {
  const Value fits = read(path_);
  const auto key = std::to_string(fit);
  if (!fits.contains(key) || !fits.at(key).contains("checkpoint")) return {};
  const std::filesystem::path path = fits.at(key).at("checkpoint").as_string();
  return has_checkpoint(path) ? path : std::filesystem::path();
}

void RestartRecord::saved(int64_t fit, const std::filesystem::path& checkpoint) {
  Value fits = read(path_);
  fits[std::to_string(fit)]["checkpoint"] = std::filesystem::absolute(checkpoint).string();
  files::write_atomically(path_, fits.to_json());
}

void RestartRecord::ended(int64_t fit) {
  Value fits = read(path_);
  if (!fits.contains(std::to_string(fit))) return;  // the fit saved no checkpoint
  fits[std::to_string(fit)]["ended"] = true;
  files::write_atomically(path_, fits.to_json());
}

}  // namespace levin
