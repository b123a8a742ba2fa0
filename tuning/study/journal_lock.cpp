#include <levin/tuning/study/journal_lock.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/study/process_identity.h>

namespace levin {
namespace {

constexpr double kAbandonedSeconds = 30.0;  // Optuna's grace period
constexpr std::string_view kOwnerMark = ".owner-";
constexpr std::string_view kRenewedMark = ".owner+";  // of a link that is about to replace another

/// The identity in an owner's name, "study.log.owner-IDENTITY.COUNT"; empty if it is no such name.
std::string_view identity_in(std::string_view name) {
  const size_t mark = std::max(name.rfind(kOwnerMark) + 1, name.rfind(kRenewedMark) + 1);
  const size_t begin = mark - 1 + kOwnerMark.size();
  const size_t point = name.rfind('.');
  if (mark == 0 || point == std::string_view::npos || point <= begin) return {};
  return name.substr(begin, point - begin);
}

/// Whether an owner's name belongs to a process of this machine that has ended.
bool names_dead_process(std::string_view name) { return is_dead_process(identity_in(name)); }

std::filesystem::path unique_name(const std::filesystem::path& base, std::string_view ending) {
  static std::atomic<uint64_t> counter{0};
  auto path = base;
  path += fmt::format("{}.{}{}", process_identity(), counter++, ending);
  return path;
}

/// Removes a lock as Optuna does: only one of several processes can rename it.
bool remove_lock(const std::filesystem::path& lock) noexcept {
  try {
    const auto renamed = unique_name(lock, ".rename");
    if (::rename(lock.c_str(), renamed.c_str()) != 0) return false;
    return ::unlink(renamed.c_str()) == 0;
  } catch (const std::exception&) {
    return false;
  }
}

std::string target_of(const std::filesystem::path& link) {
  std::error_code error;
  return std::filesystem::read_symlink(link, error).string();
}

/// The owner links beside a file, and those that are about to replace one.
std::vector<std::filesystem::path> owner_links(const std::filesystem::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const std::string begin = file.filename().string();
  std::vector<std::filesystem::path> links;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const std::string_view end = std::string_view(name).substr(std::min(begin.size(), name.size()));
    const bool is_owner = end.starts_with(kOwnerMark) || end.starts_with(kRenewedMark);
    if (is_owner && name.starts_with(begin)) links.push_back(entry->path());
  }
  return links;
}

void remove_owners_of_dead_processes(const std::filesystem::path& file) {
  for (const auto& link : owner_links(file)) {
    const std::string name = link.filename().string();
    if (!names_dead_process(name)) continue;
    if (target_of(file.string() + ".lock") != name) ::unlink(link.c_str());
  }
}

}  // namespace

std::map<std::string, int64_t, std::less<>> times_of_owner_links(
    const std::filesystem::path& file) {
  std::map<std::string, int64_t, std::less<>> times;
  for (const auto& link : owner_links(file)) {
    struct stat status {};
    const std::string name = link.filename().string();
    const std::string identity(identity_in(name));
    if (identity.empty() || ::lstat(link.c_str(), &status) != 0) continue;
    const int64_t time = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
    auto& latest = times[identity];
    latest = std::max(latest, time);
  }
  return times;
}

JournalLock::JournalLock(const std::filesystem::path& file)
    : file_(file), lock_(file.string() + ".lock") {
  remove_owners_of_dead_processes(file_);
  if (!make_owner_link()) {
    throw CheckpointError::io("create", owner_.string(), std::strerror(errno));
  }
}

JournalLock::~JournalLock() { ::unlink(owner_.c_str()); }

bool JournalLock::make_owner_link() {
  static std::atomic<uint64_t> counter{0};
  owner_ = file_;
  owner_ += fmt::format("{}{}.{}", kOwnerMark, process_identity(), counter++);
  return ::symlink(file_.filename().c_str(), owner_.c_str()) == 0 || errno == EEXIST;
}

void JournalLock::renew_owner_link() const noexcept {
  try {
    std::string renewed = owner_.string();
    renewed.replace(renewed.rfind(kOwnerMark), kOwnerMark.size(), kRenewedMark);
    ::unlink(renewed.c_str());  // of an attempt that failed
    if (::symlink(file_.filename().c_str(), renewed.c_str()) == 0) {
      ::rename(renewed.c_str(), owner_.c_str());
    }
  } catch (const std::exception&) {  // there is no memory: the next attempt may have some
    return;
  }
}

bool JournalLock::try_acquire() {
  if (::symlink(owner_.filename().c_str(), lock_.c_str()) == 0) return true;
  if (errno != EEXIST) throw CheckpointError::io("lock", lock_.string(), std::strerror(errno));
  return false;
}

void JournalLock::take_over_from_dead_owner() {
  const std::string owner = target_of(lock_);
  if (!names_dead_process(owner)) return;
  // Only one process of this machine at a time may look at the lock and remove it: another one
  // might otherwise remove the lock of a process that has taken it in between.
  const int descriptor = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  if (::flock(descriptor, LOCK_EX) == 0 && target_of(lock_) == owner) {
    remove_lock(lock_);
    ::unlink((file_.parent_path() / owner).c_str());
  }
  ::close(descriptor);
}

void JournalLock::take_over_if_abandoned() {
  struct stat status {};
  const bool found = ::stat(lock_.c_str(), &status) == 0;
  if (!found && errno == ENOENT && target_of(lock_).empty()) return;  // released in between
  const double changed = found ? static_cast<double>(status.st_mtim.tv_sec) +
                                     static_cast<double>(status.st_mtim.tv_nsec) * 1e-9
                               : 0.0;
  const double now = files::monotonic_seconds();
  if (changed != seen_change_) {
    seen_change_ = changed;
    seen_at_ = now;
  } else if (now - seen_at_ > kAbandonedSeconds) {
    remove_lock(lock_);
    seen_change_ = -1.0;
  }
}

void JournalLock::acquire() {
  if (holds_ == 0) wait_and_take();
  ++holds_;
}

void JournalLock::wait_and_take() {
  auto pause = std::chrono::milliseconds(1);
  seen_change_ = -1.0;
  while (!try_acquire()) {
    take_over_from_dead_owner();
    if (try_acquire()) return;
    take_over_if_abandoned();
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::milliseconds(100));
  }
}

bool JournalLock::release() noexcept {
  if (holds_ > 0 && --holds_ > 0) return true;
  try {
    return target_of(lock_) == owner_.filename().string() && remove_lock(lock_);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace levin
