#include <levin/framework/config/setting_place.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/config/settings.h>

namespace levin {
namespace {

/// Whether the message begins with the name of a setting that was written.
bool names_setting_of(const Chosen& part, std::string_view message) {
  const auto& members = part.settings.members;
  return std::any_of(members.begin(), members.end(), [&](const auto& member) {
    return message.starts_with(member.key + " = ") ||
           message.starts_with(fmt::format("unknown {} '", member.key));
  });
}

}  // namespace

void throw_with_place(const ConfigError& error, const Job& job) {
  std::vector<const Chosen*> named = {&job.trainer_settings};
  if (job.model) named.push_back(&*job.model);
  if (job.data) named.push_back(&*job.data);
  std::erase_if(named, [&](const Chosen* part) { return !names_setting_of(*part, error.what()); });
  if (named.size() != 1) throw error;
  throw_at(error, named.front()->settings, named.front()->place);
}

}  // namespace levin
