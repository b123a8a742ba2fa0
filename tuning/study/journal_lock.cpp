#include <levin/tuning/study/journal_lock.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>
#include <system_error>
#include <thread>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

constexpr double kAbandonedSeconds = 30.0;  // Optuna's grace period
constexpr std::string_view kOwnerMark = ".owner-";

std::string text_of_system_file(const std::filesystem::path& path) {
  try {
    return files::read_text(path, 4096);
  } catch (const Error&) {
    return {};
  }
}

/// What tells this machine's processes from those of other machines and containers, in which the
/// same number means another process: the boot and the name space of process numbers.
std::string process_realm() {
  std::string boot = text_of_system_file("/proc/sys/kernel/random/boot_id").substr(0, 8);
  std::error_code error;
  std::string space = std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
  space.erase(std::remove_if(space.begin(), space.end(), [](char c) { return c < '0' || c > '9'; }),
              space.end());
  return boot.empty() || space.empty() ? std::string() : boot + "." + space;
}

/// When a process started, in ticks since the boot, which tells it from a later one of the same
/// number; 0 if it isn't there.
uint64_t start_of_process(int64_t process) {
  const std::string stat = text_of_system_file(fmt::format("/proc/{}/stat", process));
  size_t at = stat.rfind(')');  // the program's name may contain anything
  if (at == std::string::npos) return 0;
  if (stat.substr(at + 2, 1) == "Z") return 0;  // dead, but its parent hasn't looked yet
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtoull(stat.c_str() + at + 1, nullptr, 10);
}

/// Whether an owner's name belongs to a process of this machine that has ended:
/// "study.log.owner-REALM-PROCESS-START-COUNT".
bool names_dead_process(std::string_view name) {
  static const std::string realm = process_realm();
  const size_t mark = name.rfind(kOwnerMark);
  if (mark == std::string_view::npos || realm.empty()) return false;
  const std::string rest(name.substr(mark + kOwnerMark.size()));
  if (rest.compare(0, realm.size() + 1, realm + "-") != 0) return false;
  char* end = nullptr;
  const int64_t process = std::strtoll(rest.c_str() + realm.size() + 1, &end, 10);
  if (process <= 0 || *end != '-') return false;
  return start_of_process(process) != std::strtoull(end + 1, nullptr, 10);
}

std::filesystem::path unique_name(const std::filesystem::path& base, std::string_view ending) {
  static std::atomic<uint64_t> counter{0};
  auto path = base;
  path += fmt::format("{}-{}-{}{}", process_realm(), ::getpid(), counter++, ending);
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

void remove_owners_of_dead_processes(const std::filesystem::path& file) {
  const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const std::string begin = file.filename().string() + std::string(kOwnerMark);
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.compare(0, begin.size(), begin) != 0 || !names_dead_process(name)) continue;
    if (target_of(file.string() + ".lock") != name) ::unlink(entry->path().c_str());
  }
}

}  // namespace

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
  owner_ += fmt::format("{}{}-{}-{}-{}", kOwnerMark, process_realm(), ::getpid(),
                        start_of_process(::getpid()), counter++);
  return ::symlink(file_.filename().c_str(), owner_.c_str()) == 0 || errno == EEXIST;
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
  try {
    return target_of(lock_) == owner_.filename().string() && remove_lock(lock_);
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace levin
