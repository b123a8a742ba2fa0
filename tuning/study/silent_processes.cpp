#include <levin/tuning/study/silent_processes.h>

#include <levin/framework/core/files.h>
#include <levin/tuning/study/journal_lock.h>
#include <levin/tuning/study/process_identity.h>

namespace levin {
namespace {

constexpr double kSilentSeconds = 120.0;  // network file systems show changes after a minute
constexpr double kSecondsBetweenLooks = 1.0;

}  // namespace

bool SilentProcesses::contains(std::string_view identity) {
  if (!is_process_elsewhere(identity)) return false;
  const double now = files::monotonic_seconds();
  if (looked_ < 0.0 || now - looked_ >= kSecondsBetweenLooks) {
    renewed_ = times_of_owner_links(file_);
    looked_ = now;
  }
  const auto found = renewed_.find(identity);
  const int64_t renewed = found == renewed_.end() ? 0 : found->second;
  const auto [seen, is_new] = seen_.try_emplace(std::string(identity), Seen{renewed, now});
  if (!is_new && seen->second.renewed != renewed) seen->second = {renewed, now};
  return now - seen->second.since > kSilentSeconds;
}

}  // namespace levin
